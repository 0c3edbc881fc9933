//! One proposal, with everything that is needed to judge it.

use maud::{Markup, html};

use super::policy::{sentence, state, tests};
use crate::parts::table::{Column, Key, Table};
use crate::parts::{self, cedar, icon, layout, time, words};
use crate::view::{Example, Frame, Link, Measured, Proposal, ProposalState, Rehearsal, Share, Shift, Split};

/// A proposal.
#[must_use]
pub fn page(frame: &Frame, view: &Proposal) -> Markup {
    let lead = html! {
        p { "For " (parts::link(&view.app)) ", written " (time::when(frame.now, view.made)) " by " (view.by) " from use since " (time::day(view.since)) ". " (state(view.state)) }
    };
    layout::console(
        frame,
        &format!("Proposal for {}", view.app.text),
        &lead,
        &html! {
            ul.counts {
                li { div { b { (words::percent(view.coverage)) } span { "of observed use covered: " (words::count(view.coverage.of)) " of " (words::count(view.coverage.all)) } } }
                li { div { b { (words::percent(view.over_grant)) } span { "granted and never used: " (words::count(view.over_grant.of)) " of " (words::count(view.over_grant.all)) " combinations" } } }
                @if let Some(r) = &view.rehearsal {
                    li { div { b { (words::count(r.newly_denied.count)) } span { "past requests newly denied" } } }
                    li { div { b { (words::count(r.newly_allowed.count)) } span { "past requests newly allowed" } } }
                }
            }
            section aria-label="Proposed rules" {
                h2 { (words::plural(view.rules.len() as u64, "proposed rule", "proposed rules")) }
                @for r in &view.rules {
                    article.rule {
                        div.rule-words { h3 { (r.id) } (sentence(r.effect, &r.sentence)) p.quiet { (r.basis) } }
                        (cedar::text(&r.cedar))
                    }
                }
            }
            @if let Some(m) = &view.measured { (measured(frame, m)) }
            (rehearsal(frame, view.rehearsal.as_ref()))
            (tests(&view.tests))
            (actions(frame, view))
        },
    )
}

fn share(s: Share) -> Markup {
    html! { (words::percent(s)) " " span.quiet { (words::count(s.of)) " of " (words::count(s.all)) } }
}

fn splits(all: &[Split]) -> Table<'_, Split> {
    Table {
        caption: "Rules from the days before, tried on the days after",
        columns: vec![
            Column {
                key: "from",
                title: "Written from",
                number: false,
                value: |s| Key::count(s.train_days),
                cell: |_, s| html! { (words::plural(s.train_days, "day", "days")) },
            },
            Column {
                key: "on",
                title: "Tried on",
                number: false,
                value: |s| Key::count(s.test_days),
                cell: |_, s| html! { "the " (words::plural(s.test_days, "day", "days")) " after" },
            },
            Column {
                key: "under",
                title: "Needed, but denied",
                number: true,
                value: |s| Key::count(s.under.of),
                cell: |_, s| share(s.under),
            },
            Column {
                key: "over",
                title: "Granted, but not used then",
                number: true,
                value: |s| Key::count(s.over.of),
                cell: |_, s| share(s.over),
            },
        ],
        rows: all,
        empty: html! {},
        anchor: None,
    }
}

/// What the method did on use that it had not seen. A figure without its window says nothing, so both stand in a row.
fn measured(frame: &Frame, m: &Measured) -> Markup {
    html! {
        section aria-labelledby="measured" {
            h2 #measured { "Measured on later use" }
            @if m.splits.is_empty() {
                p.quiet { "The window is too short to be split into a part to learn from and a part to judge." }
            } @else {
                (splits(&m.splits).plain(frame))
            }
            ul {
                li { @match m.stable_after {
                    Some(days) => { "The rules came out alike from day " (words::count(days)) " on." }
                    None => { "The rules still changed at the end of the window." }
                } }
                @if let Some(r) = m.least_reliability { li { "The least reliable rule was used in " (words::count(r)) " of 100 combinations where it is used least." } }
                li { "Complexity " (words::count(m.complexity)) "; a wrong grant here weighs " (words::count(m.weight)) "." }
                @for note in &m.notes { li { (note) } }
            }
            h3 { "What this does not show" }
            ul.quiet { @for b in &m.blind { li { (b) } } }
        }
    }
}

