//! What an end user sees: access, sign-in methods, devices, purposes.

use maud::{Markup, html};

use super::remedy;
use super::sign_in::{error, status};
use crate::parts::{self, icon, layout, time, words};
use crate::view::{Frame, Home, MyDevice, MyDevices, MySession, Opens, Passkey, Security, Tile, Totp, Why};

/// What can I open, and why not the rest?
#[must_use]
pub fn home(frame: &Frame, view: &Home) -> Markup {
    let open = view.tiles.iter().filter(|t| matches!(t.opens, Opens::Yes { .. })).count();
    let name = frame.visitor.as_ref().map_or("", |v| v.name.as_str());
    let lead = html! { p {
        @if !name.is_empty() { (name) ", " }
        @if view.tiles.is_empty() { "nothing is published for you yet." } @else { (open) " of " (view.tiles.len()) " applications open for you at this moment." }
    } };
    layout::portal(
        frame,
        "My access",
        &lead,
        &html! {
            @if view.tiles.is_empty() {
                (parts::empty("No application yet", "Applications that you may know of appear here, with the reason and the remedy where one does not open.", &html! {}))
            }
            ul.tiles {
                @for t in view.tiles.iter().filter(|t| matches!(t.opens, Opens::Yes { .. })) { (tile(frame, t)) }
                @for t in view.tiles.iter().filter(|t| matches!(t.opens, Opens::No { .. })) { (tile(frame, t)) }
            }
            div.two {
                section aria-labelledby="my-devices" { h2 #my-devices { "My devices" } (device_list(frame, &view.devices)) }
                section aria-labelledby="my-sessions" { h2 #my-sessions { "Where I am signed in" } (sessions(frame, &view.sessions)) }
            }
        },
    )
}

fn tile(frame: &Frame, t: &Tile) -> Markup {
    let open_link = parts::url::is_plain(&t.address);
    html! {
        @match &t.opens {
            Opens::Yes { may, until } => li.tile {
                div.tile-head { (mark(&t.name)) div { h2 { @if open_link { a href=(t.address) { (t.name) } } @else { (t.name) } } p.quiet { (t.note) } } }
                p.tile-state { span class="chip yes" { (icon::glyph("check")) "open" } " " (may) @if let Some(u) = until { span.quiet { " · until " (time::when(frame.now, *u)) } } }
            },
            Opens::No { reason, failing, remedies } => li class="tile shut" {
                div.tile-head { (mark(&t.name)) div { h2 { (t.name) } p.quiet { (t.note) } } }
                p.tile-state { span class="chip no" { (icon::glyph("cross")) "not now" } " " (reason.words()) }
                @if !failing.is_empty() { ul.failing { @for f in failing { li { (icon::glyph("cross")) span { "Needed: " (f.words) " " span.found { "Found: " (f.found) } } } } } }
                (remedy::for_asker(remedies, frame.now, "", Some(&t.id), &t.address))
            },
        }
    }
}

/// The first letters of a name as a quiet sign.
fn mark(name: &str) -> Markup {
    let letters: String =
        name.split_whitespace().filter_map(|w| w.chars().find(|c| c.is_alphanumeric())).take(2).collect();
    html! { span.mark aria-hidden="true" { (letters.to_uppercase()) } }
}

fn sessions(frame: &Frame, all: &[MySession]) -> Markup {
    html! {
        ul.cards { @for s in all {
            li.card {
                div.card-head {
                    b { @match (&s.machine, &s.device) {
                        (Some(m), _) => { "The command line on " (m) },
                        (None, Some(d)) => (d),
                        (None, None) => "A device that did not prove itself",
                    } }
                    @if s.this { span class="chip yes" { "this one" } }
                }
                p.quiet { (words::methods(&s.methods)) " · " code.path { (s.ip) } " · began " (time::when(frame.now, s.since)) " · ends " (time::when(frame.now, s.until)) }
                @if s.this { (parts::post(frame, "/sign-out", "quiet-button small", &format!("Sign out: ends {}", words::plural(s.connections, "connection", "connections")))) }
                @else { (parts::post(frame, &format!("/me/sessions/{}/end", s.id), "quiet-button small", &format!("End: closes {}", words::plural(s.connections, "connection", "connections")))) }
            }
        } }
        @if all.is_empty() { p.quiet { "No other session is live." } }
    }
}

fn device_list(frame: &Frame, all: &[MyDevice]) -> Markup {
    html! {
        @if all.is_empty() {
            (parts::empty("No device of yours is known", "Some applications open only from a known device. Enrol this browser, or a whole device with the command.",
                &html! { a.button href="/me/devices" { "Enrol this browser" } (parts::command("safeconduct device enrol")) }))
        }
        ul.cards { @for d in all {
            li.card {
                div.card-head { b { (d.name) } @if d.this { span class="chip yes" { "this one" } } (parts::rows::posture(d.compliant, d.reported.is_some())) }
                p.quiet { @if d.managed { "managed" } @else { "not managed" } " · reported " (time::when_or(frame.now, d.reported, "never")) " · " code.path { (d.id) } }
                @if !d.failing.is_empty() {
                    ul.failing { @for c in &d.failing { li { (icon::glyph("cross")) span { b { (words::capital(words::check(*c))) } " " span.found { "Remedy: " (c.remedy()) "." } } } } }
                }
            }
        } }
    }
}

/// How I sign in.
#[must_use]
pub fn security(frame: &Frame, view: &Security, wrong: Option<&str>) -> Markup {
    let lead = html! { p { "A passkey is two factors in one and cannot be relayed by a look-alike site." } };
    layout::portal(
        frame,
        "Sign-in methods",
        &lead,
        &html! {
            (error(wrong))
            section aria-labelledby="passkeys" {
                h2 #passkeys { "Passkeys" }
                @if view.passkeys.is_empty() { (parts::empty("No passkey yet", "Add the one of this device, or a security key. It replaces the password.", &html! {})) }
                ul.cards { @for p in &view.passkeys { (passkey(frame, p, view.passkeys.len())) } }
                form.row data-passkey="add" hidden {
                    label { span { "Name of the new passkey" } input type="text" name="name" required maxlength="60" placeholder="Laptop"; }
                    button type="submit" { "Add a passkey" }
                    (status())
                }
                noscript { p.quiet { "Adding a passkey needs the script of this page." } }
            }
            div.two {
                section.card aria-labelledby="password" {
                    h2 #password { "Password" }
                    p { @match view.password { Some(at) => { "Set " (time::when(frame.now, at)) "." }, None => "None is set." } }
                    form.stack method="post" action="/me/password" {
                        (parts::csrf(frame))
                        @if let Some(v) = &frame.visitor {
                            label.visually-hidden { "Account" input type="text" name="account" value=(v.person) autocomplete="username" readonly tabindex="-1"; }
                        }
                        label { span { "New password" } input type="password" name="password" autocomplete="new-password" required minlength="12"; }
                        button.quiet-button type="submit" { "Set the password" }
                    }
                }
                section.card aria-labelledby="codes" { h2 #codes { "One-time codes" } (totp(frame, &view.totp)) }
            }
        },
    )
}

fn passkey(frame: &Frame, p: &Passkey, all: usize) -> Markup {
    html! {
        li.card {
            div.card-head { b { (p.name) } }
            p.quiet { "Added " (time::when(frame.now, p.added)) " · used " (time::when_or(frame.now, p.used, "never")) }
            (parts::post(frame, &format!("/me/passkeys/{}/remove", parts::url::encode(&p.id)), "quiet-button small", &format!("Remove: {} left", words::plural(all.saturating_sub(1) as u64, "passkey", "passkeys"))))
        }
    }
}

fn totp(frame: &Frame, t: &Totp) -> Markup {
    html! {
        @match t {
            Totp::Off => {
                p { "A code from an app on your phone, beside the password." }
                (parts::post(frame, "/me/totp/begin", "quiet-button", "Set up codes"))
            }
            Totp::Pending { secret, link } => {
                p { "Enter this secret into your app, then the code that it shows." }
                p { code.secret { (secret) } }
                @if link.starts_with("otpauth://") { p { a href=(link) { "Open in an app on this device" } } }
                form.stack method="post" action="/me/totp/finish" {
                    (parts::csrf(frame))
                    label { span { "Code" } input type="text" name="code" inputmode="numeric" autocomplete="one-time-code" required maxlength="8"; }
                    button type="submit" { "Confirm" }
                }
            }
            Totp::On { since } => {
                p { "Set up " (time::when(frame.now, *since)) "." }
                (parts::post(frame, "/me/totp/remove", "quiet-button", "Remove codes: the password alone will remain"))
            }
        }
    }
}

/// My devices.
#[must_use]
pub fn devices(frame: &Frame, view: &MyDevices) -> Markup {
    let lead = html! { p { "A known device opens more. Whether it is healthy is told by its own signed reports." } };
    layout::portal(
        frame,
        "My devices",
        &lead,
        &html! {
            @if view.devices.is_empty() {
                (parts::empty("No device of yours is known", "Enrol this browser below, or a whole device with the command. Only a device that reports its posture can be compliant.", &parts::command("safeconduct device enrol")))
            } @else { (device_list(frame, &view.devices)) }
            section aria-labelledby="enrol" {
                h2 #enrol { "Enrol this browser" }
                p { "The browser makes a key that cannot leave it, and proves it at each sign-in. Clearing its data removes the key." }
                form.row data-enrol="" hidden {
                    label { span { "Name of this device" } input type="text" name="name" required maxlength="60" placeholder="My laptop"; }
                    button type="submit" { "Enrol" }
                    (status())
                }
                noscript { p.quiet { "Enrolment needs the script of this page." } }
            }
        },
    )
}

/// What is it for?
#[must_use]
pub fn why(frame: &Frame, view: &Why, to: &str, wrong: Option<&str>) -> Markup {
    layout::single(
        &frame.assets,
        "What is it for?",
        &frame.organisation,
        frame.csrf(),
        &html! {
            div.card {
                h1 { "What is it for?" }
                p { b { (view.name) } " opens for a stated purpose. It is recorded with every access." }
                (error(wrong))
                @if view.purposes.is_empty() { p.note { (icon::glyph("unknown")) span { "No purpose is configured for this application. Ask whoever answers for it." } } }
                form.stack method="post" action="/why" {
                    (parts::csrf(frame))
                    input type="hidden" name="app" value=(view.app);
                    input type="hidden" name="return" value=(to);
                    label { span { "Purpose" } select name="purpose" required {
                        option value="" { "Choose" }
                        @for (id, words) in &view.purposes { option value=(id) { (words) } }
                    } }
                    label { span { "Ticket " @if !view.ticket { span.quiet { "if there is one" } } } input type="text" name="ticket" autocomplete="off" maxlength="64" required[view.ticket]; }
                    button.wide type="submit" { "Go on" }
                }
                p.denial-links { a href="/" { "My access" } }
            }
        },
    )
}
