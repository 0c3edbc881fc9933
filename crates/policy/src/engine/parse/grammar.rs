//! Statements: annotations, effect, scope, conditions.

use std::borrow::Cow;

use super::expression::Chain;
use super::lexer::{Kind, Token, token};
use super::text;
use super::{LESS_DEPTH, MAX_NESTED, Parsed, Stray};
use crate::engine::term::{Actions, Anchor, Clause, Side, Term, Unary};

/// The type of every action, in whatever namespace.
const ACTION: &str = "Action";
/// A component that no name may have.
const RESERVED: &str = "__cedar";

/// Reads one statement with its semicolon; nothing but white space and comments may surround it.
///
/// # Errors
/// Where it leaves the language, or goes deeper than the bounds.
pub(crate) fn statement(text: &str) -> Result<Parsed<'_>, Stray> {
    Reader { text, next: token(text, 0), nested: 0 }.statement()
}

/// The text and the token that is to be read next.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub next: Token,
    nested: u32,
}

/// What stands where an entity is asked for.
enum Reference {
    Entity(String, String),
    /// To be filled in.
    Slot,
}

/// A side of the scope.
enum Scope {
    Filled(Side),
    Template,
}

impl<'t> Reader<'t> {
    /// The token, which is behind the reader afterwards.
    pub(super) fn take(&mut self) -> Token {
        let taken = self.next;
        self.next = token(self.text, taken.end);
        taken
    }

    /// Whether the next token is of a kind; takes it if so.
    pub(super) fn takes(&mut self, kind: Kind) -> bool {
        let fits = self.next.kind == kind;
        if fits {
            self.take();
        }
        fits
    }

    pub(super) fn expect(&mut self, kind: Kind, expected: &'static str) -> Result<Token, Stray> {
        if self.next.kind == kind { Ok(self.take()) } else { Err(self.stray(expected)) }
    }

    pub(super) fn stray(&self, expected: &'static str) -> Stray {
        Stray { at: self.next.start, expected }
    }

