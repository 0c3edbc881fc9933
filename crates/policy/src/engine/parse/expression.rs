//! Expressions, from the loosest operator to the signs. Chains are loops, brackets and `if` are recursion.

use super::grammar::Reader;
use super::lexer::Kind;
use super::{DOUBLED, LESS_DEPTH, MAX_HEIGHT, Stray};
use crate::engine::term::{Binary, Term, Unary};

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
    pub height: u32,
}

impl Part {
    pub(super) fn leaf(term: Term) -> Self {
        Self { term, chain: Chain::None, height: 0 }
    }

    /// A term over parts of which the highest is so high.
    pub(super) fn over(height: u32, term: Term) -> Self {
        Self { term, chain: Chain::None, height: height + 1 }
    }

    pub(super) fn unary(op: Unary, of: Self) -> Self {
        Self::over(of.height, Term::Unary(op, Box::new(of.term)))
    }

    pub(super) fn binary(op: Binary, left: Self, right: Self) -> Self {
        Self::over(left.height.max(right.height), Term::Binary(op, Box::new([left.term, right.term])))
    }
}

impl Reader<'_> {
    /// Refuses what is too high.
    pub(super) fn bounded(&self, part: Part) -> Result<Part, Stray> {
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

    pub(super) fn magnitude(&mut self) -> Result<u64, Stray> {
        let token = self.take();
        let number = self.slice(token).parse();
        number.map_err(|_| Stray { at: token.start, expected: "a number of 64 bits" })
    }
}
