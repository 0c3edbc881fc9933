//! What helps against a denial, for the person denied and for the one who looks on.

use maud::{Markup, html};
use safeconduct_model::{AppId, Remedy};

use crate::parts::{self, icon, time, url};
use crate::view::Frame;

/// What the person denied can do, each with the link that does it.
pub(crate) fn for_asker(
    remedies: &[Remedy],
    now: safeconduct_model::Timestamp,
    portal: &str,
    app: Option<&AppId>,
    back: &str,
) -> Markup {
    let to = |path: &str| format!("{portal}{path}?return={}", url::encode(back));
    html! {
        ul.remedies {
            @for r in remedies {
                li { @match r {
                    Remedy::SignIn => { span { "Sign in." } a.button href=(to("/sign-in")) { "Sign in" } }
                    Remedy::StepUp { phishing_resistant } => {
                        span { @if *phishing_resistant { "Prove yourself again with a passkey." } @else { "Prove yourself again." } }
                        a.button href=(to("/step-up")) { "Prove it now" }
                    }
                    Remedy::StatePurpose { accepted } => {
                        span { "Say what it is for." @if !accepted.is_empty() { " " span.quiet { "Accepted: " (accepted.join(", ")) } } }
                        @if let Some(app) = app { a.button href=(format!("{portal}/why?app={}&return={}", url::encode(app.as_str()), url::encode(back))) { "State a purpose" } }
                    }
                    Remedy::FixDevice { steps } => {
                        div { span { "Repair this device, then try again:" } ol { @for s in steps { li { (s) } } } }
                        a.button href=(format!("{portal}/me/devices")) { "Look at my devices" }
                    }
                    Remedy::OtherDevice => {
                        span { "Use a device that the organisation manages." }
                        a.quiet-button href=(to("/device/prove")) { "Prove this device again" }
                    }
                    Remedy::WaitUntil { at } => span { "Come back " (time::when(now, *at)) ": it opens at " (time::exact(*at)) "." },
                    Remedy::OtherNetwork => span { "Use another network." },
                    Remedy::AskOwner { owner } => span { @match owner { Some(o) => { "Ask " b { (o) } ", who answers for this application." }, None => "Ask whoever runs Safeconduct: this application has no owner." } },
                    Remedy::AskOperators => span { "Ask whoever runs Safeconduct: only they can lift it." },
            Remedy::Nothing => span { "There is nothing that you can do about it." },
                } }
            }
        }
    }
}

/// What would have helped, told to an operator.
pub(crate) fn for_operators(frame: &Frame, remedies: &[Remedy]) -> Markup {
    html! {
        @if remedies.is_empty() { p.quiet { "Nothing that the person could have done." } }
        ol.would { @for r in remedies { li { (icon::glyph("arrow")) span { @match r {
            Remedy::SignIn => "to sign in",
            Remedy::StepUp { phishing_resistant: true } => "a fresh proof by passkey",
            Remedy::StepUp { phishing_resistant: false } => "a stronger or more recent proof",
            Remedy::StatePurpose { accepted } => { "a stated purpose" @if !accepted.is_empty() { ": " (accepted.join(", ")) } },
            Remedy::FixDevice { steps } => { "a repaired device: " (steps.join("; ")) },
            Remedy::OtherDevice => "a managed, compliant device",
            Remedy::WaitUntil { at } => { "the same request " (parts::time::when(frame.now, *at)) " (" (time::exact(*at)) ")" },
            Remedy::OtherNetwork => "another network",
            Remedy::AskOwner { owner } => { "a rule or grant from " @match owner { Some(o) => (o), None => "an owner; the application has none" } },
            Remedy::AskOperators => "a lock that is lifted",
            Remedy::Nothing => "nothing",
        } } } } }
    }
}