    pub(super) fn slice(&self, token: Token) -> &'t str {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// The inside of a string token.
    fn inside(&self, string: Token) -> &'t str {
        self.text.get(string.start + 1..string.end - 1).unwrap_or_default()
    }

    /// Goes one level down; [`Reader::up`] comes back.
    pub(super) fn down(&mut self) -> Result<(), Stray> {
        if self.nested == MAX_NESTED {
            return Err(self.stray(LESS_DEPTH));
        }
        self.nested += 1;
        Ok(())
    }

    pub(super) fn up(&mut self) {
        self.nested -= 1;
    }

    /// A string, if one is next.
    pub(super) fn string(&mut self) -> Result<String, Stray> {
        let (token, plain) = self.quoted()?;
        let inside = self.inside(token);
        if plain {
            return Ok(inside.to_owned());
        }
        text::unescaped(inside).ok_or(Stray { at: token.start, expected: "a string with valid escapes" })
    }

    /// A string as a pattern.
    pub(super) fn pattern(&mut self) -> Result<Vec<crate::engine::term::Piece>, Stray> {
        let (token, _) = self.quoted()?;
        text::pattern(self.inside(token)).ok_or(Stray { at: token.start, expected: "a pattern with valid escapes" })
    }

    fn quoted(&mut self) -> Result<(Token, bool), Stray> {
        match self.next.kind {
            Kind::Text { plain } => Ok((self.take(), plain)),
            _ => Err(self.stray("a string in double quotes")),
        }
    }

    /// An identifier as the name of an attribute, of a method, or of a part of a type.
    pub(super) fn identifier(&mut self) -> Result<&'t str, Stray> {
        const EXPECTED: &str = "an identifier that is not reserved";
        match self.next.kind {
            Kind::Word | Kind::Principal | Kind::Action | Kind::Resource | Kind::Context => {
                let name = self.slice(self.next);
                if name == RESERVED {
                    return Err(self.stray(EXPECTED));
                }
                self.take();
                Ok(name)
            }
            _ => Err(self.stray(EXPECTED)),
        }
    }

    /// The name of a type, with its namespaces.
    pub(super) fn kind(&mut self) -> Result<String, Stray> {
        let mut name = self.identifier()?.to_owned();
        while self.takes(Kind::Colons) {
            name.push_str("::");
            name.push_str(self.identifier()?);
        }
        Ok(name)
    }

    /// The rest of `A::B::"id"`, of which the first identifier has been read and `::` is next.
    pub(super) fn entity(&mut self, first: &str) -> Result<(String, String), Stray> {
        let mut kind = first.to_owned();
        loop {
            self.expect(Kind::Colons, "`::` and the id of an entity")?;
            if matches!(self.next.kind, Kind::Text { .. }) {
                return Ok((kind, self.string()?));
            }
            kind.push_str("::");
            kind.push_str(self.identifier()?);
        }
    }

    fn statement(mut self) -> Result<Parsed<'t>, Stray> {
        let annotations = self.annotations()?;
        let permits = match self.slice(self.next) {
            "permit" => true,
            "forbid" => false,
            _ => return Err(self.stray("`permit` or `forbid`")),
        };
        self.take();
        self.expect(Kind::Open, "`(`")?;
        let principal = self.side(Kind::Principal, Kind::PrincipalSlot, "`principal`")?;
        self.expect(Kind::Comma, "`,`")?;
        let actions = self.actions()?;
        self.expect(Kind::Comma, "`,`")?;
        let resource = self.side(Kind::Resource, Kind::ResourceSlot, "`resource`")?;
        self.takes(Kind::Comma);
        self.expect(Kind::Close, "`)`")?;
        let condition = Term::All(self.conditions()?);
        self.expect(Kind::Semicolon, "`when`, `unless` or `;`")?;
        self.expect(Kind::End, "nothing after the statement")?;
        let clause = match (principal, resource) {
            (Scope::Filled(principal), Scope::Filled(resource)) => {
                Some(Clause { id: String::new(), permits, principal, actions, resource, condition })
            }
            _ => None,
        };
        Ok(Parsed { clause, annotations })
    }

    fn annotations(&mut self) -> Result<Vec<(&'t str, Cow<'t, str>)>, Stray> {
        let begin = self.next.start;
        let mut found = Vec::new();
        while self.takes(Kind::At) {
            let name = self.next;
            if !name.kind.is_word() {
                return Err(self.stray("the name of an annotation"));
            }
            self.take();
            let mut value = Cow::Borrowed("");
            if self.takes(Kind::Open) {
                let (token, plain) = self.quoted()?;
                value = text::borrowed(self.inside(token), plain)
                    .ok_or(Stray { at: token.start, expected: "a string with valid escapes" })?;
                self.expect(Kind::Close, "`)`")?;
            }
            found.push((self.slice(name), value));
        }
        if found.len() > 1 {
            let mut names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Stray { at: begin, expected: "every annotation once" });
            }
        }
        Ok(found)
    }

    fn side(&mut self, variable: Kind, slot: Kind, expected: &'static str) -> Result<Scope, Stray> {
        self.expect(variable, expected)?;
        let kind = if self.takes(Kind::Is) { Some(self.kind()?) } else { None };
        let equal = self.next.kind == Kind::Equal && kind.is_none();
        if !equal && self.next.kind != Kind::In {
            return Ok(Scope::Filled(Side { kind, anchor: Anchor::Any }));
        }
        self.take();
        Ok(match self.reference(Some(slot))? {
            Reference::Slot => Scope::Template,
            Reference::Entity(of, id) => {
                let anchor = if equal { Anchor::Is(of, id) } else { Anchor::In(of, id) };
                Scope::Filled(Side { kind, anchor })
            }
        })
    }

    fn actions(&mut self) -> Result<Actions, Stray> {
        self.expect(Kind::Action, "`action`")?;
        if self.takes(Kind::Equal) {
            let (kind, id) = self.action()?;
            return Ok(Actions::Is(kind, id));
        }
        if !self.takes(Kind::In) {
            return Ok(Actions::Any);
        }
        // A list may stand in brackets, as an entity may.
        let mut brackets = 0_usize;
        while self.takes(Kind::Open) {
            brackets += 1;
        }
        let mut all = Vec::new();
        if self.takes(Kind::OpenBracket) {
            while self.next.kind != Kind::CloseBracket {
                all.push(self.action()?);
                if !self.takes(Kind::Comma) {
                    break;
                }
            }
            self.expect(Kind::CloseBracket, "`,` or `]`")?;
        } else {
            all.push(self.action()?);
        }
        for _ in 0..brackets {
            self.expect(Kind::Close, "`)`")?;
        }
        Ok(Actions::In(all))
    }

    fn action(&mut self) -> Result<(String, String), Stray> {
        let missing = self.stray("an action, as in Action::\"read\"");
        match self.reference(None)? {
            Reference::Entity(kind, id) if kind.rsplit("::").next() == Some(ACTION) => Ok((kind, id)),
            _ => Err(missing),
        }
    }

    /// An entity or the slot, in any number of brackets.
    fn reference(&mut self, slot: Option<Kind>) -> Result<Reference, Stray> {
        let mut brackets = 0_usize;
        while self.takes(Kind::Open) {
            brackets += 1;
        }
        let found = if slot == Some(self.next.kind) {
            self.take();
            Reference::Slot
        } else {
            let first = self.identifier()?;
            let (kind, id) = self.entity(first)?;
            Reference::Entity(kind, id)
        };
        for _ in 0..brackets {
            self.expect(Kind::Close, "`)`")?;
        }
        Ok(found)
    }

    fn conditions(&mut self) -> Result<Vec<Term>, Stray> {
        let mut all = Vec::new();
        loop {
            let when = match self.slice(self.next) {
                "when" => true,
                "unless" => false,
                _ => return Ok(all),
            };
            self.take();
            self.expect(Kind::OpenBrace, "`{`")?;
            let part = self.expression()?;
            self.expect(Kind::CloseBrace, "an operator or `}`")?;
            match part.term {
                Term::All(parts) if when && part.chain == Chain::And => {
                    if all.is_empty() {
                        all = parts;
                    } else {
                        all.extend(parts);
                    }
                }
                term if when => all.push(term),
                term => all.push(Term::Unary(Unary::Not, Box::new(term))),
            }
        }
    }
}

impl Kind {
    /// Whether it is made of letters, reserved or not.
    fn is_word(self) -> bool {
        use Kind::{Action, Context, Else, False, Has, If, In, Is, Like, Principal, Resource, Then, True, Word};
        matches!(
            self,
            Word | Principal | Action | Resource | Context | True | False | If | Then | Else | In | Is | Has | Like
        )
    }
}
