//! Tables: filter, order and page in the URL, and the same rows as CSV or JSON.

use std::cmp::Ordering;

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::{icon, url, words};
use crate::view::Frame;

/// Rows on one page.
pub(crate) const PAGE_ROWS: usize = 50;
/// Rows in one export.
const EXPORT_ROWS: usize = 100_000;

/// What a column sorts by and exports.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Key {
    /// Text, ordered without regard to case.
    Text(String),
    /// A number.
    Number(i64),
}

impl Key {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
    pub(crate) fn count(n: u64) -> Self {
        Self::Number(i64::try_from(n).unwrap_or(i64::MAX))
    }
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()).then_with(|| a.cmp(b)),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
        }
    }
    fn plain(&self) -> String {
        match self {
            Self::Text(t) => t.clone(),
            Self::Number(n) => n.to_string(),
        }
    }
}

/// One column of rows of `T`.
pub(crate) struct Column<T> {
    /// Its name in URLs and exports.
    pub(crate) key: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// Whether it holds numbers, set to the right.
    pub(crate) number: bool,
    /// What it sorts by and exports.
    pub(crate) value: fn(&T) -> Key,
    /// What it shows.
    pub(crate) cell: fn(&Frame, &T) -> Markup,
}

/// A table.
pub(crate) struct Table<'a, T> {
    /// What it lists, for a screen reader and the name of the export.
    pub(crate) caption: &'static str,
    /// Its columns.
    pub(crate) columns: Vec<Column<T>>,
    /// Its rows.
    pub(crate) rows: &'a [T],
    /// What is shown instead of no rows.
    pub(crate) empty: Markup,
    /// The anchor of a row.
    pub(crate) anchor: Option<fn(&T) -> String>,
}

