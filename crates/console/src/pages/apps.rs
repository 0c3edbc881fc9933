//! Applications: all of them, and everything about one.

use maud::{Markup, html};

use super::locks;
use crate::parts::table::{Column, Key, Table};
use crate::parts::{self, icon, layout, rows, time, words};
use crate::view::{App, AppRow, Fact, Frame, Link, OptOut};

/// The applications as a table.
pub(crate) fn table(all: &[AppRow]) -> Table<'_, AppRow> {
    Table {
        caption: "applications",
        columns: vec![
            Column {
                key: "name",
                title: "Application",
                number: false,
                value: |r| Key::text(r.name.clone()),
                cell: |_, r| html! { b { (parts::link(&Link::app(&r.id, r.name.clone()))) } },
            },
            Column {
                key: "mode",
                title: "Policy",
                number: false,
                value: |r| Key::text(r.mode.name()),
                cell: |_, r| parts::mode(r.mode),
            },
            Column {
                key: "class",
                title: "Class",
                number: false,
                value: |r| Key::Number(words::class_level(r.class).into()),
                cell: |_, r| parts::class(r.class),
            },
            Column {
                key: "owner",
                title: "Answers for it",
                number: false,
                value: |r| Key::text(r.owner.as_ref().map(|o| o.text.clone()).unwrap_or_default()),
                cell: |_, r| match &r.owner {
                    Some(o) => parts::link(o),
                    None => html! { span class="chip warn" { (icon::glyph("alarm")) "nobody" } },
                },
            },
            Column {
                key: "rules",
                title: "Rules",
                number: true,
                value: |r| Key::count(r.rules),
                cell: |_, r| html! { (words::count(r.rules)) },
            },
            Column {
                key: "people",
                title: "People in 30 days",
                number: true,
                value: |r| Key::count(r.people),
                cell: |_, r| html! { (words::count(r.people)) },
            },
            Column {
                key: "covered",
                title: "Use that policy allows",
                number: true,
                value: |r| Key::count(r.covered.of),
                cell: |_, r| html! { (parts::share(r.covered)) " " span.quiet { "(" (words::percent(r.covered)) ")" } },
            },
            Column {
                key: "address",
                title: "Opens at",
                number: false,
                value: |r| Key::text(r.address.clone()),
                cell: |_, r| html! { code.path { (r.address) } },
            },
        ],
        rows: all,
        empty: parts::empty(
            "No application is behind the gateway",
            "Add one to the estate: its host name, where it runs, who answers for it. It starts in observe mode, so nothing breaks, and its map draws itself.",
            &parts::command("estate/applications.toml"),
        ),
        anchor: None,
    }
}

/// Every application.
#[must_use]
pub fn list(frame: &Frame, all: &[AppRow]) -> Markup {
    let lead = html! { p { "What is behind the gateway, and whether policy binds there." } };
    layout::console(frame, "Applications", &lead, &table(all).full(frame))
}

/// Facts with source and age.
pub(crate) fn facts(frame: &Frame, all: &[Fact]) -> Markup {
    html! {
        dl.facts.sourced {
            @for f in all {
                div { dt { (f.name) } dd { (parts::link(&f.value)) span.fact-source { (f.source) @if let Some(at) = f.since { " · " (time::when(frame.now, at)) } } } }
            }
        }
    }
}

/// One application.
#[must_use]
pub fn page(frame: &Frame, view: &App) -> Markup {
    let r = &view.row;
    let lead = html! { p { (parts::mode(r.mode)) " " (parts::class(r.class)) " opens at " code.path { (r.address) } } };
    layout::console(
        frame,
        &r.name,
        &lead,
        &html! {
            div.two {
                section.card aria-label="Facts" { (facts(frame, &view.facts)) (locks::lead("application", r.id.as_str())) }
                section.card aria-label="Assets and rules" {
                    h2 { "Leads to" }
                    @if view.assets.is_empty() { p.quiet { "No asset is named behind it." } }
                    ul.plain { @for (a, c) in &view.assets { li { (parts::link(a)) " " (parts::class(*c)) } } }
                    h2 { "Rules" }
                    @if view.rules.is_empty() { p.quiet { "No rule speaks of it." } } @else { p { (parts::links(&view.rules)) } }
                    form.inline method="post" action="/console/policy/propose" {
                        (parts::csrf(frame))
                        input type="hidden" name="app" value=(r.id);
                        button.quiet-button type="submit" { "Propose a rule from its use" (icon::glyph("arrow")) }
                    }
                    " " a href=(format!("/console/map?app={}", r.id)) { "On the map" }
                }
            }
            section { h2 { "Opt-outs from strict reading" } (opt_outs(&view.opt_outs)) }
            section { h2 { "Who uses it" } (rows::usage(&view.usage, "Who", html! { p.quiet { "Nobody used it in the last 30 days." } }).plain(frame)) }
            section { h2 { "Live sessions" } (rows::sessions(&view.sessions).plain(frame)) }
            section { h2 { "Recent verdicts" } (rows::verdicts(&view.verdicts, html! { p.quiet { "Nothing is recorded yet." } }).plain(frame))
                p { a href=(format!("/console/watch?app={}", r.id)) { "All verdicts" } } }
        },
    )
}

/// What is read less strictly than elsewhere, where, and what that means.
fn opt_outs(all: &[OptOut]) -> Markup {
    html! {
        @if all.is_empty() { p.quiet { (icon::glyph("check")) " None: a request that could be read in two ways is refused." } }
        @else {
            ul class="plain opt-outs" { @for o in all { li {
                @if o.taken { span class="chip warn" { (icon::glyph("alarm")) (o.name) } } @else { span class="chip yes" { (icon::glyph("check")) "strict: " (o.name) } }
                " " @match &o.route { Some(route) => { "on " code.path { (route) } }, None => "on every request" }
                p.quiet { @if o.taken { (words::opt_out(o.name)) } @else { "Not on this route, though elsewhere in this application." } }
            } } }
            p.quiet { "A path that could belong to another route, however the application reads it, is refused all the same." }
        }
    }
}
