//! A denial that explains itself, and problems. Both stand alone: they are shown on the hosts of applications too.

use maud::{Markup, html};

use super::remedy;
use safeconduct_model::Reason;

use crate::parts::{self, icon, layout, time, words};
use crate::view::{Denied, Problem};

/// A denial: what was missing, and what helps.
#[must_use]
pub fn denied(view: &Denied) -> Markup {
    let title = match &view.app {
        Some((_, name)) => format!("{name} stays shut"),
        None => "This stays shut".to_owned(),
    };
    layout::single(
        &view.assets,
        &title,
        &view.organisation,
        "",
        &html! {
            div.card.denial {
                p.eyebrow { "Not allowed" @if let Some(p) = &view.person { " for " (p) } }
                h1 { (title) }
                p.denial-reason { (view.reason.words()) }
                @if view.reason == Reason::Locked {
                    @for f in &view.failing { p class="note bad large" { (icon::glyph("bar")) span { (words::capital(&f.found)) } } }
                } @else if !view.failing.is_empty() {
                    ul.failing { @for f in &view.failing { li { (icon::glyph("cross")) span { "Needed: " b { (f.words) } " " span.found { "Found: " (f.found) } } } } }
                }
                @if !view.remedies.is_empty() {
                    h2 { "What you can do" }
                    (remedy::for_asker(&view.remedies, view.now, &view.portal, view.app.as_ref().map(|(id, _)| id), &view.back))
                }
                p.denial-links {
                    a href=(view.back) { "Try again" }
                    @if parts::url::is_plain(&view.portal) { a href=(format!("{}/", view.portal)) { "My access" } }
                }
                dl.small-print {
                    div { dt { "Asked" } dd { code.path { (view.wanted) } } }
                    div { dt { "Reason" } dd { code { (view.reason.code()) } } }
                    div { dt { "Request" } dd { code.hash { (view.request) } } }
                    div { dt { "Time" } dd { (time::stamp(view.now)) } }
                }
            }
        },
    )
}

/// A problem: what it is, and nothing that a stranger should not know.
#[must_use]
pub fn problem(view: &Problem) -> Markup {
    let (title, words) = match view.status {
        400 => ("The request cannot be read", "It is malformed or ambiguous, so it was not passed on."),
        401 => ("You are not signed in", "Sign in, then try again."),
        403 => ("Not allowed", "The answer is no."),
        404 => ("There is nothing here", "The address may be misspelt."),
        413 => ("Too large", "The request is longer than what is read here."),
        415 => ("Not a form", "This address takes forms of our own pages."),
        422 => ("This cannot be used", "Something in the form does not fit."),
        429 => ("A limit was reached", "Wait a moment, then try again."),
        502 => ("The application does not answer", "It was asked and gave no usable answer. Try again in a moment."),
        503 => ("Not at this moment", "Something that is needed is not available. Try again in a moment."),
        504 => ("The application took too long", "It was asked and did not answer in time. Try again in a moment."),
        _ => ("Something failed on our side", "Nothing was given away. Try again in a moment."),
    };
    layout::single(
        &view.assets,
        title,
        "",
        "",
        &html! {
            div.card.denial {
                p.eyebrow { (view.status) }
                h1 { (title) }
                p.denial-reason { @match &view.detail { Some(d) => (d), None => (words) } }
                @if let Some(next) = &view.next { p.denial-links { (parts::link(next)) } }
                dl.small-print {
                    @if let Some(r) = &view.request { div { dt { "Request" } dd { code.hash { (r) } } } }
                    div { dt { "Time" } dd { (time::stamp(view.now)) } }
                }
            }
        },
    )
}
