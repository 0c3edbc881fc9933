//! The frame around every page.

use maud::{DOCTYPE, Markup, html};

use super::{csrf, icon};
use crate::router::assets::{css_path, js_path};
use crate::view::Frame;

/// The places of the console: sign, name, path.
const PLACES: [(&str, &str, &str); 6] = [
    ("overview", "Overview", "/console"),
    ("protect", "Protect", "/console/protect"),
    ("map", "Map", "/console/map"),
    ("policy", "Policy", "/console/policy"),
    ("watch", "Watch", "/console/watch"),
    ("assess", "Assess", "/console/assess"),
];

/// The lists of the console.
const LISTS: [(&str, &str, &str); 6] = [
    ("apps", "Applications", "/console/apps"),
    ("people", "People", "/console/people"),
    ("devices", "Devices", "/console/devices"),
    ("connectors", "Connectors", "/console/connectors"),
    ("locks", "Locks", "/console/locks"),
    ("health", "Health", "/console/health"),
];

/// A whole document.
fn document(assets: &str, title: &str, token: &str, class: &str, onward: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(to) = onward { meta http-equiv="refresh" content=(format!("0; url={to}")); }
                @if !token.is_empty() { meta name="csrf-token" content=(token); }
                title { (title) " · Safeconduct" }
                link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect x='1' y='1' width='30' height='30' rx='8' fill='%230b5d66'/%3E%3Cpath d='M8 25V15a8 8 0 0 1 16 0v10M16 25V14' fill='none' stroke='white' stroke-width='2.500'/%3E%3C/svg%3E";
                link rel="stylesheet" href=(css_path(assets));
                script src=(js_path(assets)) defer {}
            }
            body class=(class) { (body) }
        }
    }
}

fn place(frame: &Frame, (sign, name, path): (&str, &str, &str)) -> Markup {
    let here = frame.path == path
        || (path != "/console" && frame.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
        || (path == "/console/watch" && frame.path.starts_with("/console/verdicts/"));
    html! { li { a href=(path) aria-current=[here.then_some("page")] { (icon::nav(sign)) span { (name) } } } }
}

fn visitor(frame: &Frame) -> Markup {
    html! {
        @if let Some(v) = &frame.visitor {
            div.visitor {
                a.visitor-name href="/me/security" title="How you sign in" { (v.name) }
                form method="post" action="/sign-out" { (csrf(frame)) button.link type="submit" { "Sign out" } }
            }
        }
    }
}

/// A page of the console.
pub(crate) fn console(frame: &Frame, title: &str, lead: &Markup, body: &Markup) -> Markup {
    let inner = html! {
        a.skip href="#main" { "Skip to the content" }
        header.side {
            a.brand href="/console" { (icon::logo()) span { b { "Safeconduct" } small { (frame.organisation) } } }
            nav aria-label="Console" {
                ul { @for p in PLACES { (place(frame, p)) } }
                ul.lists { @for p in LISTS { (place(frame, p)) } }
            }
            div.side-foot {
                a.quiet-link href="/" { "My access" }
                (visitor(frame))
            }
        }
        main #main tabindex="-1" {
            div.head { h1 { (title) } div.lead { (lead) } }
            (body)
            footer.foot { "Seen at " (super::time::stamp(frame.now)) }
        }
    };
    document(&frame.assets, title, frame.csrf(), "console", None, &inner)
}

/// A page of an end user.
pub(crate) fn portal(frame: &Frame, title: &str, lead: &Markup, body: &Markup) -> Markup {
    let tabs = [("My access", "/"), ("Sign-in methods", "/me/security"), ("Devices", "/me/devices")];
    let operator = frame.visitor.as_ref().is_some_and(|v| v.operator);
    let inner = html! {
        a.skip href="#main" { "Skip to the content" }
        header.top {
            a.brand href="/" { (icon::logo()) span { b { "Safeconduct" } small { (frame.organisation) } } }
            nav aria-label="Portal" {
                ul {
                    @for (name, path) in tabs {
                        li { a href=(path) aria-current=[(frame.path == path).then_some("page")] { (name) } }
                    }
                    @if operator { li { a href="/console" { "Console" } } }
                }
            }
            (visitor(frame))
        }
        main #main tabindex="-1" {
            div.head { h1 { (title) } div.lead { (lead) } }
            (body)
        }
    };
    document(&frame.assets, title, frame.csrf(), "portal", None, &inner)
}

/// A page with one matter: sign-in, a denial, an error.
pub(crate) fn single(assets: &str, title: &str, organisation: &str, token: &str, body: &Markup) -> Markup {
    let inner = html! {
        main.single #main {
            div.brand { (icon::logo()) span { b { "Safeconduct" } @if !organisation.is_empty() { small { (organisation) } } } }
            (body)
        }
    };
    document(assets, title, token, "alone", None, &inner)
}

/// A page that leads on at once. A form may not redirect to another host under our policy (`form-action`), a page may.
pub(crate) fn onward(assets: &str, to: &str) -> Markup {
    let inner = html! {
        main.single #main {
            div.brand { (icon::logo()) span { b { "Safeconduct" } } }
            div.card {
                h1 { "Going on" }
                p { a.button href=(to) { "Continue" } }
            }
        }
    };
    document(assets, "Going on", "", "alone", Some(to), &inner)
}
