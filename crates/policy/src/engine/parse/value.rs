//! Values and what follows them: literals, variables, entities, sets, records, calls, attributes.

use super::Stray;
use super::expression::Part;
use super::grammar::Reader;
use super::lexer::Kind;
use crate::engine::term::{Binary, Term, Unary, Var};

/// A call with the value in front of it, and what it becomes.
#[derive(Clone, Copy)]
enum Method {
    Alone(Unary),
    With(Binary),
    /// With the sides swapped.
    Swapped(Binary),
}

impl Reader<'_> {
    /// A value and what follows it: attributes and method calls.
    pub(super) fn member(&mut self) -> Result<Part, Stray> {
        let first = self.primary()?;
        self.accesses(first)
    }

    pub(super) fn accesses(&mut self, mut part: Part) -> Result<Part, Stray> {
        loop {
            part = match self.next.kind {
                Kind::Dot => {
                    self.take();
                    let at = self.next.start;
                    let name = self.identifier()?;
                    if self.next.kind == Kind::Open {
                        let method = method(name).ok_or(Stray { at, expected: "the name of a method" })?;
                        self.call(method, part)?
                    } else {
                        Part::over(part.height, Term::Get(Box::new(part.term), name.to_owned()))
                    }
                }
                Kind::OpenBracket => {
                    self.take();
                    let name = self.string()?;
                    self.expect(Kind::CloseBracket, "`]`")?;
                    Part::over(part.height, Term::Get(Box::new(part.term), name))
                }
                Kind::Open => return Err(self.stray("no call of a value")),
                _ => return Ok(part),
            };
            part = self.bounded(part)?;
        }
    }

    fn call(&mut self, method: Method, of: Part) -> Result<Part, Stray> {
        if let Method::Alone(op) = method {
            self.take();
            self.expect(Kind::Close, "no argument")?;
            return Ok(Part::unary(op, of));
        }
        let argument = self.argument()?;
        Ok(match method {
            Method::Alone(op) => Part::unary(op, of),
            Method::With(op) => Part::binary(op, of, argument),
            Method::Swapped(op) => Part::binary(op, argument, of),
        })
    }

    /// Exactly one argument with its brackets.
    fn argument(&mut self) -> Result<Part, Stray> {
        self.expect(Kind::Open, "`(`")?;
        let argument = self.expression()?;
        self.takes(Kind::Comma);
        self.expect(Kind::Close, "one argument and `)`")?;
        Ok(argument)
    }

    fn primary(&mut self) -> Result<Part, Stray> {
        let var = match self.next.kind {
            Kind::Principal => Some(Var::Principal),
            Kind::Action => Some(Var::Action),
            Kind::Resource => Some(Var::Resource),
            Kind::Context => Some(Var::Context),
            Kind::Word => None,
            Kind::True | Kind::False => {
                let truth = self.take().kind == Kind::True;
                return Ok(Part::leaf(Term::Bool(truth)));
            }
            Kind::Number => {
                let at = self.next.start;
                let number = i64::try_from(self.magnitude()?);
                let number = number.map_err(|_| Stray { at, expected: "a number below 2^63" })?;
                return Ok(Part::leaf(Term::Long(number)));
            }
            Kind::Text { .. } => return Ok(Part::leaf(Term::Text(self.string()?))),
            Kind::Open => {
                self.take();
                let part = self.expression()?;
                self.expect(Kind::Close, "an operator or `)`")?;
                return Ok(part);
            }
            Kind::OpenBracket => return self.set(),
            Kind::OpenBrace => return self.record(),
            _ => return Err(self.stray("a value")),
        };
        let at = self.next.start;
        let name = self.identifier()?;
        if self.next.kind == Kind::Colons {
            let (kind, id) = self.entity(name)?;
            return Ok(Part::leaf(Term::Entity(kind, id)));
        }
        if let Some(var) = var {
            return Ok(Part::leaf(Term::Var(var)));
        }
        let op = match name {
            "ip" => Unary::Ip,
            "decimal" => Unary::Decimal,
            "datetime" => Unary::Datetime,
            "duration" => Unary::Duration,
            _ => return Err(Stray { at, expected: "a variable, an entity or a function" }),
        };
        let argument = self.argument()?;
        self.bounded(Part::unary(op, argument))
    }

    fn set(&mut self) -> Result<Part, Stray> {
        self.take();
        let (mut items, mut height) = (Vec::new(), 0);
        while self.next.kind != Kind::CloseBracket {
            let item = self.expression()?;
            height = height.max(item.height);
            items.push(item.term);
            if !self.takes(Kind::Comma) {
                break;
            }
        }
        self.expect(Kind::CloseBracket, "`,` or `]`")?;
        self.bounded(Part::over(height, Term::Set(items)))
    }

    /// The fields sorted by name, which is how Cedar keeps them.
    fn record(&mut self) -> Result<Part, Stray> {
        let begin = self.take().start;
        let (mut fields, mut height) = (Vec::new(), 0);
        while self.next.kind != Kind::CloseBrace {
            let name = match self.next.kind {
                Kind::Text { .. } => self.string()?,
                _ => self.identifier()?.to_owned(),
            };
            self.expect(Kind::Colon, "`:`")?;
            let value = self.expression()?;
            height = height.max(value.height);
            fields.push((name, value.term));
            if !self.takes(Kind::Comma) {
                break;
            }
        }
        self.expect(Kind::CloseBrace, "`,` or `}`")?;
        fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Stray { at: begin, expected: "a record that names every attribute once" });
        }
        self.bounded(Part::over(height, Term::Record(fields)))
    }
}

fn method(name: &str) -> Option<Method> {
    use Method::{Alone, Swapped, With};
    Some(match name {
        "contains" => With(Binary::Contains),
        "containsAll" => With(Binary::ContainsAll),
        "containsAny" => With(Binary::ContainsAny),
        "isEmpty" => Alone(Unary::IsEmpty),
        "getTag" => With(Binary::GetTag),
        "hasTag" => With(Binary::HasTag),
        "lessThan" => With(Binary::DecimalLess),
        "lessThanOrEqual" => With(Binary::DecimalLessEq),
        "greaterThan" => Swapped(Binary::DecimalLess),
        "greaterThanOrEqual" => Swapped(Binary::DecimalLessEq),
        "isInRange" => With(Binary::IsInRange),
        "isIpv4" => Alone(Unary::IsIpv4),
        "isIpv6" => Alone(Unary::IsIpv6),
        "isLoopback" => Alone(Unary::IsLoopback),
        "isMulticast" => Alone(Unary::IsMulticast),
        "offset" => With(Binary::Offset),
        "durationSince" => With(Binary::DurationSince),
        "toDate" => Alone(Unary::ToDate),
        "toTime" => Alone(Unary::ToTime),
        "toMilliseconds" => Alone(Unary::ToMilliseconds),
        "toSeconds" => Alone(Unary::ToSeconds),
        "toMinutes" => Alone(Unary::ToMinutes),
        "toHours" => Alone(Unary::ToHours),
        "toDays" => Alone(Unary::ToDays),
        _ => return None,
    })
}
