//! Who uses what as a matrix, for maps with too many nodes to draw as columns.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::map::short;
use crate::parts::words;
use crate::view::Map;

/// Rows that are drawn; the rest stands in the table.
const MAX_ROWS: usize = 60;
/// Columns that are drawn; the rest stands in the table.
const MAX_COLUMNS: usize = 40;
const CELL: usize = 22;
const LEFT: usize = 200;
const TOP: usize = 130;

#[derive(Default)]
struct Cell {
    allowed: u64,
    would: u64,
    denied: u64,
}

/// The drawing: one row for each asker, one column for each application.
pub(crate) fn draw(map: &Map) -> Markup {
    let mut cells: BTreeMap<(&str, &str), Cell> = BTreeMap::new();
    let mut whos: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for f in &map.flows {
        let cell = cells.entry((&f.who.key, f.app.as_str())).or_default();
        cell.allowed += f.allowed;
        cell.would += f.would_deny;
        cell.denied += f.denied;
        let who = whos.entry(&f.who.key).or_insert((0, &f.who.name.text));
        who.0 += f.allowed + f.would_deny + f.denied;
    }
    let mut rows: Vec<(&str, u64, &str)> = whos.into_iter().map(|(k, (n, name))| (k, n, name)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let hidden = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    let columns: Vec<_> = map.apps.iter().take(MAX_COLUMNS).collect();
    let (width, height) = (LEFT + columns.len() * CELL + 120, TOP + rows.len() * CELL + 8);
    html! {
        svg.map.matrix viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) role="img" aria-labelledby="map-title" {
            title #map-title { "Who uses what, " (rows.len()) " by " (columns.len()) }
            @for (i, app) in columns.iter().enumerate() {
                @let x = LEFT + i * CELL + CELL / 2;
                text.column transform=(format!("translate({x} {}) rotate(-50)", TOP - 8)) { (short(&app.name, 20)) }
            }
            @for (j, (key, _, name)) in rows.iter().enumerate() {
                @let y = TOP + j * CELL;
                text.row x=(LEFT - 8) y=(y + 15) text-anchor="end" { (short(name, 26)) }
                @for (i, app) in columns.iter().enumerate() {
                    @let cell = cells.get(&(*key, app.id.as_str()));
                    rect class=(format!("cell {}", cell.map_or("none", state))) x=(LEFT + i * CELL) y=(y) width=(CELL - 2) height=(CELL - 2) rx="3" {
                        @if let Some(c) = cell {
                            title { (name) " to " (app.name) ": " (words::count(c.allowed)) " allowed, " (words::count(c.would)) " would be denied, " (words::count(c.denied)) " denied" }
                        }
                    }
                }
            }
        }
        @if hidden > 0 { p.quiet { (words::count(hidden as u64)) " more rows stand in the table below; filter by application or group to draw them." } }
    }
}

fn state(c: &Cell) -> &'static str {
    match (c.allowed, c.would, c.denied) {
        (_, w, _) if w > 0 => "would",
        (0, _, d) if d > 0 => "denied",
        (a, _, _) if a >= 100 => "allowed much",
        _ => "allowed",
    }
}
