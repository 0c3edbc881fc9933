//! Expressions, from the loosest operator to the tightest. Chains are loops, brackets and `if` are recursion.

use super::grammar::Reader;
use super::lexer::Kind;
use super::{DOUBLED, LESS_DEPTH, MAX_HEIGHT, Stray};
use crate::engine::term::{Binary, Term, Unary, Var};

/// How many `!` or `-` may stand in a row.
const MOST_SIGNS: u32 = 4;

/// Whether a term is a chain of an operator. Only such a chain goes on when it is the left side of the same operator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    None,
    And,
    Or,
}

/// A term that has been read.
pub(super) struct Part {
    pub term: Term,
    pub chain: Chain,
    /// How many levels stand below it.
    height: u32,
}

/// A call with the value in front of it, and what it becomes.
#[derive(Clone, Copy)]
enum Method {
    Alone(Unary),
    With(Binary),
    /// With the sides swapped.
    Swapped(Binary),
}

impl Part {
    fn leaf(term: Term) -> Self {
        Self { term, chain: Chain::None, height: 0 }
    }

    /// A term over parts of which the highest is so high.
    fn over(height: u32, term: Term) -> Self {
        Self { term, chain: Chain::None, height: height + 1 }
    }

    fn unary(op: Unary, of: Self) -> Self {
        Self::over(of.height, Term::Unary(op, Box::new(of.term)))
    }

    fn binary(op: Binary, left: Self, right: Self) -> Self {
        Self::over(left.height.max(right.height), Term::Binary(op, Box::new([left.term, right.term])))
    }
}