impl<T> Table<'_, T> {
    /// Every row that the filter of the URL leaves, in the order of the URL.
    pub(crate) fn selected(&self, frame: &Frame) -> Vec<&T> {
        let wanted = frame.param("q").unwrap_or_default().to_lowercase();
        let holds = |row: &&T| {
            wanted.is_empty() || self.columns.iter().any(|c| (c.value)(row).plain().to_lowercase().contains(&wanted))
        };
        let mut rows: Vec<&T> = self.rows.iter().filter(holds).collect();
        if let Some(column) = frame.param("sort").and_then(|key| self.columns.iter().find(|c| c.key == key)) {
            rows.sort_by_cached_key(|row| Sorted((column.value)(row)));
            if frame.param("dir") == Some("desc") {
                rows.reverse();
            }
        }
        rows
    }

    /// The table with its filter, its pages and its exports.
    pub(crate) fn full(&self, frame: &Frame) -> Markup {
        if self.rows.is_empty() {
            return self.empty.clone();
        }
        let rows = self.selected(frame);
        let pages = rows.len().div_ceil(PAGE_ROWS).max(1);
        let page = frame.param("page").and_then(|p| p.parse::<usize>().ok()).unwrap_or(1).clamp(1, pages);
        let from = (page - 1) * PAGE_ROWS;
        let shown: Vec<&T> = rows.iter().skip(from).take(PAGE_ROWS).copied().collect();
        html! {
            div.table-bar {
                form.filter method="get" action=(frame.path) role="search" {
                    @for (k, v) in frame.query.iter().filter(|(k, _)| !matches!(k.as_str(), "q" | "page" | "format")) {
                        input type="hidden" name=(k) value=(v);
                    }
                    label.visually-hidden for="q" { "Filter " (self.caption) }
                    input #q type="search" name="q" value=(frame.param("q").unwrap_or_default()) placeholder="Filter";
                    button.quiet-button type="submit" { "Filter" }
                }
                p.counted { b { (words::count(rows.len() as u64)) } " of " (words::count(self.rows.len() as u64)) }
                (exports(frame))
            }
            @if rows.is_empty() {
                p.quiet { "Nothing fits this filter. " a href=(url::with(frame, &[("q", "")])) { "Show all" } }
            } @else {
                (self.markup(frame, &shown, true))
                @if pages > 1 {
                    nav.pages aria-label="Pages" {
                        @if page > 1 { a rel="prev" href=(url::with(frame, &[("page", &(page - 1).to_string())])) { "Previous" } }
                        span { "Page " (page) " of " (pages) }
                        @if page < pages { a rel="next" href=(url::with(frame, &[("page", &(page + 1).to_string())])) { "Next" } }
                    }
                }
            }
        }
    }

    /// The rows alone.
    pub(crate) fn plain(&self, frame: &Frame) -> Markup {
        if self.rows.is_empty() {
            return self.empty.clone();
        }
        self.markup(frame, &self.rows.iter().collect::<Vec<_>>(), false)
    }

    fn markup(&self, frame: &Frame, rows: &[&T], sortable: bool) -> Markup {
        html! {
            div.table-wrap tabindex="0" role="region" aria-label=(self.caption) {
                table {
                    caption.visually-hidden { (self.caption) }
                    thead { tr { @for c in &self.columns { (heading(frame, c, sortable)) } } }
                    tbody {
                        @for row in rows {
                            tr id=[self.anchor.map(|a| a(row))] {
                                @for c in &self.columns {
                                    td class=[c.number.then_some("num")] data-label=(c.title) { ((c.cell)(frame, row)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The rows as CSV (RFC 4180). A cell that a spreadsheet would run as a formula gets an apostrophe in front.
    pub(crate) fn csv(&self, frame: &Frame) -> String {
        let mut out = self.columns.iter().map(|c| c.key).collect::<Vec<_>>().join(",");
        out.push_str("\r\n");
        for row in self.selected(frame).into_iter().take(EXPORT_ROWS) {
            let cells: Vec<String> = self.columns.iter().map(|c| csv_cell(&(c.value)(row))).collect();
            out.push_str(&cells.join(","));
            out.push_str("\r\n");
        }
        out
    }

    /// The rows as JSON.
    pub(crate) fn json(&self, frame: &Frame) -> Value {
        let row = |row: &T| {
            let cells = self.columns.iter().map(|c| {
                let value = match (c.value)(row) {
                    Key::Text(t) => Value::from(t),
                    Key::Number(n) => Value::from(n),
                };
                (c.key.to_owned(), value)
            });
            Value::Object(cells.collect::<Map<_, _>>())
        };
        Value::Array(self.selected(frame).into_iter().take(EXPORT_ROWS).map(row).collect())
    }
}

/// The links to the exports of what is shown.
pub(crate) fn exports(frame: &Frame) -> Markup {
    html! {
        p.exports {
            a href=(url::with(frame, &[("format", "csv")])) download { "CSV" }
            a href=(url::with(frame, &[("format", "json")])) { "JSON" }
        }
    }
}

fn heading<T>(frame: &Frame, c: &Column<T>, sortable: bool) -> Markup {
    let here = frame.param("sort") == Some(c.key);
    let down = here && frame.param("dir") == Some("desc");
    let state = match (here, down) {
        (false, _) => None,
        (true, false) => Some("ascending"),
        (true, true) => Some("descending"),
    };
    let next = if here && !down { "desc" } else { "" };
    html! {
        th scope="col" class=[c.number.then_some("num")] aria-sort=[state] {
            @if sortable && !c.title.is_empty() {
                a href=(url::with(frame, &[("sort", c.key), ("dir", next)])) {
                    (c.title)
                    @if here { span.sorted aria-hidden="true" { @if down { "↓" } @else { "↑" } } }
                }
            } @else if c.title.is_empty() {
                span.visually-hidden { "Actions" }
            } @else { (c.title) }
        }
    }
}

fn csv_cell(key: &Key) -> String {
    match key {
        Key::Number(n) => n.to_string(),
        Key::Text(t) => {
            let guard = if t.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
            format!("\"{guard}{}\"", t.replace('"', "\"\""))
        }
    }
}

#[derive(PartialEq)]
struct Sorted(Key);
impl Eq for Sorted {}
impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.order(&other.0)
    }
}

/// A table as a file, if the URL asks for one.
pub(crate) enum Export {
    /// CSV text.
    Csv(String),
    /// A JSON array.
    Json(Value),
}

impl Export {
    /// What the URL asks for.
    pub(crate) fn asked<T>(frame: &Frame, table: &Table<'_, T>) -> Option<Self> {
        match frame.param("format") {
            Some("csv") => Some(Self::Csv(table.csv(frame))),
            Some("json") => Some(Self::Json(table.json(frame))),
            _ => None,
        }
    }
}

/// A sign and the words of a state, in a cell.
pub(crate) fn state(good: bool, words: &str) -> Markup {
    html! { span class=(if good { "chip yes" } else { "chip warn" }) { (icon::glyph(if good { "check" } else { "alarm" })) (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(query: &[(&str, &str)]) -> Frame {
        Frame {
            visitor: None,
            now: safeconduct_model::Timestamp::default(),
            organisation: String::new(),
            path: "/t".into(),
            query: query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            assets: "/assets".into(),
        }
    }

    fn table<'a>(rows: &'a [(&'static str, u64)]) -> Table<'a, (&'static str, u64)> {
        Table {
            caption: "things",
            columns: vec![
                Column {
                    key: "name",
                    title: "Name",
                    number: false,
                    value: |r| Key::text(r.0),
                    cell: |_, r| html! { (r.0) },
                },
                Column { key: "n", title: "N", number: true, value: |r| Key::count(r.1), cell: |_, r| html! { (r.1) } },
            ],
            rows,
            empty: html! { "none" },
            anchor: None,
        }
    }

    #[test]
    fn the_url_filters_orders_and_pages() {
        let rows = [("b", 10), ("A", 9), ("c", 100)];
        let names = |q: &[(&str, &str)]| table(&rows).selected(&frame(q)).iter().map(|r| r.0).collect::<String>();
        assert_eq!(names(&[]), "bAc");
        assert_eq!(names(&[("sort", "name")]), "Abc");
        assert_eq!(names(&[("sort", "n"), ("dir", "desc")]), "cbA", "numbers order as numbers");
        assert_eq!(names(&[("q", "10")]), "bc");
        assert_eq!(names(&[("sort", "nonsense")]), "bAc");
        let many: Vec<(&'static str, u64)> = (0..120).map(|n| ("x", n)).collect();
        let page = table(&many).full(&frame(&[("page", "3")])).into_string();
        assert_eq!(page.matches("<tr").count(), 21, "one heading and the last twenty");
        assert!(table(&many).full(&frame(&[("page", "99999999999999999999")])).into_string().contains("Page 1 of 3"));
    }

    #[test]
    fn a_formula_in_a_name_does_not_run_in_a_spreadsheet() {
        let rows = [("=HYPERLINK(\"x\")", 1)];
        assert_eq!(table(&rows).csv(&frame(&[])), "name,n\r\n\"'=HYPERLINK(\"\"x\"\")\",1\r\n");
        let told = serde_json::json!([{ "name": "=HYPERLINK(\"x\")", "n": 1 }]);
        assert_eq!(table(&rows).json(&frame(&[])), told);
    }
}
