//! Policy text to clauses, without Cedar: the same language, the same result, a fraction of the time.
//!
//! [`statement`] reads one rule in one pass, by recursive descent with one token ahead. It refuses whatever Cedar refuses and
//! yields the very terms that come out of Cedar's public syntax tree. What it refuses beyond that is nesting deeper than
//! [`MAX_NESTED`] and [`MAX_HEIGHT`], and calls with a number of arguments that no term can say; the caller asks Cedar then.

mod expression;
mod grammar;
mod lexer;
mod text;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::term::Clause;

pub(crate) use grammar::statement;

/// How deep brackets and `if` may be nested in one another, because each level is a level of recursion.
pub(crate) const MAX_NESTED: u32 = 100;
/// How high the term of a condition may be; what walks over terms recurses.
pub(crate) const MAX_HEIGHT: u32 = 198;
/// How much of the height `e is T in g` takes for its `e`, which its term says twice: else terms grow by powers of two.
pub(crate) const DOUBLED: u32 = 28;

/// What a statement says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed<'t> {
    /// The rule, without an id. Nothing for a template, which decides nothing until it is linked.
    pub clause: Option<Clause>,
    /// Names and values, as they come; an annotation without a value has an empty one.
    pub annotations: Vec<(&'t str, Cow<'t, str>)>,
}

/// Where a text leaves the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// The byte at which it does.
    pub at: usize,
    /// What should stand there.
    pub expected: &'static str,
}

/// What is said where a bound of depth is met, and only there.
const LESS_DEPTH: &str = "less nesting";

/// Whether a text was refused for its depth alone.
pub(crate) fn is_too_deep(stray: Stray) -> bool {
    stray.expected == LESS_DEPTH
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at byte {}: expected {}", self.at, self.expected)
    }
}
