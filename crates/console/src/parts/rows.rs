//! Tables that several pages show.

use maud::{Markup, html};

use super::table::{Column, Key, Table};
use super::{answered, empty, link, links, none, post, time, words};
use crate::view::{CutRow, DeviceRow, Link, SessionRow, Usage, VerdictRow};

fn name(of: &Link) -> Key {
    Key::text(of.text.clone())
}

fn name_or(of: Option<&Link>) -> Key {
    Key::text(of.map(|l| l.text.clone()).unwrap_or_default())
}

/// Verdicts, the newest first.
pub(crate) fn verdicts(rows: &[VerdictRow], empty: Markup) -> Table<'_, VerdictRow> {
    Table {
        caption: "verdicts",
        columns: vec![
            Column {
                key: "at",
                title: "When",
                number: false,
                value: |r| Key::text(r.at.to_string()),
                cell: |f, r| html! { a.row-link href=(format!("/console/verdicts/{}", r.seq)) { (time::when(f.now, r.at)) } },
            },
            Column {
                key: "answer",
                title: "Answer",
                number: false,
                value: |r| Key::text(r.answered.name()),
                cell: |_, r| answered(r.answered),
            },
            Column { key: "who", title: "Who", number: false, value: |r| name(&r.who), cell: |_, r| link(&r.who) },
            Column {
                key: "app",
                title: "Application",
                number: false,
                value: |r| name(&r.app),
                cell: |_, r| link(&r.app),
            },
            Column {
                key: "what",
                title: "What",
                number: false,
                value: |r| Key::text(r.what.clone()),
                cell: |_, r| html! { @if let Some(a) = r.action { span.action { (a.name()) } " " } code.path { (r.what) } },
            },
            Column {
                key: "device",
                title: "Device",
                number: false,
                value: |r| name_or(r.device.as_ref()),
                cell: |_, r| match &r.device {
                    Some(d) => link(d),
                    None => none("unknown"),
                },
            },
            Column {
                key: "reason",
                title: "Why not",
                number: false,
                value: |r| Key::text(r.reason.map(|c| c.code()).unwrap_or_default()),
                cell: |_, r| html! { @if let Some(c) = r.reason { span title=(c.code()) { (c.words().trim_end_matches('.')) } } },
            },
            Column {
                key: "took_us",
                title: "Took",
                number: true,
                value: |r| Key::count(r.took_us.into()),
                cell: |_, r| html! { (time::micros(r.took_us)) },
            },
        ],
        rows,
        empty,
        anchor: None,
    }
}

/// Live sessions, each with a button that says what it ends.
pub(crate) fn sessions(rows: &[SessionRow]) -> Table<'_, SessionRow> {
    Table {
        caption: "live sessions",
        columns: vec![
            Column {
                key: "person",
                title: "Person",
                number: false,
                value: |r| name(&r.person),
                cell: |_, r| link(&r.person),
            },
            Column {
                key: "device",
                title: "Device",
                number: false,
                value: |r| name_or(r.device.as_ref()),
                cell: |_, r| match &r.device {
                    Some(d) => link(d),
                    None => none("none proved itself"),
                },
            },
            Column {
                key: "proof",
                title: "Proven by",
                number: false,
                value: |r| Key::text(words::methods(&r.methods)),
                cell: |_, r| html! { (words::methods(&r.methods)) },
            },
            Column {
                key: "since",
                title: "Began",
                number: false,
                value: |r| Key::Number(r.since.millis()),
                cell: |f, r| time::when(f.now, r.since),
            },
            Column {
                key: "until",
                title: "Ends",
                number: false,
                value: |r| Key::Number(r.until.millis()),
                cell: |f, r| time::when(f.now, r.until),
            },
            Column {
                key: "ip",
                title: "Address",
                number: false,
                value: |r| Key::text(r.ip.to_string()),
                cell: |_, r| html! { code.path { (r.ip) } },
            },
            Column {
                key: "connections",
                title: "Live connections",
                number: false,
                value: |r| Key::count(total(r)),
                cell: |_, r| {
                    html! {
                        @if r.connections.is_empty() { (none("none open")) }
                        @for (i, (app, n)) in r.connections.iter().enumerate() { @if i > 0 { ", " } (link(app)) " " span.of { "×" (n) } }
                    }
                },
            },
            Column {
                key: "cut",
                title: "",
                number: false,
                value: |_| Key::text(""),
                cell: |f, r| {
                    let label =
                        format!("Cut: ends 1 session and {}", words::plural(total(r), "connection", "connections"));
                    post(f, &format!("/console/sessions/{}/cut", r.id), "danger small", &label)
                },
            },
        ],
        rows,
        empty: empty(
            "Nobody is signed in",
            "A session appears here when someone signs in, with the connections that rest on it and a button that ends them.",
            &html! { a.button href="/sign-in" { "Open the sign-in page" } },
        ),
        anchor: None,
    }
}

/// How many connections rest on a session.
pub(crate) fn total(r: &SessionRow) -> u64 {
    r.connections.iter().map(|(_, n)| *n).sum()
}

