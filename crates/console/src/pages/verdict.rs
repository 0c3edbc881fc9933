//! The record of one verdict: what was asked, what it rests on, and how anyone can check it.

use maud::{Markup, html};
use safeconduct_model::Mode;

use super::remedy;
use crate::parts::{self, cedar, icon, layout, time, words};
use crate::view::{Again, Answered, Box5, Effect, Frame, Lease, Proof, ReadFact, SpokenRule, Verdict};

/// The record.
#[must_use]
pub fn page(frame: &Frame, view: &Verdict) -> Markup {
    let title = format!("Verdict #{}", view.proof.seq);
    let lead = html! { p { (time::when(frame.now, view.at)) " · " (time::exact(view.at)) " · " code.path { (view.request_line) } } };
    layout::console(
        frame,
        &title,
        &lead,
        &html! {
            (sentence(view))
            div.five { @for b in &view.boxes { (five(frame, b)) } }
            div.two.wide-left {
                section aria-labelledby="rules" {
                    h2 #rules { @if view.answered == Answered::Allowed { "The rules that spoke" } @else { "The rules that came nearest" } }
                    @if view.rules.is_empty() { (no_rule(view)) }
                    @for r in &view.rules { (rule(r)) }
                }
                div {
                    @if view.answered != Answered::Allowed {
                        section.card aria-labelledby="would" { h2 #would { "What would have made it allowed" } (remedy::for_operators(frame, &view.remedies)) }
                    }
                    @if let Some(lease) = &view.lease { (self::lease(frame, lease)) }
                    (again(view))
                    (proof(&view.proof))
                }
            }
        },
    )
}

/// The top line in words.
fn sentence(view: &Verdict) -> Markup {
    let (class, word) = match view.answered {
        Answered::Allowed => ("statement yes", "Allowed"),
        Answered::WouldDeny => ("statement warn", "Let through, would be denied"),
        Answered::Denied => ("statement no", "Denied"),
        Answered::Refused => ("statement no", "Refused"),
    };
    html! {
        div class=(class) {
            p.verdict-words {
                b.verdict-word { (word) ":" } " "
                (parts::link(&view.who)) " "
                @match view.answered {
                    Answered::Allowed | Answered::WouldDeny => (words::did(view.action)),
                    Answered::Denied | Answered::Refused => { "asked to " (words::to_do(view.action)) },
                }
                " " (parts::link(&view.app)) " at " (view.clock)
                @match &view.device { Some(d) => { " from " (parts::link(d)) }, None => " from a device that did not prove itself" }
                @match &view.purpose { Some(p) => { ", for " (p) }, None => ", with no stated purpose" }
                "."
            }
            @if let Some(r) = view.reason {
                p.verdict-reason { (r.words()) " " code.code { (r.code()) }
                    @if view.mode == Mode::Observe { " " span.quiet { "The application observes: policy was asked, its answer did not bind." } } }
            }
        }
    }
}

fn five(frame: &Frame, b: &Box5) -> Markup {
    let failed = b.facts.iter().any(|f| f.failed);
    html! {
        section class=(if failed { "w-box failed" } else { "w-box" }) aria-label=(b.w.name()) {
            h2 { (b.w.name()) @if failed { " " span.w-mark { (icon::glyph("cross")) "failed here" } } }
            p.w-answer { (parts::link(&b.answer)) }
            @if b.facts.is_empty() { p.quiet { "No fact was read." } }
            ul.w-facts { @for f in &b.facts { (fact(frame, f)) } }
        }
    }
}

fn fact(frame: &Frame, f: &ReadFact) -> Markup {
    let class = match (f.failed, f.read) {
        (true, _) => "fact failed",
        (false, true) => "fact",
        (false, false) => "fact unread",
    };
    html! {
        li class=(class) {
            span.fact-name { (f.name) @if f.read { span.read title="A rule read this fact" { "read" } } }
            span.fact-value { @match &f.value { Some(v) => (v), None => (parts::none("missing")) } }
            span.fact-source { (f.source) @if let Some(at) = f.since { " · " (time::when(frame.now, at)) } }
        }
    }
}

fn no_rule(view: &Verdict) -> Markup {
    html! {
        p.note { (icon::glyph("bar")) span {
            @if let Some(lock) = &view.lock { "No rule was asked: a lock was in force, on the " (parts::link(lock)) }
            @else if view.answered == Answered::Refused { "The request was refused before policy was asked." }
            @else { "No rule speaks of this person and this application. What no rule opens stays shut." }
        } }
    }
}

fn rule(r: &SpokenRule) -> Markup {
    html! {
        article.spoken {
            h3 {
                (parts::link(&r.rule)) " "
                @match (r.effect, r.held) {
                    (Effect::Permit, true) => span class="chip yes" { (icon::glyph("check")) "opened it" },
                    (Effect::Permit, false) => span class="chip no" { (icon::glyph("cross")) "did not hold" },
                    (Effect::Forbid, true) => span class="chip no" { (icon::glyph("bar")) "forbade it" },
                    (Effect::Forbid, false) => span class="chip" { "did not speak" },
                }
            }
            @if !r.failing.is_empty() {
                ul.failing { @for f in &r.failing { li { (icon::glyph("cross")) span { "Needed: " b { (f.words) } " " span.found { "Found: " (f.found) } } } } }
            }
            @if r.cedar.is_empty() { p.quiet { "The text of this rule at that revision is no longer at hand." } } @else { (cedar::marked(&r.cedar, &r.failing)) }
        }
    }
}

fn lease(frame: &Frame, lease: &Lease) -> Markup {
    html! {
        section.card aria-labelledby="lease" {
            h2 #lease { "The lease" }
            dl.facts {
                div { dt { "Rests on" } dd { (parts::links(&lease.rests_on)) } }
                div { dt { "Until" } dd { (time::when(frame.now, lease.until)) } }
                div { dt { "Ended" } dd { @match &lease.ended {
                    Some((at, cause)) => { (time::when(frame.now, *at)) ", " (words::cause(*cause)) },
                    None => "not yet, or with the request",
                } } }
            }
        }
    }
}

fn again(view: &Verdict) -> Markup {
    html! {
        section.card aria-labelledby="again" {
            h2 #again { "Today" }
            @match &view.again {
                Some(a) => (today(view, a)),
                None => {
                    p { "The record holds every fact that was read, so the same question can be decided again." }
                    form method="get" { input type="hidden" name="again" value="1"; button type="submit" { "Decide it again under today's policy" } }
                }
            }
        }
    }
}

fn today(view: &Verdict, a: &Again) -> Markup {
    let then = view.answered == Answered::Allowed;
    html! {
        p {
            "Revision " (a.revision) " says " b { @if a.permitted { "allowed" } @else { "denied" } }
            @if a.permitted == then { ", the same as then." } @else { ", other than then." }
        }
        @if let Some(r) = a.reason { p { (r.words()) " " code.code { (r.code()) } } }
        @if !a.rules.is_empty() { p { "By " (parts::links(&a.rules)) "." } }
    }
}

fn proof(p: &Proof) -> Markup {
    html! {
        section.card aria-labelledby="proof" {
            h2 #proof { "The proof" }
            dl.facts {
                div { dt { "Place" } dd { "#" (p.seq) " in the ledger" } }
                div { dt { "Hash" } dd { code.hash { (p.hash) } } }
                div { dt { "In front" } dd { code.hash { (p.previous) } } }
                div { dt { "Checkpoint" } dd { @match &p.checkpoint { Some(c) => (c), None => "not yet covered" } } }
                div { dt { "Request" } dd { code.hash { (p.request) } } }
                div { dt { "Decided by" } dd { "revision " (p.revision) " in " (time::micros(p.took_us)) } }
            }
            p.quiet { "Check it with " (parts::command("safeconduct ledger verify")) }
        }
    }
}
