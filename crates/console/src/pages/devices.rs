//! Devices: all of them, and everything about one.

use maud::{Markup, html};

use super::apps::facts;
use crate::parts::{layout, rows, table, time, words};
use crate::view::{Device, DeviceRow, Frame};

/// Every device.
#[must_use]
pub fn list(frame: &Frame, all: &[DeviceRow]) -> Markup {
    let good = all.iter().filter(|d| d.compliant).count() as u64;
    let lead = html! { p { "No report, or an old one, is not a compliant device. " @if !all.is_empty() { (words::count(good)) " of " (words::count(all.len() as u64)) " are compliant." } } };
    layout::console(frame, "Devices", &lead, &rows::devices(all).full(frame))
}

/// One device.
#[must_use]
pub fn page(frame: &Frame, view: &Device) -> Markup {
    let r = &view.row;
    let lead = html! { p {
        (rows::posture(r.compliant, r.reported.is_some())) " reported " (time::when_or(frame.now, r.reported, "never"))
        @if let Some(until) = view.fresh_until { ", counts until " (time::when(frame.now, until)) }
    } };
    layout::console(
        frame,
        &r.name,
        &lead,
        &html! {
            div.two {
                section.card { h2 { "Facts" } (facts(frame, &view.facts)) (super::locks::lead("device", view.row.id.as_str())) }
                section.card {
                    h2 { "Checks" }
                    ul.checks { @for c in &view.checks {
                        li { (table::state(c.passes, if c.passes { "passes" } else { "fails" })) span { (words::capital(words::check(c.check))) @if !c.required { " " span.quiet { "not required" } } }
                            @if !c.passes { span.quiet { "Remedy: " (c.check.remedy()) } } }
                    } }
                }
            }
            section { h2 { "Live sessions" } @if view.sessions.is_empty() { p.quiet { "No session is bound to it." } } @else { (rows::sessions(&view.sessions).plain(frame)) } }
            section { h2 { "Recent verdicts" } (rows::verdicts(&view.verdicts, html! { p.quiet { "Nothing is recorded yet." } }).plain(frame))
                p { a href=(format!("/console/watch?device={}", r.id)) { "All verdicts" } } }
        },
    )
}
