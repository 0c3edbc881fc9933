//! Locks: those there are, the way to place one, the way to lift one.

use maud::{Markup, html};
use safeconduct_model::{LockTarget, Timestamp};

use super::sign_in::error;
use crate::parts::table::{Column, Key, Table};
use crate::parts::{self, layout, link, post, table, time, url};
use crate::view::{Frame, LockForm, LockRow};

/// How long a lock may be made to last on the page.
const LENGTHS: [(&str, &str); 6] = [
    ("", "until it is lifted"),
    ("1h", "for an hour"),
    ("8h", "for 8 hours"),
    ("1d", "for a day"),
    ("7d", "for a week"),
    ("30d", "for 30 days"),
];

/// Every lock, and the form for another.
#[must_use]
pub fn page(frame: &Frame, all: &[LockRow], form: &LockForm, wrong: Option<&str>) -> Markup {
    let lead = html! { p { "A lock shuts out one person, device, application or the like at once, whatever the rules say. What is live and rests on it is cut. Nothing else changes: when it ends, everything is decided as before." } };
    layout::console(
        frame,
        "Locks",
        &lead,
        &html! {
            section { (rows(all).full(frame)) }
            (place(frame, form, wrong))
        },
    )
}

fn place(frame: &Frame, form: &LockForm, wrong: Option<&str>) -> Markup {
    html! {
        section.card.lock-form #place aria-labelledby="place-title" {
            h2 #place-title { "Place a lock" }
            (error(wrong))
            form.stack method="post" action="/console/locks" {
                (parts::csrf(frame))
                div.pair {
                    label { span { "What" } select name="kind" required {
                        @for kind in LockTarget::KINDS { option value=(kind) selected[form.kind == kind] { (kind) } }
                    } }
                    label { span { "Its id " span.quiet { "for a connector SITE/NAME" } } input type="text" name="name" value=(form.name) autocapitalize="none" autocomplete="off" spellcheck="false" required; }
                }
                label { span { "Message " span.quiet { "what whoever is refused is told: why, and whom to call" } } input type="text" name="message" value=(form.message) maxlength=(safeconduct_model::MAX_MESSAGE) autocomplete="off" required; }
                label { span { "How long" } select name="lasts" {
                    @for (value, words) in LENGTHS { option value=(value) selected[form.lasts == value] { (words) } }
                } }
                p.buttons { button.danger type="submit" { "Lock it now" } }
            }
        }
    }
}

/// The button on the page of a thing that leads to the form, filled in.
pub(crate) fn lead(kind: &str, name: &str) -> Markup {
    let to = format!("/console/locks?kind={}&name={}#place", url::encode(kind), url::encode(name));
    html! { p.lock-lead { a.quiet-button href=(to) { "Lock this " (kind) "…" } } }
}

/// The table.
pub(crate) fn rows(all: &[LockRow]) -> Table<'_, LockRow> {
    Table {
        caption: "locks",
        columns: vec![
            Column {
                key: "on",
                title: "Locked",
                number: false,
                value: |r| Key::text(r.on.text.clone()),
                cell: |_, r| html! { b { (link(&r.on)) } " " span.quiet { (r.kind) } },
            },
            Column {
                key: "state",
                title: "State",
                number: false,
                value: |r| Key::text(state(r)),
                cell: |_, r| table::state(!r.in_force, state(r)),
            },
            Column {
                key: "message",
                title: "Message",
                number: false,
                value: |r| Key::text(r.message.clone()),
                cell: |_, r| html! { (r.message) },
            },
            Column {
                key: "until",
                title: "Ends",
                number: false,
                value: |r| Key::Number(r.until.map_or(i64::MAX, Timestamp::millis)),
                cell: |f, r| time::when_or(f.now, r.until, "when it is lifted"),
            },
            Column {
                key: "by",
                title: "Placed by",
                number: false,
                value: |r| Key::text(r.by.text.clone()),
                cell: |f, r| html! { (link(&r.by)) " " (time::when(f.now, r.placed)) },
            },
            Column {
                key: "id",
                title: "Lock",
                number: false,
                value: |r| Key::text(r.id.as_str()),
                cell: |_, r| html! { code.path { (r.id) } },
            },
            Column {
                key: "lift",
                title: "",
                number: false,
                value: |_| Key::text(""),
                cell: |f, r| html! { @if r.in_force { (post(f, &format!("/console/locks/{}/lift", r.id), "quiet-button small", "Lift")) } },
            },
        ],
        rows: all,
        empty: parts::empty(
            "Nothing is locked",
            "Shut out a person, a device or an application in an instant: its live connections end, sign-in is refused, and everybody who is turned away reads your message.",
            &parts::command("safeconduct lock add --person ada --message \"Call 7-300.\""),
        ),
        anchor: None,
    }
}

const fn state(row: &LockRow) -> &'static str {
    if row.in_force { "in force" } else { "ended" }
}
