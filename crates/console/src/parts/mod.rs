//! The pieces that pages are made of.

pub(crate) mod cedar;
pub(crate) mod icon;
pub(crate) mod layout;
pub(crate) mod rows;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod url;
pub(crate) mod words;

use maud::{Markup, html};

use crate::view::{Answered, Frame, Link, Share};

/// A name with its page. An address that is neither a path of ours nor `http` is shown as text.
pub(crate) fn link(to: &Link) -> Markup {
    html! {
        @match to.href.as_deref().filter(|h| url::is_plain(h)) {
            Some(href) => a href=(href) { (to.text) },
            None => (to.text),
        }
    }
}

/// Names one after the other.
pub(crate) fn links(all: &[Link]) -> Markup {
    html! { @for (i, one) in all.iter().enumerate() { @if i > 0 { ", " } (link(one)) } }
}

/// A dash that a screen reader can say.
pub(crate) fn none(words: &str) -> Markup {
    html! { span.quiet { (words) } }
}

/// How something was answered: a shape and a word, never colour alone.
pub(crate) fn answered(a: Answered) -> Markup {
    let (class, shape) = match a {
        Answered::Allowed => ("chip yes", "check"),
        Answered::WouldDeny => ("chip warn", "half"),
        Answered::Denied => ("chip no", "cross"),
        Answered::Refused => ("chip no", "bar"),
    };
    html! { span class=(class) { (icon::glyph(shape)) (a.words()) } }
}

/// Whether verdicts bind.
pub(crate) fn mode(m: safeconduct_model::Mode) -> Markup {
    match m {
        safeconduct_model::Mode::Enforce => html! { span class="chip yes" { (icon::glyph("check")) "enforced" } },
        safeconduct_model::Mode::Observe => html! { span class="chip warn" { (icon::glyph("half")) "observed" } },
    }
}

/// How bad a loss would be: filled dots, and the word.
pub(crate) fn class(c: safeconduct_model::Class) -> Markup {
    let level = words::class_level(c);
    html! {
        span.class-mark {
            svg viewBox="0 0 40 8" width="40" height="8" aria-hidden="true" {
                @for i in 0..4_u8 {
                    rect class=(if i < level { "dot on" } else { "dot" }) x=(u32::from(i) * 10) y="0" width="8" height="8" rx="2" {}
                }
            }
            (c.name())
        }
    }
}

/// A share as two numbers.
pub(crate) fn share(s: Share) -> Markup {
    html! { span.share { b { (words::count(s.of)) } span.of { " of " (words::count(s.all)) } } }
}

/// A share as a bar with two numbers beneath.
pub(crate) fn meter(s: Share, label: &str) -> Markup {
    html! {
        svg.meter viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=(format!("{}: {} of {}", label, s.of, s.all)) {
            rect.track width="100" height="4" {}
            @if let Some(r) = s.ratio() { rect.fill width=(format!("{:.1}", r * 100.0)) height="4" {} }
        }
    }
}

/// A button that posts. The label says what it will do.
pub(crate) fn post(frame: &Frame, action: &str, class: &str, label: &str) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (csrf(frame))
            button type="submit" class=(class) { (label) }
        }
    }
}

/// The hidden token of a form.
pub(crate) fn csrf(frame: &Frame) -> Markup {
    html! { @if !frame.csrf().is_empty() { input type="hidden" name="csrf" value=(frame.csrf()); } }
}

/// An empty page that teaches: what would be here, and what brings it.
pub(crate) fn empty(title: &str, text: &str, brings: &Markup) -> Markup {
    html! {
        div.empty {
            (icon::seal())
            div { p.empty-title { (title) } p { (text) } div.brings { (brings) } }
        }
    }
}

/// A command to type.
pub(crate) fn command(text: &str) -> Markup {
    html! { code.command { (text) } }
}
