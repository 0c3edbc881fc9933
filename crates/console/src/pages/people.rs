//! People: all of them, and everything about one.

use maud::{Markup, html};

use super::apps::facts;
use super::locks;
use crate::parts::table::{Column, Key, Table};
use crate::parts::{self, icon, layout, rows, time, words};
use crate::view::{Frame, Link, Person, PersonRow};

/// The people as a table.
pub(crate) fn table(all: &[PersonRow]) -> Table<'_, PersonRow> {
    Table {
        caption: "people",
        columns: vec![
            Column {
                key: "name",
                title: "Person",
                number: false,
                value: |r| Key::text(r.name.clone()),
                cell: |_, r| html! { b { (parts::link(&Link::person(&r.id, r.name.clone()))) } @if !r.active { " " span.chip { "not active" } } },
            },
            Column {
                key: "id",
                title: "Id",
                number: false,
                value: |r| Key::text(r.id.as_str()),
                cell: |_, r| html! { code.path { (r.id) } },
            },
            Column {
                key: "groups",
                title: "Groups",
                number: false,
                value: |r| Key::text(r.groups.iter().map(group_words).collect::<Vec<_>>().join(" ")),
                cell: |_, r| html! { @if r.groups.is_empty() { (parts::none("none")) } @else { (parts::links(&r.groups)) } },
            },
            Column {
                key: "methods",
                title: "Signs in by",
                number: false,
                value: |r| Key::text(words::methods(&r.methods)),
                cell: |_, r| html! { @if r.methods.is_empty() { (parts::none("nothing yet")) } @else { (words::methods(&r.methods)) } },
            },
            Column {
                key: "devices",
                title: "Devices",
                number: true,
                value: |r| Key::count(r.devices),
                cell: |_, r| html! { (words::count(r.devices)) },
            },
            Column {
                key: "sessions",
                title: "Sessions",
                number: true,
                value: |r| Key::count(r.sessions),
                cell: |_, r| html! { (words::count(r.sessions)) },
            },
            Column {
                key: "last",
                title: "Seen",
                number: false,
                value: |r| Key::Number(r.last.map_or(0, safeconduct_model::Timestamp::millis)),
                cell: |f, r| time::when_or(f.now, r.last, "never"),
            },
        ],
        rows: all,
        empty: parts::empty(
            "Nobody is known",
            "People come from a directory or from the estate. Each gets a page with access, sessions and history.",
            &parts::command("estate/people.toml"),
        ),
        anchor: None,
    }
}

/// The name of a group and its id, so that a link to a group finds its people.
fn group_words(group: &Link) -> String {
    let id = group.href.as_deref().and_then(|h| h.split_once("q=")).map_or("", |(_, id)| id);
    format!("{} {id}", group.text)
}

/// Every person.
#[must_use]
pub fn list(frame: &Frame, all: &[PersonRow]) -> Markup {
    let lead = html! { p { "Who may act, how they prove it, and when they were last seen." } };
    layout::console(frame, "People", &lead, &table(all).full(frame))
}

/// One person.
#[must_use]
pub fn page(frame: &Frame, view: &Person) -> Markup {
    let r = &view.row;
    let connections: u64 = view.sessions.iter().map(rows::total).sum();
    let lead = html! { p { code.path { (r.id) } " " @if r.active { "may act" } @else { span.chip { "not active" } } @if !r.groups.is_empty() { ", in " (parts::links(&r.groups)) } } };
    layout::console(
        frame,
        &r.name,
        &lead,
        &html! {
            section.card aria-label="Facts" { (facts(frame, &view.facts)) (locks::lead("person", r.id.as_str())) }
            section {
                div.section-head {
                    h2 { "Live sessions" }
                    @if !view.sessions.is_empty() {
                        (parts::post(frame, &format!("/console/people/{}/end-sessions", r.id), "danger", &format!(
                            "End {} and {}",
                            words::plural(view.sessions.len() as u64, "session", "sessions"),
                            words::plural(connections, "connection", "connections"),
                        )))
                    }
                }
                @if view.sessions.is_empty() { p.quiet { "Not signed in." } } @else { (rows::sessions(&view.sessions).plain(frame)) }
            }
            section { h2 { "Uses" } (rows::usage(&view.usage, "Application", html! { p.quiet { "Used nothing in the last 30 days." } }).plain(frame)) }
            section { h2 { "Devices" } @if view.devices.is_empty() { p.quiet { (icon::glyph("unknown")) " No device is known." } } @else { (rows::devices(&view.devices).plain(frame)) } }
            section { h2 { "Recent verdicts" } (rows::verdicts(&view.verdicts, html! { p.quiet { "Nothing is recorded yet." } }).plain(frame))
                p { a href=(format!("/console/watch?person={}", r.id)) { "All verdicts" } } }
            @if !view.cuts.is_empty() { section { h2 { "Connections that ended" } (rows::cuts(&view.cuts).plain(frame)) } }
        },
    )
}
