//! What is happening; is anything wrong?

use maud::{Markup, html};
use safeconduct_model::Reason;

use crate::parts::{self, icon, layout, rows, table, url, words};
use crate::view::{Answered, Frame, Watch};

/// Verdicts, sessions and cuts.
#[must_use]
pub fn page(frame: &Frame, view: &Watch) -> Markup {
    let lead = html! { p { "Every answer as it is recorded. Open one to see what it rests on." } };
    let empty = parts::empty(
        "No verdict fits",
        "A verdict appears here for every request to an application behind the gateway: allowed, denied, or refused because it was malformed.",
        &html! { a href=(frame.path) { "Show all" } },
    );
    let older = view.verdicts.last().map(|r| r.seq.to_string());
    layout::console(
        frame,
        "Watch",
        &lead,
        &html! {
            section aria-labelledby="verdicts" {
                div.section-head {
                    h2 #verdicts { "Verdicts" @if let Some(n) = view.total { " " span.of { (words::count(n)) } } }
                    @if frame.param("before").is_none() { (live(frame, view.verdicts.first().map_or(0, |r| r.seq))) }
                }
                (filter(frame, view))
                @let list = rows::verdicts(&view.verdicts, empty);
                div data-live-rows="" { (list.plain(frame)) }
                div.table-bar {
                    @if !view.verdicts.is_empty() { (table::exports(frame)) }
                    nav.pages aria-label="Pages" {
                        @if frame.param("before").is_some() { a href=(url::with(frame, &[])) { "Newest" } }
                        @if let Some(before) = older.filter(|_| view.more) { a rel="next" href=(url::with(frame, &[("before", &before)])) { "Older" } }
                    }
                }
            }
            section aria-labelledby="sessions" {
                h2 #sessions { "Live sessions " span.of { (words::count(view.sessions.len() as u64)) } }
                (rows::sessions(&view.sessions).plain(frame))
            }
            section aria-labelledby="cuts" {
                h2 #cuts { "Recent cuts" }
                (rows::cuts(&view.cuts).plain(frame))
            }
            (template())
        },
    )
}

/// The live switch: a script fills it, and without one a link loads the page again.
fn live(frame: &Frame, newest: u64) -> Markup {
    let source = url::query(
        "/console/events",
        frame.query.iter().filter(|(k, v)| !v.is_empty() && k != "format").map(|(k, v)| (k.as_str(), v.as_str())),
    );
    html! {
        p.live data-live=(source) data-newest=(newest) {
            span.live-dot aria-hidden="true" {}
            span role="status" data-live-status="" { a href=(url::with(frame, &[])) { "Load again" } }
            button.quiet-button.small type="button" data-live-pause="" hidden { "Pause" }
        }
    }
}

fn filter(frame: &Frame, view: &Watch) -> Markup {
    let chosen = |key: &str, value: &str| frame.param(key) == Some(value);
    html! {
        form.filters method="get" action=(frame.path) data-auto="" {
            label { span { "Answer" } select name="answer" {
                option value="" { "All" }
                @for a in Answered::ALL { option value=(a.name()) selected[chosen("answer", a.name())] { (a.words()) } }
            } }
            label { span { "Application" } select name="app" {
                option value="" { "All" }
                @for (id, name) in &view.apps { option value=(id) selected[chosen("app", id)] { (name) } }
            } }
            label { span { "Reason" } select name="reason" {
                option value="" { "Any" }
                @for r in Reason::ALL { option value=(r.code()) selected[chosen("reason", r.code())] { (r.code().replace('_', " ")) } }
            } }
            label { span { "Person" } input type="text" name="person" value=(frame.param("person").unwrap_or_default()) placeholder="id" autocomplete="off" spellcheck="false"; }
            button.quiet-button type="submit" { "Show" }
            @if ["answer", "app", "reason", "person", "device"].iter().any(|k| frame.param(k).is_some()) { a href=(frame.path) { "Clear" } }
        }
    }
}

/// What the script clones for a live row.
fn template() -> Markup {
    let sign = |class: &'static str, shape: &str, words: &str, name: &str| {
        html! { span class=(class) data-answer=(name) { (icon::glyph(shape)) (words) } }
    };
    html! {
        template #verdict-row {
            tr.fresh {
                td data-label="When" { a.row-link data-f="seq" { time data-f="at" {} } }
                td data-label="Answer" {
                    (sign("chip yes", "check", "allowed", "allowed"))
                    (sign("chip warn", "half", "would be denied", "would_deny"))
                    (sign("chip no", "cross", "denied", "denied"))
                    (sign("chip no", "bar", "refused", "refused"))
                }
                td data-label="Who" { a data-f="who" {} }
                td data-label="Application" { a data-f="app" {} }
                td data-label="What" { span.action data-f="action" {} " " code.path data-f="what" {} }
                td data-label="Device" { a data-f="device" {} }
                td data-label="Why not" { span data-f="reason" {} }
                td.num data-label="Took" { span data-f="took" {} }
            }
        }
    }
}
