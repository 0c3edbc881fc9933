//! An interval from proven to possible on the scale of stages.

use maud::{Markup, html};

use crate::view::Stage;

/// One bar: solid up to what is proven, hatched up to what is possible.
pub(crate) fn bar(name: &str, proven: Stage, possible: Stage) -> Markup {
    let possible = possible.max(proven);
    let x = |s: Stage| u32::from(s.level()) * 100;
    html! {
        svg.interval viewBox="0 0 316 20" width="316" height="20" role="img" aria-label=(format!("{name}: {} proven, {} possible", proven.name(), possible.name())) {
            title { (name) ": " (proven.name()) " is proven, " (possible.name()) " is not excluded" }
            line.scale x1="8" y1="10" x2="308" y2="10" {}
            @for s in Stage::ALL { circle.tick cx=(8 + x(s)) cy="10" r="2" {} }
            @if possible > proven { rect.possible x=(8 + x(proven)) y="6" width=(x(possible) - x(proven)) height="8" rx="4" {} }
            @if x(proven) > 0 { rect.proven x="8" y="6" width=(x(proven)) height="8" rx="4" {} }
            circle.proven-end cx=(8 + x(proven)) cy="10" r="6" {}
            @if possible > proven { circle.possible-end cx=(8 + x(possible)) cy="10" r="5" {} }
        }
    }
}
