//! How far the organisation is, and what is next.

use maud::{Markup, html};

use crate::draw::spark;
use crate::parts::{self, icon, layout, time, words};
use crate::view::{Better, Figure, Frame, Measure, Move, Overview, Step, Today};

/// The overview.
#[must_use]
pub fn page(frame: &Frame, view: &Overview) -> Markup {
    let lead = html! { p { "Five steps, walked again and again. Every number is counted from the ledger or says what is missing to count it." } };
    layout::console(
        frame,
        "Overview",
        &lead,
        &html! {
            (path(&view.steps))
            (moves(&view.next))
            section aria-labelledby="today" {
                h2 #today { "The last 24 hours" }
                (today(view.today))
            }
            section aria-labelledby="board" {
                div.section-head { h2 #board { "Board figures" } p.quiet { "Each with its denominator, and the trend to today." } }
                @if view.figures.is_empty() {
                    (parts::empty("No figure can be counted yet", "The figures are computed from verdicts, devices and policies. They begin with the first recorded request.", &parts::command("safeconduct demo")))
                } @else {
                    ul.figures { @for f in &view.figures { (figure(f)) } }
                }
            }
        },
    )
}

fn path(steps: &[Step]) -> Markup {
    html! {
        ol.path aria-label="The five steps" {
            @for (i, step) in steps.iter().enumerate() {
                @let full = step.done.all > 0 && step.done.of >= step.done.all;
                li class=(if full { "step full" } else { "step" }) {
                    a href=(step.room.href()) {
                        (ring(step, i + 1))
                        span.step-name { (step.room.name()) }
                        span.step-question { (step.room.question()) }
                        span.step-done { (parts::share(step.done)) " " (step.words) }
                    }
                }
            }
        }
    }
}

/// A ring that closes with progress, with the number of the step inside.
fn ring(step: &Step, number: usize) -> Markup {
    // The circle has a radius of 20: its length is 125.66.
    let done = step.done.ratio().unwrap_or(0.0) * 125.66;
    html! {
        svg.ring viewBox="0 0 48 48" width="48" height="48" role="img" aria-label=(format!("{} done", words::percent(step.done))) {
            circle.track cx="24" cy="24" r="20" fill="none" {}
            @if done > 0.0 {
                circle.fill cx="24" cy="24" r="20" fill="none" stroke-dasharray=(format!("{done:.1} 126")) transform="rotate(-90 24 24)" {}
            }
            text x="24" y="29" text-anchor="middle" { (number) }
        }
    }
}

fn moves(next: &[Move]) -> Markup {
    html! {
        section.moves aria-labelledby="next" {
            h2.visually-hidden #next { "What to do next" }
            @match next.split_first() {
                None => {
                    (parts::empty("Nothing waits for you", "When something is worth doing, the move that helps most stands here with its reason in numbers.", &html! {}))
                }
                Some((best, rest)) => {
                    div.best {
                        div {
                            p.eyebrow { "Next best move" }
                            p.best-title { (best.title) }
                            p.because { (best.because) }
                        }
                        @if let Some(href) = best.action.href.as_deref().filter(|h| parts::url::is_plain(h)) {
                            a.button href=(href) { (best.action.text) (icon::glyph("arrow")) }
                        }
                    }
                    @if !rest.is_empty() {
                        ol.then start="2" {
                            @for m in rest { li { span { b { (m.title) } " " span.quiet { (m.because) } } (parts::link(&m.action)) } }
                        }
                    }
                }
            }
        }
    }
}

fn today(t: Today) -> Markup {
    let tiles = [
        (t.allowed, "allowed", "/console/watch?answer=allowed"),
        (t.would_deny, "would be denied", "/console/watch?answer=would_deny"),
        (t.denied, "denied", "/console/watch?answer=denied"),
        (t.cut, "connections cut", "/console/watch#cuts"),
        (t.sessions, "sessions now", "/console/watch#sessions"),
    ];
    html! {
        ul.counts {
            @for (n, name, href) in tiles { li { a href=(href) { b { (words::count(n)) } span { (name) } } } }
        }
    }
}

fn figure(f: &Figure) -> Markup {
    html! {
        li.figure title=(f.meaning) {
            p.figure-name { (f.name) " " span.code { (f.code) } }
            @match &f.measure {
                Measure::Share(s) => {
                    p.figure-value { (words::percent(*s)) }
                    p.figure-of { (words::count(s.of)) " of " (words::count(s.all)) }
                }
                Measure::Span { span, cases } => {
                    p.figure-value { (time::rough(*span).replacen("0 s", &span.to_string(), 1)) }
                    p.figure-of { "over " (words::plural(*cases, "case", "cases")) }
                }
                Measure::Unknown { source } => {
                    p.figure-value.unknown { "not known" }
                    p.figure-of { "needs: " (source) }
                }
            }
            (spark::line(&f.trend, f.better == Better::Higher, &f.name))
        }
    }
}
