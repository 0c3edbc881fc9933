//! Who uses what; what is unexpected.

use maud::{Markup, html};
use safeconduct_model::{AppId, Mode};

use crate::draw::{map as drawing, matrix};
use crate::parts::table::{Column, Key, Table};
use crate::parts::{self, icon, layout, time, words};
use crate::view::{Flow, Frame, Link, Map, MapApp, MapQuery};

/// The spans to choose from, in days.
const SPANS: [u32; 5] = [1, 7, 14, 30, 90];

/// A flow with the name of its application.
pub(crate) struct Row<'a> {
    flow: &'a Flow,
    app: Link,
}

/// The rows of the table.
pub(crate) fn rows(view: &Map) -> Vec<Row<'_>> {
    let name = |id: &AppId| view.apps.iter().find(|a| a.id == *id).map_or_else(|| id.to_string(), |a| a.name.clone());
    view.flows.iter().map(|flow| Row { flow, app: Link::app(&flow.app, name(&flow.app)) }).collect()
}

/// The flows as a table.
pub(crate) fn table<'a>(rows: &'a [Row<'a>]) -> Table<'a, Row<'a>> {
    Table {
        caption: "flows",
        columns: vec![
            Column {
                key: "who",
                title: "Who",
                number: false,
                value: |r| Key::text(r.flow.who.name.text.clone()),
                cell: |_, r| parts::link(&r.flow.who.name),
            },
            Column {
                key: "people",
                title: "People",
                number: true,
                value: |r| Key::count(r.flow.people),
                cell: |_, r| html! { (words::count(r.flow.people)) },
            },
            Column {
                key: "device",
                title: "From",
                number: false,
                value: |r| Key::text(r.flow.via.words()),
                cell: |_, r| html! { (r.flow.via.words()) },
            },
            Column {
                key: "app",
                title: "Application",
                number: false,
                value: |r| Key::text(r.app.text.clone()),
                cell: |_, r| parts::link(&r.app),
            },
            Column {
                key: "action",
                title: "Use",
                number: false,
                value: |r| Key::text(r.flow.action.name()),
                cell: |_, r| html! { (r.flow.action.name()) },
            },
            Column {
                key: "allowed",
                title: "Allowed",
                number: true,
                value: |r| Key::count(r.flow.allowed),
                cell: |_, r| number(r.flow.allowed, ""),
            },
            Column {
                key: "would_deny",
                title: "Would be denied",
                number: true,
                value: |r| Key::count(r.flow.would_deny),
                cell: |_, r| number(r.flow.would_deny, "warn-text"),
            },
            Column {
                key: "denied",
                title: "Denied",
                number: true,
                value: |r| Key::count(r.flow.denied),
                cell: |_, r| number(r.flow.denied, ""),
            },
            Column {
                key: "first",
                title: "First",
                number: false,
                value: |r| Key::Number(r.flow.first.millis()),
                cell: |f, r| html! { (time::when(f.now, r.flow.first)) @if r.flow.new { " " span class="chip new" { "new" } } },
            },
            Column {
                key: "last",
                title: "Last",
                number: false,
                value: |r| Key::Number(r.flow.last.millis()),
                cell: |f, r| time::when(f.now, r.flow.last),
            },
        ],
        rows,
        empty: html! {},
        anchor: None,
    }
}

fn number(n: u64, class: &str) -> Markup {
    html! { @if n == 0 { span.quiet { "0" } } @else { span class=(class) { (words::count(n)) } } }
}

/// The map.
#[must_use]
pub fn page(frame: &Frame, view: &Map, query: &MapQuery) -> Markup {
    let lead = html! { p {
        (words::plural(view.requests, "request", "requests")) " in " (words::plural(query.days.into(), "day", "days")) ". Each thread is one use; a denied one ends at the gateway."
    } };
    layout::console(
        frame,
        "Map",
        &lead,
        &html! {
            (filter(frame, view, query))
            @if view.flows.is_empty() {
                (parts::empty(
                    "No traffic in this span",
                    "The map draws itself from recorded requests: people, their devices, the gateway, applications and the data behind them. Put an application behind the gateway in observe mode and use it.",
                    &html! { (parts::command("safeconduct map show")) a href=(frame.path) { "Show the last 14 days of everything" } },
                ))
            } @else {
                (legend(&view.flows))
                div.drawing tabindex="0" role="region" aria-label="Drawing of the map" {
                    @if drawing::nodes(view) <= drawing::MAX_NODES { (drawing::draw(view)) } @else { (matrix::draw(view)) }
                }
                (proposals(frame, &view.apps, &view.flows))
                section aria-labelledby="same" {
                    h2 #same { "The same as a table" }
                    (table(&rows(view)).full(frame))
                }
            }
        },
    )
}

fn filter(frame: &Frame, view: &Map, query: &MapQuery) -> Markup {
    html! {
        form.filters method="get" action=(frame.path) data-auto="" {
            label { span { "Application" } select name="app" {
                option value="" { "All" }
                @for a in &view.apps { option value=(a.id) selected[query.app.as_deref() == Some(a.id.as_str())] { (a.name) } }
            } }
            label { span { "Group" } select name="group" {
                option value="" { "All" }
                @for (id, name) in &view.groups { option value=(id) selected[query.group.as_deref() == Some(id.as_str())] { (name) } }
            } }
            label { span { "Days" } select name="days" {
                @for d in SPANS { option value=(d) selected[query.days == d] { (d) } }
                @if !SPANS.contains(&query.days) { option value=(query.days) selected { (query.days) } }
            } }
            button.quiet-button type="submit" { "Show" }
        }
    }
}

fn legend(flows: &[Flow]) -> Markup {
    let sum = |f: fn(&Flow) -> u64| words::count(flows.iter().map(f).sum());
    let sign = |class: &str| html! { svg.key viewBox="0 0 32 8" width="32" height="8" aria-hidden="true" { path class=(format!("thread {class}")) d="M0 4H32" fill="none" stroke-width="2.5" {} } };
    html! {
        ul.legend {
            li { (sign("allowed")) "allowed " b { (sum(|f| f.allowed)) } }
            li { (sign("would")) "would be denied " b { (sum(|f| f.would_deny)) } }
            li { (sign("denied")) "denied " b { (sum(|f| f.denied)) } }
            li { (sign("allowed new")) "not seen before " b { (sum(|f| if f.new { f.allowed + f.would_deny + f.denied } else { 0 })) } }
        }
    }
}

fn proposals(frame: &Frame, apps: &[MapApp], flows: &[Flow]) -> Markup {
    html! {
        section aria-labelledby="write" {
            h2 #write { "Turn use into rules" }
            p.quiet { "A proposal is written from what was observed, rehearsed on the past, and binds only when a person publishes it." }
            ul.app-list {
                @for app in apps {
                    @let open: u64 = flows.iter().filter(|f| f.app == app.id).map(|f| f.would_deny).sum();
                    li {
                        span { (parts::link(&Link::app(&app.id, app.name.clone()))) " " (parts::mode(app.mode)) }
                        span.quiet {
                            (words::plural(app.rules, "rule", "rules"))
                            @if app.mode == Mode::Observe && open > 0 { ", " (words::count(open)) " requests would be denied" }
                        }
                        form.inline method="post" action="/console/policy/propose" {
                            (parts::csrf(frame))
                            input type="hidden" name="app" value=(app.id);
                            button.quiet-button type="submit" aria-label=(format!("Propose a rule for {}", app.name)) { "Propose a rule" (icon::glyph("arrow")) }
                        }
                    }
                }
            }
        }
    }
}