impl Reader<'_> {
    /// Refuses what is too high.
    fn bounded(&self, part: Part) -> Result<Part, Stray> {
        if part.height <= MAX_HEIGHT { Ok(part) } else { Err(self.stray(LESS_DEPTH)) }
    }

    pub(super) fn expression(&mut self) -> Result<Part, Stray> {
        self.down()?;
        let part = if self.next.kind == Kind::If { self.choice() } else { self.or() };
        self.up();
        part
    }

    fn choice(&mut self) -> Result<Part, Stray> {
        self.take();
        let condition = self.expression()?;
        self.expect(Kind::Then, "`then`")?;
        let then = self.expression()?;
        self.expect(Kind::Else, "`else`")?;
        let otherwise = self.expression()?;
        let height = condition.height.max(then.height).max(otherwise.height);
        self.bounded(Part::over(height, Term::If(Box::new([condition.term, then.term, otherwise.term]))))
    }

    fn or(&mut self) -> Result<Part, Stray> {
        let first = self.and()?;
        if self.next.kind != Kind::Or {
            return Ok(first);
        }
        let (mut parts, mut height) = match first {
            Part { term: Term::Any(parts), chain: Chain::Or, height } => (parts, height),
            Part { term, height, .. } => (vec![term], height + 1),
        };
        while self.takes(Kind::Or) {
            let next = self.and()?;
            height = height.max(next.height + 1);
            parts.push(next.term);
        }
        self.bounded(Part { term: Term::Any(parts), chain: Chain::Or, height })
    }

    fn and(&mut self) -> Result<Part, Stray> {
        let first = self.relation()?;
        if self.next.kind != Kind::And {
            return Ok(first);
        }
        let (mut parts, mut height) = match first {
            Part { term: Term::All(parts), chain: Chain::And, height } => (parts, height),
            Part { term, height, .. } => (vec![term], height + 1),
        };
        while self.takes(Kind::And) {
            let next = self.relation()?;
            height = height.max(next.height + 1);
            parts.push(next.term);
        }
        self.bounded(Part { term: Term::All(parts), chain: Chain::And, height })
    }

    /// One comparison at most; there is no `a < b < c`.
    fn relation(&mut self) -> Result<Part, Stray> {
        let left = self.sum()?;
        let (op, swapped) = match self.next.kind {
            Kind::Equal | Kind::Unequal => (Binary::Eq, false),
            Kind::Less => (Binary::Less, false),
            Kind::LessEqual => (Binary::LessEq, false),
            Kind::Greater => (Binary::Less, true),
            Kind::GreaterEqual => (Binary::LessEq, true),
            Kind::In => (Binary::In, false),
            Kind::Has | Kind::Like | Kind::Is => return self.test(left),
            _ => return Ok(left),
        };
        let not = self.take().kind == Kind::Unequal;
        let right = self.sum()?;
        let mut part = if swapped { Part::binary(op, right, left) } else { Part::binary(op, left, right) };
        if not {
            part.term = Term::Unary(Unary::Not, Box::new(part.term));
        }
        self.bounded(part)
    }

    /// `has`, `like` and `is`, of which the right side is no expression.
    fn test(&mut self, left: Part) -> Result<Part, Stray> {
        let (of, mut height) = (Box::new(left.term), left.height);
        let term = match self.take().kind {
            Kind::Has if matches!(self.next.kind, Kind::Text { .. }) => Term::Has(of, vec![self.string()?]),
            Kind::Has => {
                let mut path = vec![self.identifier()?.to_owned()];
                while self.takes(Kind::Dot) {
                    path.push(self.identifier()?.to_owned());
                }
                Term::Has(of, path)
            }
            Kind::Like => Term::Like(of, self.pattern()?),
            _ => {
                let kind = self.kind()?;
                if self.takes(Kind::In) {
                    let group = self.sum()?;
                    height = (height + DOUBLED).max(group.height);
                    if height > MAX_HEIGHT {
                        return Err(self.stray(LESS_DEPTH));
                    }
                    let within = Term::Binary(Binary::In, Box::new([of.as_ref().clone(), group.term]));
                    Term::All(vec![Term::Is(of, kind), within])
                } else {
                    Term::Is(of, kind)
                }
            }
        };
        self.bounded(Part::over(height, term))
    }

    fn sum(&mut self) -> Result<Part, Stray> {
        let mut left = self.product()?;
        loop {
            let op = match self.next.kind {
                Kind::Plus => Binary::Add,
                Kind::Minus => Binary::Sub,
                _ => return Ok(left),
            };
            self.take();
            let right = self.product()?;
            left = self.bounded(Part::binary(op, left, right))?;
        }
    }

    fn product(&mut self) -> Result<Part, Stray> {
        let mut left = self.signed()?;
        while self.takes(Kind::Star) {
            let right = self.signed()?;
            left = self.bounded(Part::binary(Binary::Mul, left, right))?;
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Part, Stray> {
        let sign = self.next.kind;
        let op = match sign {
            Kind::Bang => Unary::Not,
            Kind::Minus => Unary::Neg,
            _ => return self.member(),
        };
        let mut signs = 0;
        while self.takes(sign) {
            signs += 1;
            if signs > MOST_SIGNS {
                return Err(self.stray("four signs in a row at most"));
            }
        }
        let mut part = if sign == Kind::Minus && self.next.kind == Kind::Number {
            // The last sign belongs to the number, unless something is done with the number first.
            let number = self.magnitude()?;
            if matches!(self.next.kind, Kind::Dot | Kind::Open | Kind::OpenBracket) {
                let number = i64::try_from(number).map_err(|_| self.stray("a number below 2^63 in front"))?;
                self.accesses(Part::leaf(Term::Long(number)))?
            } else {
                signs -= 1;
                let number =
                    0_i64.checked_sub_unsigned(number).ok_or_else(|| self.stray("a number down to -2^63 in front"))?;
                Part::leaf(Term::Long(number))
            }
        } else {
            self.member()?
        };
        for _ in 0..signs {
            part = Part::unary(op, part);
        }
        self.bounded(part)
    }

    fn magnitude(&mut self) -> Result<u64, Stray> {
        let token = self.take();
        let number = self.slice(token).parse();
        number.map_err(|_| Stray { at: token.start, expected: "a number of 64 bits" })
    }

    /// A value and what follows it: attributes and method calls.
    fn member(&mut self) -> Result<Part, Stray> {
        let first = self.primary()?;
        self.accesses(first)
    }

    fn accesses(&mut self, mut part: Part) -> Result<Part, Stray> {
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
