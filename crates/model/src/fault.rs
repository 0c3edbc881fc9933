//! A fault in a text that a person wrote: where it is, what is wrong, what to do.

use std::fmt;

/// One fault. Checks collect all of them before they refuse a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, as the person knows it.
    pub file: String,
    /// The line, from 1; 0 speaks of the whole file.
    pub line: u32,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// A fault at `line` of `file`.
    pub fn new(file: impl Into<String>, line: u32, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.into(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Fault {
    /// `policies/finance.cedar:12: what is wrong` and the remedy on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what)?,
            line => write!(f, "{}:{line}: {}", self.file, self.what)?,
        }
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "\n    {}", self.remedy) }
    }
}
