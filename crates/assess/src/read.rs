//! Reading a TOML table strictly: every unknown key, every missing one and every wrong type is told, all together.

use safeconduct_model::Fault;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Collects faults while a text is read.
pub(crate) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    faults: Vec<Fault>,
}

/// A table with the place where it begins.
#[derive(Clone, Copy)]
pub(crate) struct Table<'v, 't> {
    map: &'v DeTable<'t>,
    start: usize,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, faults: Vec::new() }
    }

    pub(crate) fn fault(&mut self, offset: usize, what: impl Into<String>, remedy: impl Into<String>) {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = u32::try_from(1 + before.matches('\n').count()).unwrap_or(u32::MAX);
        self.faults.push(Fault::new(self.file, line, what, remedy));
    }

    /// A fault of the whole file.
    pub(crate) fn fault_of_file(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.faults.push(Fault::new(self.file, 0, what, remedy));
    }

    pub(crate) fn done<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }

    pub(crate) fn faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Tells every key of the table that is not one of these.
    pub(crate) fn only(&mut self, table: Table<'_, '_>, keys: &[&str]) {
        for key in table.map.keys() {
            let name: &str = key.get_ref();
            if !keys.contains(&name) {
                let remedy = format!("remove it, or use one of: {}", keys.join(", "));
                self.fault(key.span().start, format!("unknown key `{name}`"), remedy);
            }
        }
    }

    /// The value, or a fault if it is missing.
    fn needed<'v>(&mut self, table: Table<'v, 't>, key: &str) -> Option<&'v Spanned<DeValue<'t>>> {
        let found = table.get(key);
        if found.is_none() {
            self.fault(table.start, format!("`{key}` is missing"), format!("add `{key} = …`"));
        }
        found
    }

    pub(crate) fn text(&mut self, table: Table<'_, 't>, key: &str) -> Option<String> {
        let value = self.needed(table, key)?;
        self.as_text(value, key)
    }

    pub(crate) fn text_if_any(&mut self, table: Table<'_, 't>, key: &str) -> Option<String> {
        let value = table.get(key)?;
        self.as_text(value, key)
    }

    fn as_text(&mut self, value: &Spanned<DeValue<'t>>, key: &str) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            Some(_) => {
                self.fault(value.span().start, format!("`{key}` is empty"), "write something, or remove the key");
                None
            }
            None => {
                self.wrong(value, key, "a text in quotes");
                None
            }
        }
    }

    /// One word out of a list of `(word, value)`.
    pub(crate) fn word<T: Copy>(&mut self, table: Table<'_, 't>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.needed(table, key)?;
        self.as_word(value, key, words)
    }

    pub(crate) fn word_if_any<T: Copy>(&mut self, table: Table<'_, 't>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let value = table.get(key)?;
        self.as_word(value, key, words)
    }

    fn as_word<T: Copy>(&mut self, value: &Spanned<DeValue<'t>>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.as_text(value, key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let remedy = format!("use one of: {}", list.join(", "));
            self.fault(value.span().start, format!("`{key}` cannot be `{text}`"), remedy);
        }
        found
    }

    /// Several words.
    pub(crate) fn words<T: Copy>(&mut self, table: Table<'_, 't>, key: &str, words: &[(&str, T)]) -> Vec<T> {
        let Some(value) = self.needed(table, key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(value, key, "a list of texts");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.as_word(item, key, words)).collect()
    }

    pub(crate) fn number(&mut self, table: Table<'_, 't>, key: &str) -> Option<f64> {
        let value = self.needed(table, key)?;
        let found = as_number(value.get_ref());
        if found.is_none() {
            self.wrong(value, key, "a number");
        }
        found
    }

    pub(crate) fn whole_if_any(&mut self, table: Table<'_, 't>, key: &str) -> Option<u64> {
        let value = table.get(key)?;
        let found = value.get_ref().as_integer().and_then(|i| i.as_str().parse().ok());
        if found.is_none() {
            self.wrong(value, key, "a whole number, 0 or more");
        }
        found
    }

    /// A number, or one of these words.
    pub(crate) fn number_or_word<T: Copy>(
        &mut self,
        table: Table<'_, 't>,
        key: &str,
        words: &[(&str, T)],
        number: &dyn Fn(f64) -> T,
    ) -> Option<T> {
        let value = table.get(key)?;
        match as_number(value.get_ref()) {
            Some(n) => Some(number(n)),
            None => self.as_word(value, key, words),
        }
    }

    pub(crate) fn table<'v>(&mut self, table: Table<'v, 't>, key: &str) -> Option<Table<'v, 't>> {
        let value = self.needed(table, key)?;
        self.as_table(value, key)
    }

    pub(crate) fn tables<'v>(&mut self, table: Table<'v, 't>, key: &str) -> Vec<Table<'v, 't>> {
        let Some(value) = self.needed(table, key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(value, key, "a list of tables");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.as_table(item, key)).collect()
    }

    fn as_table<'v>(&mut self, value: &'v Spanned<DeValue<'t>>, key: &str) -> Option<Table<'v, 't>> {
        match value.get_ref().as_table() {
            Some(map) => Some(Table { map, start: value.span().start }),
            None => {
                self.wrong(value, key, "a table");
                None
            }
        }
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'t>>, key: &str, wanted: &str) {
        let what = format!("`{key}` is not {wanted}");
        self.fault(value.span().start, what, format!("write {wanted}"));
    }
}

impl<'v, 't> Table<'v, 't> {
    pub(crate) fn root(map: &'v DeTable<'t>) -> Self {
        Self { map, start: 0 }
    }

    pub(crate) fn start(self) -> usize {
        self.start
    }

    pub(crate) fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn get(self, key: &str) -> Option<&'v Spanned<DeValue<'t>>> {
        self.map.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }
}

fn as_number(value: &DeValue<'_>) -> Option<f64> {
    let text = match value {
        DeValue::Integer(i) => i.as_str(),
        DeValue::Float(f) => f.as_str(),
        _ => return None,
    };
    text.parse().ok().filter(|n: &f64| n.is_finite())
}
