//! Reads TOML tables key by key, remembers what nobody read, and tells every fault with its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use safeconduct_model::{Duration, Fault, Timestamp};
use toml::de::{DeTable, DeValue};

/// One text file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The file, as the person knows it.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// Where faults are gathered.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

/// A position in a file.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Faults {
    pub(crate) fn tell(&mut self, at: &At, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Fault::new(&at.file, at.line, what, remedy));
    }
}

/// A table that is being read. Keys that are left when it is [`done`](Table::done) are faults.
pub(crate) struct Table<'t> {
    source: &'t Text,
    name: String,
    pub(crate) at: At,
    left: BTreeMap<&'t str, (Range<usize>, &'t DeValue<'t>, Range<usize>)>,
    asked: Vec<&'static str>,
}

/// A value and where it stands.
pub(crate) struct Found<'t> {
    pub(crate) at: At,
    value: &'t DeValue<'t>,
}

/// Parses a text into its root table; syntax errors are told, and what could be read is read all the same.
pub(crate) fn parse<'t>(source: &'t Text, faults: &mut Faults) -> toml::Spanned<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let at = At { file: source.file.clone(), line: error.span().map_or(0, |s| line(&source.text, s.start)) };
        faults.tell(&at, error.message(), "this is not TOML; see https://toml.io for the syntax");
    }
    table
}

fn line(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    u32::try_from(1 + memchr::memchr_iter(b'\n', before).count()).unwrap_or(u32::MAX)
}

impl<'t> Table<'t> {
    /// Begins to read a table that is called `name` in messages.
    pub(crate) fn new(source: &'t Text, name: &str, table: &'t DeTable<'t>, start: usize) -> Self {
        let left = table.iter().map(|(k, v)| (k.get_ref().as_ref(), (k.span(), v.get_ref(), v.span()))).collect();
        let at = At { file: source.file.clone(), line: line(&source.text, start) };
        Self { source, name: name.to_owned(), at, left, asked: Vec::new() }
    }

    fn take(&mut self, key: &'static str) -> Option<Found<'t>> {
        self.asked.push(key);
        let (key_span, value, _) = self.left.remove(key)?;
        let at = At { file: self.source.file.clone(), line: line(&self.source.text, key_span.start) };
        Some(Found { at, value })
    }

    /// Where a key stands, or else where its table begins.
    pub(crate) fn at_of(&self, key: &str) -> At {
        let line = self.left.get(key).map_or(self.at.line, |(span, ..)| line(&self.source.text, span.start));
        At { file: self.source.file.clone(), line }
    }

    /// A text, if the key is there.
    pub(crate) fn text(&mut self, key: &'static str, faults: &mut Faults) -> Option<(At, String)> {
        let found = self.take(key)?;
        match found.value {
            DeValue::String(s) => Some((found.at, s.to_string())),
            other => {
                faults.tell(&found.at, format!("`{key}` is {}, not a text", kind(other)), "put it in quotes");
                None
            }
        }
    }

    /// A text that parses into a type of its own.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &'static str, remedy: &str, faults: &mut Faults) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let (at, text) = self.text(key, faults)?;
        text.parse().map_err(|e: T::Err| faults.tell(&at, format!("`{key}`: {e}"), remedy)).ok()
    }

