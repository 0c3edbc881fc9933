//! How mature are we, provably?

use maud::{Markup, html};

use crate::draw::interval;
use crate::parts::{self, icon, layout, words};
use crate::view::{Assess, Criterion, EvidenceMix, Frame, Kind, MaturityRow, Pillar, Share, Stage, Truth};

/// The assessment.
#[must_use]
pub fn page(frame: &Frame, view: &Assess) -> Markup {
    let lead = html! { p { (view.framework) ". Solid is proven by evidence, hatched is merely not excluded. The thresholds are our interpretation." } };
    layout::console(
        frame,
        "Assess",
        &lead,
        &html! {
            @if view.pillars.is_empty() {
                (parts::empty("No framework is loaded", "The assessment computes each row from measured evidence. Without a framework file there is nothing to compute.", &parts::command("safeconduct assess run")))
            } @else {
                (mix(view.mix))
                section aria-label="Pillars" {
                    div.pillar-scale aria-hidden="true" { span {} div { @for s in Stage::ALL { span { (s.name()) } } } }
                    @for p in &view.pillars { (pillar(p)) }
                }
                (sources(&view.sources))
            }
        },
    )
}

fn mix(m: EvidenceMix) -> Markup {
    let all = m.measured + m.attested + m.stale + m.unknown;
    html! {
        section aria-label="Evidence" {
            ul.counts {
                @for (n, name) in [(m.measured, "criteria measured"), (m.attested, "by a person's word alone"), (m.stale, "from a source silent too long"), (m.unknown, "not known")] {
                    li { div { b { (words::count(n)) } span { "of " (words::count(all)) " " (name) } } }
                }
            }
        }
    }
}

fn pillar(p: &Pillar) -> Markup {
    html! {
        details.pillar {
            summary {
                span.pillar-name { (p.name) " " span.quiet { (words::plural(p.rows.len() as u64, "row", "rows")) } }
                (interval::bar(&p.name, p.proven, p.possible))
                span.pillar-words { b { (p.proven.name()) } @if p.possible > p.proven { span.quiet { " to " (p.possible.name()) } } }
            }
            @for r in &p.rows { (row(r)) }
        }
    }
}

fn row(r: &MaturityRow) -> Markup {
    html! {
        details.maturity-row id=(format!("row-{}", r.id)) {
            summary {
                span.pillar-name { span.code { (r.id) } " " (r.name) " " span.quiet { (kind(r.kind)) } }
                (interval::bar(&r.name, r.proven, r.possible))
                span.pillar-words { b { (r.proven.name()) } @if r.possible > r.proven { span.quiet { " to " (r.possible.name()) } } }
            }
            ul.criteria { @for c in &r.criteria { (criterion(c)) } }
        }
    }
}

const fn kind(k: Kind) -> &'static str {
    match k {
        Kind::Decidable => "",
        Kind::Mixed => "partly attested",
        Kind::Attested => "mainly attested",
    }
}

fn criterion(c: &Criterion) -> Markup {
    let (class, shape, word) = match c.truth {
        Truth::True => ("yes", "check", "holds"),
        Truth::Attested => ("", "check", "attested"),
        Truth::False => ("warn", "cross", "does not hold"),
        Truth::Unknown => ("", "unknown", "not known"),
        Truth::Stale => ("warn", "clock", "stale"),
        Truth::NotApplicable => ("", "bar", "out of scope"),
    };
    html! {
        li {
            span class=(format!("chip {class}")) { (icon::glyph(shape)) (word) }
            span.criterion-words { span.code { (c.stage.name()) } " " (c.words) }
            span.found { @if let Some(s) = c.found { (found(s)) } }
            span.quiet { @if c.truth == Truth::Unknown { "would be decided by " } (c.source) }
        }
    }
}

fn found(s: Share) -> Markup {
    html! { (parts::share(s)) " (" (words::percent(s)) ")" }
}

fn sources(all: &[(String, u64)]) -> Markup {
    let most = all.iter().map(|(_, n)| *n).max().unwrap_or(1);
    html! {
        @if !all.is_empty() {
            section aria-labelledby="sources" {
                h2 #sources { "What would decide the most" }
                p.quiet { "Sources that are not connected, by the number of criteria that wait for them." }
                ul.bars { @for (name, n) in all { li { span { (name) } (parts::meter(Share::new(*n, most), name)) span.num { (words::count(*n)) } } } }
            }
        }
    }
}
