//! The state of the parts of the system.

use maud::{Markup, html};

use crate::parts::{self, icon, layout, time};
use crate::view::{Frame, Health, PartState};

/// The health page.
#[must_use]
pub fn page(frame: &Frame, view: &Health) -> Markup {
    let bad = view.parts.iter().filter(|p| p.state != PartState::Works).count();
    let lead = html! { p { @if bad == 0 { "Every part that is checked works." } @else { (bad) " of " (view.parts.len()) " parts need a look." } } };
    layout::console(
        frame,
        "Health",
        &lead,
        &html! {
            @if view.parts.is_empty() { (parts::empty("Nothing is checked yet", "Each part of the system reports here how it is, and what to do if it is not well.", &html! {})) }
            ul.health { @for p in &view.parts {
                li {
                    @match p.state {
                        PartState::Works => span class="chip yes" { (icon::glyph("check")) "works" },
                        PartState::Degraded => span class="chip warn" { (icon::glyph("half")) "degraded" },
                        PartState::Fails => span class="chip alarm" { (icon::glyph("alarm")) "fails" },
                    }
                    div { b { (p.name) } p { (p.detail) } @if let Some(r) = &p.remedy { p.remedy { (icon::glyph("arrow")) (r) } } }
                    span.quiet { @if let Some(at) = p.at { (time::when(frame.now, at)) } }
                }
            } }
            p.quiet { "Version " (view.version) ", running since " (time::stamp(view.started)) }
        },
    )
}
