//! What is handed to the ledger: a whole record, or a verdict like one before.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use safeconduct_model::{Access, Record, RequestId, Timestamp};

use crate::text::{member, push_number, push_signed, push_string};

/// How many parts of a verdict vary.
const HOLES: usize = 5;

/// A record that is to be written.
#[derive(Clone, Debug)]
pub enum Draft {
    /// All of it.
    Whole(Record),
    /// A verdict that differs from others in what every request has of its own.
    Like {
        /// What they have in common.
        pattern: Arc<Pattern>,
        /// Which request.
        request: RequestId,
        /// Its method.
        method: Cow<'static, str>,
        /// Its canonical path.
        path: Arc<str>,
        /// When it was decided.
        decided: Timestamp,
        /// How long that took, in microseconds.
        took_us: u32,
    },
}

/// The verdicts of one standing: the same answer for the same reasons, for one request after the other. It holds the
/// JSON of their records, cut open where they differ.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    access: Box<Access>,
    /// What serde writes behind `"at":T,`, without that which varies.
    text: Box<[u8]>,
    /// Where in the text each part belongs: request, method, path, instant, microseconds.
    holes: [usize; HOLES],
}

/// What a verdict has of its own. The texts are borrowed: handing it in costs no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varying<'a> {
    /// Which request.
    pub request: &'a RequestId,
    /// Its method.
    pub method: &'a str,
    /// Its canonical path.
    pub path: &'a str,
    /// When it was decided.
    pub decided: Timestamp,
    /// How long that took, in microseconds.
    pub took_us: u32,
}

impl Pattern {
    /// The pattern of all verdicts like this one.
    #[must_use]
    pub fn of(access: Access) -> Self {
        let record = Record::Access(Box::new(access));
        let json = serde_json::to_vec(&record).expect("a verdict is JSON");
        let Record::Access(access) = record else { unreachable!("it was put in as a verdict") };
        let within = |object: usize, key| member(&json, object, key).expect("every verdict has this member");
        let ask = within(0, "ask").start;
        let what = within(ask, "what").start;
        let inside = |quoted: std::ops::Range<usize>| quoted.start + 1..quoted.end - 1;
        let ranges = [
            inside(within(ask, "request")),
            inside(within(what, "method")),
            inside(within(what, "path")),
            within(0, "decided"),
            within(0, "took_us"),
        ];
        let (mut text, mut holes, mut from) = (Vec::with_capacity(json.len()), [0; HOLES], 1);
        for (hole, range) in holes.iter_mut().zip(ranges) {
            // In the order of the record, or the slice is none.
            text.extend_from_slice(&json[from..range.start]);
            *hole = text.len();
            from = range.end;
        }
        text.extend_from_slice(&json[from..]);
        Self { access, text: text.into(), holes }
    }

    /// One of the verdicts: what it shares is what all share.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// How long the line is at most, when what varies has `varying` bytes of text.
    #[must_use]
    pub(crate) fn room(&self, varying: usize) -> usize {
        /// The longest escape of a byte.
        const ESCAPE: usize = 6;
        /// Two numbers of 20 digits.
        const NUMBERS: usize = 40;
        self.text.len() + varying * ESCAPE + NUMBERS
    }

    /// Appends the record without its first brace, which is what stands behind `"at":T,` in a line.
    pub(crate) fn write(&self, varying: &Texts<'_>, out: &mut Vec<u8>) {
        let Texts { request, method, path, decided, took_us } = *varying;
        let [a, b, c, d, e] = self.holes;
        out.extend_from_slice(&self.text[..a]);
        push_string(request, out);
        out.extend_from_slice(&self.text[a..b]);
        push_string(method, out);
        out.extend_from_slice(&self.text[b..c]);
        push_string(path, out);
        out.extend_from_slice(&self.text[c..d]);
        push_signed(decided.millis(), out);
        out.extend_from_slice(&self.text[d..e]);
        push_number(took_us.into(), out);
        out.extend_from_slice(&self.text[e..]);
    }

    /// The whole verdict.
    #[must_use]
    pub fn with(&self, varying: &Varying<'_>) -> Access {
        let Varying { request, method, path, decided, took_us } = *varying;
        let mut access = (*self.access).clone();
        access.ask.request = request.clone();
        access.ask.what.method = method.to_owned();
        access.ask.what.path = path.to_owned();
        (access.decided, access.took_us) = (decided, took_us);
        access
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("access", &self.access).finish_non_exhaustive()
    }
}

/// What varies, as text that was taken from a [`Varying`] and kept somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Varying`")]
pub struct Texts<'a> {
    pub request: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub decided: Timestamp,
    pub took_us: u32,
}

impl<'a> From<&Varying<'a>> for Texts<'a> {
    fn from(varying: &Varying<'a>) -> Self {
        let Varying { request, method, path, decided, took_us } = *varying;
        Self { request: request.as_str(), method, path, decided, took_us }
    }
}

impl From<Record> for Draft {
    fn from(record: Record) -> Self {
        Self::Whole(record)
    }
}

impl Draft {
    /// The verdict that this is, or one that it is like: right in all but request, method, path, instant and microseconds.
    #[must_use]
    pub fn verdict(&self) -> Option<&Access> {
        match self {
            Self::Whole(Record::Access(access)) => Some(access),
            Self::Whole(_) => None,
            Self::Like { pattern, .. } => Some(pattern.access()),
        }
    }

    /// The whole record.
    #[must_use]
    pub fn record(&self) -> Record {
        match self {
            Self::Whole(record) => record.clone(),
            Self::Like { pattern, request, method, path, decided, took_us } => {
                let varying = Varying { request, method, path, decided: *decided, took_us: *took_us };
                Record::Access(Box::new(pattern.with(&varying)))
            }
        }
    }
}

/// A method as a text that costs nothing where it is one of the known ones.
#[must_use]
pub fn method_text(method: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    match KNOWN.into_iter().find(|known| *known == method) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(method.to_owned()),
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