/// Connections that ended.
pub(crate) fn cuts(rows: &[CutRow]) -> Table<'_, CutRow> {
    Table {
        caption: "connections that ended",
        columns: vec![
            Column {
                key: "at",
                title: "When",
                number: false,
                value: |r| Key::Number(r.at.millis()),
                cell: |f, r| time::when(f.now, r.at),
            },
            Column { key: "who", title: "Who", number: false, value: |r| name(&r.who), cell: |_, r| link(&r.who) },
            Column {
                key: "app",
                title: "Application",
                number: false,
                value: |r| name(&r.app),
                cell: |_, r| link(&r.app),
            },
            Column {
                key: "cause",
                title: "Because",
                number: false,
                value: |r| Key::text(words::cause(r.cause)),
                cell: |_, r| html! { (words::cause(r.cause)) },
            },
            Column {
                key: "lasted",
                title: "Lived",
                number: true,
                value: |r| Key::count(r.lasted.millis()),
                cell: |_, r| html! { (r.lasted) },
            },
            Column {
                key: "delay_ms",
                title: "Change to cut",
                number: true,
                value: |r| Key::count(r.delay.map_or(0, safeconduct_model::Duration::millis)),
                cell: |_, r| match r.delay {
                    Some(d) => html! { b { (words::count(d.millis())) " ms" } },
                    None => none("–"),
                },
            },
        ],
        rows,
        empty: empty(
            "No connection was cut yet",
            "When a fact changes that a live connection rests on, the connection ends. Each end is listed with its cause and the milliseconds from the change to the cut.",
            &html! {},
        ),
        anchor: None,
    }
}

/// Use in counts.
pub(crate) fn usage<'a>(rows: &'a [Usage], other: &'static str, empty: Markup) -> Table<'a, Usage> {
    Table {
        caption: "use in the last 30 days",
        columns: vec![
            Column { key: "name", title: other, number: false, value: |r| name(&r.other), cell: |_, r| link(&r.other) },
            Column {
                key: "allowed",
                title: "Allowed",
                number: true,
                value: |r| Key::count(r.allowed),
                cell: |_, r| html! { (words::count(r.allowed)) },
            },
            Column {
                key: "denied",
                title: "Denied, or would be",
                number: true,
                value: |r| Key::count(r.denied),
                cell: |_, r| html! { (words::count(r.denied)) },
            },
            Column {
                key: "last",
                title: "Last",
                number: false,
                value: |r| Key::Number(r.last.map_or(0, safeconduct_model::Timestamp::millis)),
                cell: |f, r| time::when_or(f.now, r.last, "never"),
            },
        ],
        rows,
        empty,
        anchor: None,
    }
}

/// Devices.
pub(crate) fn devices(rows: &[DeviceRow]) -> Table<'_, DeviceRow> {
    Table {
        caption: "devices",
        columns: vec![
            Column {
                key: "name",
                title: "Device",
                number: false,
                value: |r| Key::text(r.name.clone()),
                cell: |_, r| link(&Link::device(&r.id, r.name.clone())),
            },
            Column {
                key: "owner",
                title: "Of",
                number: false,
                value: |r| name_or(r.owner.as_ref()),
                cell: |_, r| match &r.owner {
                    Some(o) => links(std::slice::from_ref(o)),
                    None => none("nobody named"),
                },
            },
            Column {
                key: "managed",
                title: "Managed",
                number: false,
                value: |r| Key::text(if r.managed { "managed" } else { "not managed" }),
                cell: |_, r| html! { @if r.managed { "managed" } @else { (none("not managed")) } },
            },
            Column {
                key: "state",
                title: "Posture",
                number: false,
                value: |r| Key::text(if r.compliant { "compliant" } else { "not compliant" }),
                cell: |_, r| posture(r.compliant, r.reported.is_some()),
            },
            Column {
                key: "failing",
                title: "Failing",
                number: false,
                value: |r| Key::text(r.failing.iter().map(|c| c.name()).collect::<Vec<_>>().join(" ")),
                cell: |_, r| html! { (r.failing.iter().map(|c| words::check(*c)).collect::<Vec<_>>().join(", ")) },
            },
            Column {
                key: "reported",
                title: "Reported",
                number: false,
                value: |r| Key::Number(r.reported.map_or(0, safeconduct_model::Timestamp::millis)),
                cell: |f, r| time::when_or(f.now, r.reported, "never"),
            },
            Column {
                key: "last",
                title: "Used",
                number: false,
                value: |r| Key::Number(r.last.map_or(0, safeconduct_model::Timestamp::millis)),
                cell: |f, r| time::when_or(f.now, r.last, "never"),
            },
        ],
        rows,
        empty: empty(
            "No device is known",
            "A device that has proved itself appears here with its posture, and rules can ask for it. Without one, a rule that asks for a device denies.",
            &super::command("safeconduct device enrol"),
        ),
        anchor: None,
    }
}

/// Whether a device meets the requirements, and how that is known.
pub(crate) fn posture(compliant: bool, reported: bool) -> Markup {
    match (compliant, reported) {
        (true, _) => super::table::state(true, "compliant"),
        (false, true) => super::table::state(false, "not compliant"),
        (false, false) => html! { span.chip { (super::icon::glyph("unknown")) "no report" } },
    }
}
