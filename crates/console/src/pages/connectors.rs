//! Connectors: all of them, and the way to let one in no more.

use maud::{Markup, html};

use crate::parts::table::{Column, Key, Table};
use crate::parts::{command, empty, layout, links, post, table, time, words};
use crate::view::{ConnectorRow, ConnectorState, Frame};

/// Every connector.
#[must_use]
pub fn list(frame: &Frame, all: &[ConnectorRow]) -> Markup {
    let linked = all.iter().filter(|c| c.state == ConnectorState::Linked).count() as u64;
    let lead = html! { p { "A connector dials out from where applications live, so that nothing listens there. " @if !all.is_empty() { (words::count(linked)) " of " (words::count(all.len() as u64)) " are linked." } } };
    layout::console(frame, "Connectors", &lead, &rows(all).full(frame))
}

/// The table.
pub(crate) fn rows(all: &[ConnectorRow]) -> Table<'_, ConnectorRow> {
    Table {
        caption: "connectors",
        columns: vec![
            Column {
                key: "name",
                title: "Connector",
                number: false,
                value: |r| Key::text(r.name.to_string()),
                cell: |_, r| html! { (r.name.to_string()) },
            },
            Column {
                key: "site",
                title: "Site",
                number: false,
                value: |r| Key::text(r.site.clone()),
                cell: |_, r| html! { (r.site) },
            },
            Column {
                key: "state",
                title: "State",
                number: false,
                value: |r| Key::text(r.state.words()),
                cell: |_, r| table::state(r.state == ConnectorState::Linked, r.state.words()),
            },
            Column {
                key: "version",
                title: "Version",
                number: false,
                value: |r| Key::text(r.version.clone().unwrap_or_default()),
                cell: |_, r| html! { (r.version.as_deref().unwrap_or("–")) },
            },
            Column {
                key: "from",
                title: "From",
                number: false,
                value: |r| Key::text(r.from.clone().unwrap_or_default()),
                cell: |_, r| html! { (r.from.as_deref().unwrap_or("–")) },
            },
            Column {
                key: "since",
                title: "Since",
                number: false,
                value: |r| Key::Number(r.since.millis()),
                cell: |f, r| time::when(f.now, r.since),
            },
            Column {
                key: "streams",
                title: "Streams",
                number: true,
                value: |r| Key::count(r.streams),
                cell: |_, r| html! { (words::count(r.streams)) },
            },
            Column {
                key: "applications",
                title: "Applications",
                number: false,
                value: |r| Key::text(r.applications.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join(" ")),
                cell: |_, r| links(&r.applications),
            },
            Column {
                key: "until",
                title: "Certificate ends",
                number: false,
                value: |r| Key::Number(r.until.millis()),
                cell: |f, r| time::when(f.now, r.until),
            },
            Column {
                key: "revoke",
                title: "",
                number: false,
                value: |_| Key::text(""),
                cell: |f, r| html! { @if r.state != ConnectorState::Revoked { (post(f, &format!("/console/connectors/{}/revoke", r.name), "danger small", "Revoke")) } },
            },
        ],
        rows: all,
        empty: empty(
            "No connector has joined",
            "Name a site in the estate, write connector = \"SITE\" at its applications, and start a connector where they live with a token of its own.",
            &command("safeconduct connector token SITE"),
        ),
        anchor: None,
    }
}
