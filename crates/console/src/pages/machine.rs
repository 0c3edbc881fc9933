//! A machine asks to sign in: which one, from where, and whether it may.

use maud::{Markup, html};

use super::sign_in::error;
use crate::parts::{self, icon, layout, time};
use crate::view::{Frame, Machine, MachineAsked};

fn alone(frame: &Frame, title: &str, body: &Markup) -> Markup {
    layout::single(&frame.assets, title, &frame.organisation, frame.csrf(), body)
}

/// The visitor types the code that a machine shows.
#[must_use]
pub fn code(frame: &Frame, typed: &str, wrong: Option<&str>) -> Markup {
    alone(
        frame,
        "Sign a machine in",
        &html! {
            div.card {
                h1 { "Sign a machine in" }
                p { "Type the code that " code { "safeconduct login" } " shows on that machine." }
                (error(wrong))
                form.stack method="get" action="/activate" {
                    label { span { "Code" } input type="text" name="user_code" value=(typed) placeholder="WDJB-MJHT" autocomplete="off" autocapitalize="characters" spellcheck="false" required maxlength="16"; }
                    button.wide type="submit" { "Go on" }
                }
                p.denial-links { a href="/" { "My access" } }
            }
        },
    )
}

/// The visitor sees which machine asks, and answers.
#[must_use]
pub fn ask(frame: &Frame, view: &Machine, asked: &MachineAsked) -> Markup {
    let action = match asked {
        MachineAsked::Code(_) => "/activate",
        MachineAsked::Browser(_) => "/oauth/authorize",
    };
    alone(
        frame,
        "Sign a machine in",
        &html! {
            div.card {
                h1 { "Let this machine act as you?" }
                p { b { (view.name) } " asks to sign in as " b { (frame.visitor.as_ref().map_or("", |v| v.name.as_str())) } "." }
                ul {
                    @match &view.ip {
                        Some(ip) => li { "It asks from " code.path { (ip) } @if view.here { ", the address of this browser." } @else { ", which is " b { "not" } " the address of this browser." } },
                        None => li { "It runs on the machine of this browser." },
                    }
                    li { "It asked " (time::when(frame.now, view.since)) "." }
                    li { "It will be signed in until " (time::when(frame.now, view.until)) " at the latest, with what you have proven so far." }
                }
                p.note { (icon::glyph("alarm")) span { "Say yes only if you started " code { "safeconduct login" } " yourself, a moment ago. Whoever sent you this code would act as you." } }
                form.stack method="post" action=(action) {
                    (parts::csrf(frame))
                    @match asked {
                        MachineAsked::Code(code) => input type="hidden" name="user_code" value=(code);,
                        MachineAsked::Browser(fields) => @for (name, value) in fields { input type="hidden" name=(name) value=(value); },
                    }
                    button.wide type="submit" name="answer" value="yes" { "Yes, let it in" }
                    button.quiet-button.wide type="submit" name="answer" value="no" { "No" }
                }
            }
        },
    )
}

/// The visitor has answered.
#[must_use]
pub fn answered(frame: &Frame, yes: bool) -> Markup {
    let (title, words) = match yes {
        true => (
            "The machine is signed in",
            "Go back to its terminal. It stands among your sessions, where you can end it at any time.",
        ),
        false => (
            "The machine was not let in",
            "If you did not start it, somebody else did: tell whoever looks after security.",
        ),
    };
    alone(frame, title, &html! { div.card { h1 { (title) } p { (words) } p { a.button href="/" { "My access" } } } })
}