fn rehearsal(frame: &Frame, rehearsal: Option<&Rehearsal>) -> Markup {
    html! {
        section aria-labelledby="rehearsal" {
            h2 #rehearsal { "Rehearsed on the past" }
            @match rehearsal {
                None => (parts::empty("Not rehearsed", "A rehearsal decides the recorded requests again under the proposal and lists every answer that changes.", &parts::command("safeconduct policy rehearse DIR"))),
                Some(r) => {
                    p { b { (words::count(r.replayed)) } " requests from " (time::day(r.from)) " to " (time::day(r.to)) " decided again; "
                        (words::count(r.replayed.saturating_sub(r.newly_denied.count + r.newly_allowed.count))) " get the same answer." }
                    div.two {
                        (shift(frame, "Newly denied", "Nobody loses anything that was used in this span.", &r.newly_denied))
                        (shift(frame, "Newly allowed", "Nothing opens that was shut in this span.", &r.newly_allowed))
                    }
                }
            }
        }
    }
}

fn shift(frame: &Frame, title: &str, none: &str, s: &Shift) -> Markup {
    let bars = |all: &[(Link, u64)]| {
        let most = all.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
        html! { ul.bars { @for (name, n) in all { li {
            span { (parts::link(name)) }
            (parts::meter(crate::view::Share::new(*n, most), &name.text))
            span.num { (words::count(*n)) }
        } } } }
    };
    html! {
        div.card {
            h3 { (title) " " span.of { (words::count(s.count)) } }
            @if s.count == 0 { p.quiet { (none) } } @else {
                h4 { "By person" } (bars(&s.by_person))
                h4 { "By application" } (bars(&s.by_app))
                @if !s.examples.is_empty() { h4 { "For example" } ul.examples { @for e in &s.examples { (example(frame, e)) } } }
            }
        }
    }
}

fn example(frame: &Frame, e: &Example) -> Markup {
    html! {
        li {
            (parts::link(&e.who)) " " span.quiet { (time::when(frame.now, e.at)) } br;
            code.path { (e.what) }
            @if let Some(r) = e.reason { " " span.quiet { (r.words()) } }
            " " a href=(format!("/console/verdicts/{}", e.seq)) { "#" (e.seq) }
        }
    }
}

fn actions(frame: &Frame, view: &Proposal) -> Markup {
    let base = format!("/console/policy/proposals/{}", parts::url::encode(&view.id));
    let set_aside =
        format!("Discard: {} set aside, nothing changes", words::plural(view.rules.len() as u64, "rule", "rules"));
    let discard = parts::post(frame, &format!("{base}/discard"), "quiet-button", &set_aside);
    html! {
        @if view.state == ProposalState::Open {
            section.decide aria-labelledby="decide" {
                h2 #decide { "Publish?" }
                (consequences(view))
                @match barred(view) {
                    Some(why) => { p.note { (icon::glyph("bar")) span { (why) } } div.buttons { (discard) } }
                    None => div.buttons {
                        (parts::post(frame, &format!("{base}/publish"), "", &publish_label(view)))
                        (discard)
                    },
                }
            }
        }
    }
}

/// Why it cannot be published now: no change without rehearsal, none against a test, none that the backend bars.
fn barred(view: &Proposal) -> Option<String> {
    match (&view.barred, view.tests.failed.len(), &view.rehearsal) {
        (Some(why), _, _) => Some(why.clone()),
        (None, 0, Some(_)) => None,
        (None, 0, None) => Some("It can be published once it was rehearsed.".to_owned()),
        (None, n, _) => Some(format!(
            "It can be published once {} again.",
            words::plural(n as u64, "policy test holds", "policy tests hold")
        )),
    }
}

fn publish_label(view: &Proposal) -> String {
    let ends = match view.live.ends {
        0 => "ends no connection".to_owned(),
        n => format!(
            "ends {} of {}",
            words::plural(n, "connection", "connections"),
            words::plural(view.live.people, "person", "people")
        ),
    };
    format!("Publish: binds {}, {ends}", words::plural(view.rules.len() as u64, "rule", "rules"))
}

fn consequences(view: &Proposal) -> Markup {
    html! {
        ul {
            li { (words::plural(view.rules.len() as u64, "rule binds", "rules bind")) " for " (parts::link(&view.app)) "." }
            @if view.enforces { li { "The application changes from observe to enforce: what no rule opens is denied from then on." } }
            li { (words::plural(view.live.decided_again, "live connection is", "live connections are")) " decided again; "
                (words::count(view.live.ends)) " of them, of " (words::plural(view.live.people, "person", "people")) ", end." }
        }
    }
}