    /// Like [`parsed`](Self::parsed), and the key must be there.
    pub(crate) fn required<T: FromStr>(&mut self, key: &'static str, remedy: &str, faults: &mut Faults) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        if !self.left.contains_key(key) {
            self.asked.push(key);
            faults.tell(&self.at, format!("{} needs `{key}`", self.name), remedy);
            return None;
        }
        self.parsed(key, remedy, faults)
    }

    /// One of a few words.
    pub(crate) fn word<T>(
        &mut self,
        key: &'static str,
        from: impl Fn(&str) -> Option<T>,
        words: &str,
        faults: &mut Faults,
    ) -> Option<T> {
        let (at, text) = self.text(key, faults)?;
        let found = from(&text);
        if found.is_none() {
            faults.tell(&at, format!("`{key}` cannot be `{text}`"), format!("use one of: {words}"));
        }
        found
    }

    /// A truth value.
    pub(crate) fn flag(&mut self, key: &'static str, faults: &mut Faults) -> Option<bool> {
        let found = self.take(key)?;
        match found.value {
            DeValue::Boolean(b) => Some(*b),
            other => {
                faults.tell(&found.at, format!("`{key}` is {}, not true or false", kind(other)), "write true or false");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, key: &'static str, bounds: Range<u64>, faults: &mut Faults) -> Option<u64> {
        let found = self.take(key)?;
        let number = match found.value {
            DeValue::Integer(i) => u64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok(),
            _ => None,
        };
        let good = number.filter(|n| bounds.contains(n));
        if good.is_none() {
            let what = format!("`{key}` must be a whole number from {} to {}", bounds.start, bounds.end - 1);
            faults.tell(&found.at, what, "correct the number");
        }
        good
    }

    /// A span such as `"15 min"` or `"12h"`.
    pub(crate) fn span(&mut self, key: &'static str, faults: &mut Faults) -> Option<Duration> {
        let (at, text) = self.text(key, faults)?;
        let span = duration(&text);
        if span.is_none() {
            faults.tell(
                &at,
                format!("`{key}`: `{text}` is not a span of time"),
                "write it as in \"30s\", \"15min\", \"12h\", \"7d\"",
            );
        }
        span
    }

    /// An instant, as an RFC 3339 text or a TOML date-time with offset.
    pub(crate) fn instant(&mut self, key: &'static str, faults: &mut Faults) -> Option<Timestamp> {
        let found = self.take(key)?;
        let text = match found.value {
            DeValue::String(s) => s.to_string(),
            DeValue::Datetime(d) => d.to_string(),
            _ => String::new(),
        };
        match text.parse::<jiff::Timestamp>() {
            Ok(t) => Some(Timestamp::from_millis(t.as_millisecond())),
            Err(_) => {
                faults.tell(
                    &found.at,
                    format!("`{key}` is not an instant"),
                    "write it with an offset, as in 2026-09-30T18:00:00+02:00",
                );
                None
            }
        }
    }

    /// A list of texts, each parsed.
    pub(crate) fn list<T: FromStr>(&mut self, key: &'static str, remedy: &str, faults: &mut Faults) -> Option<Vec<T>>
    where
        T::Err: std::fmt::Display,
    {
        let found = self.take(key)?;
        let DeValue::Array(items) = found.value else {
            faults.tell(
                &found.at,
                format!("`{key}` is {}, not a list", kind(found.value)),
                "write it as in [\"a\", \"b\"]",
            );
            return None;
        };
        let mut parsed = Vec::new();
        for item in items.iter() {
            let at = At { file: found.at.file.clone(), line: line(&self.source.text, item.span().start) };
            match item.get_ref() {
                DeValue::String(s) => match s.parse::<T>() {
                    Ok(value) => parsed.push(value),
                    Err(e) => faults.tell(&at, format!("`{key}`: {e}"), remedy),
                },
                other => faults.tell(&at, format!("`{key}` holds {}, not only texts", kind(other)), remedy),
            }
        }
        Some(parsed)
    }

    /// A table within.
    pub(crate) fn table(&mut self, key: &'static str, faults: &mut Faults) -> Option<Table<'t>> {
        self.asked.push(key);
        let (key_span, value, _) = self.left.remove(key)?;
        match value {
            DeValue::Table(t) => Some(Table::new(self.source, &format!("[{key}]"), t, key_span.start)),
            other => {
                let at = At { file: self.source.file.clone(), line: line(&self.source.text, key_span.start) };
                faults.tell(&at, format!("`{key}` is {}, not a table", kind(other)), format!("write it as [{key}]"));
                None
            }
        }
    }

    /// The tables `[key.NAME]`, by name.
    pub(crate) fn named_tables(&mut self, key: &'static str, faults: &mut Faults) -> Vec<(String, Table<'t>)> {
        let title = self.name.trim_matches(['[', ']']).to_owned();
        let Some(inner) = self.table(key, faults) else { return Vec::new() };
        let mut tables = Vec::new();
        for (name, (span, value, _)) in inner.left {
            let at = At { file: self.source.file.clone(), line: line(&self.source.text, span.start) };
            match value {
                DeValue::Table(t) => {
                    let title = format!("[{title}.{key}.{name}]");
                    tables.push((name.to_owned(), Table::new(self.source, &title, t, span.start)));
                }
                other => {
                    let remedy = format!("write it as [{title}.{key}.{name}]");
                    faults.tell(&at, format!("`{name}` is {}, not a table", kind(other)), remedy);
                }
            }
        }
        tables
    }

    /// The texts of a table whose keys are names.
    pub(crate) fn named_texts(&mut self, key: &'static str, faults: &mut Faults) -> Vec<(String, String)> {
        let Some(inner) = self.table(key, faults) else { return Vec::new() };
        let mut texts = Vec::new();
        for (name, (span, value, _)) in inner.left {
            match value {
                DeValue::String(text) => texts.push((name.to_owned(), text.to_string())),
                other => {
                    let at = At { file: self.source.file.clone(), line: line(&self.source.text, span.start) };
                    faults.tell(&at, format!("`{name}` is {}, not a text", kind(other)), "put it in quotes");
                }
            }
        }
        texts
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables(&mut self, key: &'static str, faults: &mut Faults) -> Vec<Table<'t>> {
        let Some(found) = self.take(key) else { return Vec::new() };
        let DeValue::Array(items) = found.value else {
            faults.tell(
                &found.at,
                format!("`{key}` is {}, not a list of tables", kind(found.value)),
                format!("write it as [[{key}]]"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(t) => tables.push(Table::new(self.source, &format!("[[{key}]]"), t, item.span().start)),
                other => {
                    faults.tell(&found.at, format!("`{key}` holds {}", kind(other)), format!("write it as [[{key}]]"));
                }
            }
        }
        tables
    }

    /// Ends the reading: what nobody asked for is unknown, and unknown keys are faults.
    pub(crate) fn done(self, faults: &mut Faults) {
        for (key, (span, ..)) in &self.left {
            let at = At { file: self.source.file.clone(), line: line(&self.source.text, span.start) };
            let near = self.asked.iter().min_by_key(|k| distance(k, key)).filter(|k| distance(k, key) <= 2);
            let remedy = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{} takes: {}", self.name, self.asked.join(", ")),
            };
            faults.tell(&at, format!("{} has no key `{key}`", self.name), remedy);
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `90s`, `15 min`, `12h`, `7 d`, `250ms`.
fn duration(text: &str) -> Option<Duration> {
    text.parse().ok()
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = usize::from(ca != *cb);
            let best = (diagonal + cost).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        for (text, ms) in
            [("250ms", 250), ("90s", 90_000), ("15 min", 900_000), ("12h", 43_200_000), ("7d", 604_800_000)]
        {
            assert_eq!(duration(text).map(Duration::millis), Some(ms), "{text}");
        }
        for bad in ["", "12", "h", "-1h", "1.5h", "1 week"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_near_miss_is_named() {
        assert_eq!(distance("upstream", "upstraem"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
