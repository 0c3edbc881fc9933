//! What an action did.

use maud::{Markup, html};

use crate::parts::{self, icon, layout};
use crate::view::{Done, Frame};

/// Says afterwards what was done, in numbers.
#[must_use]
pub fn page(frame: &Frame, done: &Done) -> Markup {
    layout::console(
        frame,
        "Done",
        &html! {},
        &html! {
            div class="note good large" role="status" {
                (icon::glyph("check"))
                div { p.done-title { (done.title) } @if !done.details.is_empty() { ul { @for d in &done.details { li { (d) } } } } }
            }
            p.buttons {
                @if let Some(href) = done.next.href.as_deref().filter(|h| parts::url::is_plain(h)) { a.button href=(href) { (done.next.text) } }
                a href="/console/watch" { "Watch" }
            }
        },
    )
}
