//! Conditions in a shape of our own, so that only one file knows Cedar's.

use std::fmt;

/// A condition or a value inside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// A path from one of the four variables: `context.device.managed`.
    Path(Path),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text.
    Text(String),
    /// An entity: its type and id.
    Entity(String, String),
    /// A set of values.
    Set(Vec<Expr>),
    /// All hold.
    And(Box<Expr>, Box<Expr>),
    /// One holds.
    Or(Box<Expr>, Box<Expr>),
    /// Does not hold.
    Not(Box<Expr>),
    /// A comparison of two values.
    Compare(Compare, Box<Expr>, Box<Expr>),
    /// The left set contains the right value.
    Contains(Box<Expr>, Box<Expr>),
    /// The path exists.
    Has(Path),
    /// The text at the path matches the pattern, in which `*` stands for any run.
    Like(Box<Expr>, String),
    /// The left entity is the right one or below it.
    In(Box<Expr>, Box<Expr>),
    /// The left address lies in the right network.
    InRange(Box<Expr>, Box<Expr>),
    /// A constant of an extension type: `ip("10.0.0.0/8")`.
    Constant(&'static str, String),
    /// Anything else: Cedar evaluates it, we only know what it reads.
    Other {
        /// The Cedar text.
        text: String,
        /// The paths in it.
        reads: Vec<Path>,
    },
}

/// A path from a variable: `["context", "device", "managed"]`.
pub(crate) type Path = Vec<String>;

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

impl Compare {
    /// The same comparison with its sides swapped.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            same => same,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

impl Expr {
    /// The conditions that must all hold, left to right.
    pub fn conjuncts(&self) -> Vec<&Expr> {
        match self {
            Self::And(left, right) => {
                let mut all = left.conjuncts();
                all.extend(right.conjuncts());
                all
            }
            other => vec![other],
        }
    }

    /// Calls `visit` on this expression and on everything inside it.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(self);
        match self {
            Self::And(a, b)
            | Self::Or(a, b)
            | Self::Compare(_, a, b)
            | Self::Contains(a, b)
            | Self::In(a, b)
            | Self::InRange(a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            Self::Not(e) | Self::Like(e, _) => e.walk(visit),
            Self::Set(items) => items.iter().for_each(|e| e.walk(visit)),
            Self::Path(_)
            | Self::Bool(_)
            | Self::Long(_)
            | Self::Text(_)
            | Self::Entity(..)
            | Self::Has(_)
            | Self::Constant(..)
            | Self::Other { .. } => {}
        }
    }

    /// Every context path that it reads, without the leading `context`.
    pub fn reads(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(&mut |e| match e {
            Self::Path(p) | Self::Has(p) => found.extend(context_path(p)),
            Self::Other { reads, .. } => found.extend(reads.iter().filter_map(|p| context_path(p))),
            _ => {}
        });
        found.sort();
        found.dedup();
        found
    }

    /// `path OP number`, whichever way round it was written.
    pub fn as_number_bound(&self) -> Option<(String, Compare, i64)> {
        let Self::Compare(op, left, right) = self else { return None };
        match (left.as_ref(), right.as_ref()) {
            (Self::Path(p), Self::Long(n)) => Some((context_path(p)?, *op, *n)),
            (Self::Long(n), Self::Path(p)) => Some((context_path(p)?, op.mirrored(), *n)),
            _ => None,
        }
    }

    /// `path == text`, or `[texts].contains(path)`: the path and the texts.
    pub fn as_text_choice(&self) -> Option<(String, Vec<String>)> {
        let text = |e: &Expr| if let Self::Text(t) = e { Some(t.clone()) } else { None };
        let path = |e: &Expr| if let Self::Path(p) = e { context_path(p) } else { None };
        match self {
            Self::Compare(Compare::Eq, a, b) => {
                path(a).zip(text(b)).or_else(|| path(b).zip(text(a))).map(|(p, t)| (p, vec![t]))
            }
            Self::Contains(set, item) => {
                let Self::Set(items) = set.as_ref() else { return None };
                Some((path(item)?, items.iter().map(text).collect::<Option<Vec<_>>>()?))
            }
            _ => None,
        }
    }

    /// `[numbers].contains(path)`.
    pub fn as_number_choice(&self) -> Option<(String, Vec<i64>)> {
        let Self::Contains(set, item) = self else { return None };
        let (Self::Set(items), Self::Path(p)) = (set.as_ref(), item.as_ref()) else { return None };
        let numbers = items.iter().map(|e| if let Self::Long(n) = e { Some(*n) } else { None });
        Some((context_path(p)?, numbers.collect::<Option<Vec<_>>>()?))
    }

    /// A bare boolean path: `(path, wanted)`.
    pub fn as_flag(&self) -> Option<(String, bool)> {
        match self {
            Self::Path(p) => Some((context_path(p)?, true)),
            Self::Not(inner) => inner.as_flag().map(|(p, wanted)| (p, !wanted)),
            Self::Compare(Compare::Eq, a, b) => match (a.as_ref(), b.as_ref()) {
                (Self::Path(p), Self::Bool(v)) | (Self::Bool(v), Self::Path(p)) => Some((context_path(p)?, *v)),
                _ => None,
            },
            _ => None,
        }
    }
}

fn context_path(path: &[String]) -> Option<String> {
    match path.split_first() {
        Some((var, rest)) if var == "context" && !rest.is_empty() => Some(rest.join(".")),
        _ => None,
    }
}

impl fmt::Display for Expr {
    /// Cedar text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(p) => f.write_str(&p.join(".")),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Long(n) => write!(f, "{n}"),
            Self::Text(t) => write!(f, "{t:?}"),
            Self::Entity(ty, id) => write!(f, "{ty}::{id:?}"),
            Self::Set(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::And(a, b) => write!(f, "{a} && {b}"),
            Self::Or(a, b) => write!(f, "({a} || {b})"),
            Self::Not(e) => write!(f, "!({e})"),
            Self::Compare(op, a, b) => write!(f, "{a} {} {b}", op.symbol()),
            Self::Contains(set, item) => write!(f, "{set}.contains({item})"),
            Self::Has(p) => match p.split_first() {
                Some((var, rest)) => write!(f, "{var} has {}", rest.join(".")),
                None => Ok(()),
            },
            Self::Like(e, pattern) => write!(f, "{e} like {pattern:?}"),
            Self::In(a, b) => write!(f, "{a} in {b}"),
            Self::InRange(a, b) => write!(f, "{a}.isInRange({b})"),
            Self::Constant(function, text) => write!(f, "{function}({text:?})"),
            Self::Other { text, .. } => f.write_str(text),
        }
    }
}
