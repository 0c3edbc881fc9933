//! Sign-in, set-up, stronger proof, device proof, signed out.

use maud::{Markup, html};

use crate::parts::{self, icon, layout, time, url};
use crate::view::{Frame, Provider, Setup, SetupForm, SignIn, StepUp};

fn alone(frame: &Frame, title: &str, body: &Markup) -> Markup {
    layout::single(&frame.assets, title, &frame.organisation, frame.csrf(), body)
}

/// An error above a form.
pub(crate) fn error(text: Option<&str>) -> Markup {
    html! { @if let Some(t) = text { p class="note bad" role="alert" { (icon::glyph("alarm")) span { (t) } } } }
}

/// Where the script tells what happens.
pub(crate) fn status() -> Markup {
    html! { p.script-status role="status" data-status="" {} }
}

fn providers(all: &[Provider], to: &str) -> Markup {
    html! { @for p in all {
        a.quiet-button.wide href=(format!("/sign-in/oidc/{}?return={}", url::encode(&p.id), url::encode(to))) { "Continue with " (p.name) }
    } }
}

/// The ways to sign in.
#[must_use]
pub fn page(frame: &Frame, view: &SignIn, to: &str, person: &str, wrong: Option<&str>) -> Markup {
    alone(
        frame,
        "Sign in",
        &html! {
            div.card {
                h1 { "Sign in" }
                (error(wrong))
                @if view.local {
                    form.stack data-passkey="sign-in" data-return=(to) hidden {
                        button.wide type="submit" { "Use a passkey" }
                        (status())
                    }
                    noscript { p.quiet { "Passkeys need the script of this page. The other ways work without." } }
                }
                (providers(&view.providers, to))
                @if view.local {
                    details open[wrong.is_some() || !person.is_empty()] {
                        summary { "Password and code" }
                        form.stack method="post" action="/sign-in/password" {
                            (parts::csrf(frame))
                            input type="hidden" name="return" value=(to);
                            label { span { "Name" } input type="text" name="person" value=(person) autocomplete="username" autocapitalize="none" spellcheck="false" required; }
                            label { span { "Password" } input type="password" name="password" autocomplete="current-password" required; }
                            label { span { "One-time code " span.quiet { "if you have set one up" } } input type="text" name="totp" inputmode="numeric" autocomplete="one-time-code" maxlength="8"; }
                            button.wide type="submit" { "Sign in" }
                        }
                    }
                }
                @if !view.local && view.providers.is_empty() {
                    (parts::empty("No way in is set up", "Connect an identity provider, or make the first local account.", &parts::command("safeconduct init DIR")))
                }
            }
        },
    )
}

/// A stronger or fresher proof.
#[must_use]
pub fn step_up(frame: &Frame, view: &StepUp, to: &str) -> Markup {
    alone(
        frame,
        "Prove it is you",
        &html! {
            div.card {
                h1 { "Prove it is you" }
                p { "What you asked for needs a stronger or more recent proof. It counts for this session alone." }
                @if view.passkey {
                    form.stack data-passkey="step-up" data-return=(to) hidden { button.wide type="submit" { "Use a passkey" } (status()) }
                    noscript { p.quiet { "Passkeys need the script of this page." } }
                } @else {
                    p.note { (icon::glyph("unknown")) span { "You have no passkey. " a href="/me/security" { "Add one" } ", then come back." } }
                }
                (providers(&view.providers, to))
                p.denial-links {
                    a href=(format!("/sign-in?again=1&return={}", url::encode(to))) { "Sign in again another way" }
                    a href="/" { "My access" }
                }
            }
        },
    )
}

/// The first administrator.
#[must_use]
pub fn setup(frame: &Frame, view: &Setup, form: &SetupForm, wrong: Option<&str>) -> Markup {
    alone(
        frame,
        "Welcome",
        &html! {
            div.card {
                h1 { "Welcome" }
                p { "This one-time link makes the first administrator. It is good for one use, until " (time::exact(view.until)) "." }
                (error(wrong))
                form.stack method="post" action=(frame.path) {
                    (parts::csrf(frame))
                    label { span { "Your id " span.quiet { "a-z, 0-9 and . _ - + @" } } input type="text" name="person" value=(form.person) autocomplete="username" autocapitalize="none" spellcheck="false" required pattern="[a-z0-9][a-z0-9._+@\\-]*" maxlength="128"; }
                    label { span { "Your name" } input type="text" name="name" value=(form.name) autocomplete="name" required maxlength="120"; }
                    button.wide type="submit" { "Make me the administrator" }
                }
                p.quiet { "Next you add a passkey, so that this link is never needed again." }
            }
        },
    )
}

/// The device proves itself, then the way goes on.
#[must_use]
pub fn prove(frame: &Frame, to: &str) -> Markup {
    alone(
        frame,
        "Recognising this device",
        &html! {
            div.card data-prove=(to) {
                h1 { "Recognising this device" }
                p { "The key of this browser signs a challenge, so that rules which ask for a device can recognise it." }
                (status())
                p.denial-links { a href=(to) data-continue="" { "Go on without it" } a href="/me/devices" { "My devices" } }
            }
        },
    )
}

/// The session has ended.
#[must_use]
pub fn signed_out(frame: &Frame) -> Markup {
    alone(
        frame,
        "Signed out",
        &html! {
            div.card {
                h1 { "Signed out" }
                p { "Your session has ended, and every connection that rested on it." }
                p { a.button href="/sign-in" { "Sign in again" } }
            }
        },
    )
}
