//! Who may do what, when, where and why.

use maud::{Markup, html};

use crate::parts::{self, cedar, icon, layout, time, words};
use crate::view::{Effect, FiveWs, Frame, Policy, ProposalRow, ProposalState, ProposeApp, RuleRow, Tests};

/// The rules that bind.
#[must_use]
pub fn page(frame: &Frame, view: &Policy) -> Markup {
    let lead = html! { p {
        "Revision " b { (view.revision) }
        @match &view.published { Some((at, by)) => { ", published " (time::when(frame.now, *at)) " by " (by) }, None => ", as configured" }
        ". What no rule opens stays shut."
    } };
    layout::console(
        frame,
        "Policy",
        &lead,
        &html! {
            (tests(&view.tests))
            @if !view.proposals.is_empty() {
                section aria-labelledby="proposals" { h2 #proposals { "Proposals" } ul.proposals { @for p in &view.proposals { (proposal(frame, p)) } } }
            }
            section aria-labelledby="rules" {
                div.section-head { h2 #rules { (words::plural(view.rules.len() as u64, "rule", "rules")) } p.quiet { "Each as one sentence, beside the text that is evaluated." } }
                @if view.rules.is_empty() {
                    (parts::empty(
                        "No rule, so everything enforced is shut",
                        "A rule says who may do what, when, from where and why. Let an application run in observe mode for some days; then a first rule writes itself from its use.",
                        &parts::command("safeconduct policy propose APP"),
                    ))
                }
                @for r in &view.rules { (rule(frame, r)) }
            }
            (propose(frame, &view.apps))
        },
    )
}

/// A rule as one sentence of five parts.
pub(crate) fn sentence(effect: Effect, ws: &FiveWs) -> Markup {
    let part = |w: &'static str, text: Option<&str>, any: &'static str| {
        html! {
            @match text {
                Some(t) => span.w title=(w) { (t) },
                None => span class="w any" title=(w) { (any) },
            }
        }
    };
    html! {
        p.sentence {
            (part("Who", ws.who.as_deref().map(words::capital).as_deref(), "Anyone"))
            @if effect == Effect::Permit { " may " } @else { " may " b { "not" } " " }
            (part("What", ws.what.as_deref(), "do anything")) ", "
            (part("When", ws.when.as_deref(), "at any time")) ", "
            (part("Where", ws.place.as_deref(), "from anywhere")) ", "
            (part("Why", ws.why.as_deref(), "for any purpose")) "."
        }
    }
}

fn rule(frame: &Frame, r: &RuleRow) -> Markup {
    html! {
        article.rule id=(format!("rule-{}", r.id)) {
            div.rule-words {
                h3 { (r.id) @if r.effect == Effect::Forbid { " " span class="chip no" { (icon::glyph("bar")) "forbids" } } @if let Some(stage) = &r.stage { " " span class="chip warn" { (icon::glyph("half")) (stage) } } }
                (sentence(r.effect, &r.sentence))
                dl.facts {
                    div { dt { "Binds" } dd { @for (app, mode) in &r.apps { (parts::link(app)) " " (parts::mode(*mode)) " " } @if r.apps.is_empty() { (parts::none("no application")) } } }
                    div { dt { "Spoke" } dd {
                        @if r.matches == 0 { span class="chip warn" { (icon::glyph("clock")) "not in " (words::plural(r.days.into(), "day", "days")) } }
                        @else { b { (words::count(r.matches)) } " times in " (words::plural(r.days.into(), "day", "days")) }
                        @if let Some(at) = r.last { ", last " (time::when(frame.now, at)) }
                    } }
                    div { dt { "Written in" } dd { code.path { (r.source) } } }
                }
            }
            (cedar::text(&r.cedar))
        }
    }
}

/// The result of the policy tests.
pub(crate) fn tests(t: &Tests) -> Markup {
    let all = t.passed + t.failed.len() as u64;
    html! {
        @if all == 0 {
            div.note { (icon::glyph("unknown")) span { "No policy test is written. A test states one request and the answer it must get, and is asserted at every load: " (parts::command("policies/tests/*.toml")) } }
        } @else if t.failed.is_empty() {
            div class="note good" { (icon::glyph("check")) span { b { (words::count(t.passed)) " of " (words::count(all)) } " policy tests hold." } }
        } @else {
            div class="note bad" role="alert" {
                (icon::glyph("alarm"))
                div {
                    p { b { (words::count(t.failed.len() as u64)) " of " (words::count(all)) } " policy tests do not hold." }
                    ul { @for f in &t.failed { li { b { (f.name) } ": expected " (f.expected) ", got " (f.got) } } }
                }
            }
        }
    }
}

fn proposal(frame: &Frame, p: &ProposalRow) -> Markup {
    html! {
        li class=(if p.state == ProposalState::Open { "proposal open" } else { "proposal" }) {
            a.proposal-name href=(format!("/console/policy/proposals/{}", parts::url::encode(&p.id))) { (words::plural(p.rules, "rule", "rules")) " for " (p.app.text) }
            span.quiet { (time::when(frame.now, p.made)) ", " (p.by) }
            span { "covers " (words::percent(p.coverage)) " " span.quiet { "(" (words::count(p.coverage.of)) " of " (words::count(p.coverage.all)) ")" } }
            (state(p.state))
        }
    }
}

/// What became of a proposal.
pub(crate) fn state(s: ProposalState) -> Markup {
    match s {
        ProposalState::Open => html! { span class="chip new" { (icon::glyph("clock")) "waits for a person" } },
        ProposalState::Published => html! { span class="chip yes" { (icon::glyph("check")) "published" } },
        ProposalState::Discarded => html! { span class="chip" { (icon::glyph("bar")) "discarded" } },
    }
}

fn propose(frame: &Frame, apps: &[ProposeApp]) -> Markup {
    html! {
        @if !apps.is_empty() {
            section aria-labelledby="propose" {
                h2 #propose { "Propose from observed use" }
                ul.app-list {
                    @for a in apps {
                        li {
                            span { (parts::link(&crate::view::Link::app(&a.id, a.name.clone()))) " " (parts::mode(a.mode)) }
                            span.quiet {
                                (words::plural(a.rules, "rule", "rules")) "; "
                                @if a.observed == 0 { "no use observed in 30 days" }
                                @else { (words::count(a.unmatched)) " of " (words::count(a.observed)) " requests in 30 days without a rule" }
                            }
                            @if a.observed > 0 {
                                form.inline method="post" action="/console/policy/propose" {
                                    (parts::csrf(frame))
                                    input type="hidden" name="app" value=(a.id);
                                    button.quiet-button type="submit" aria-label=(format!("Propose a rule for {}", a.name)) { "Propose a rule" (icon::glyph("arrow")) }
                                }
                            } @else { span {} }
                        }
                    }
                }
            }
        }
    }
}
