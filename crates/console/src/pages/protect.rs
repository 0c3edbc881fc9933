//! What may not be lost, and who answers for it.

use maud::{Markup, html};
use safeconduct_model::Class;

use crate::parts::table::{Column, Key, Table};
use crate::parts::{self, icon, layout, time, words};
use crate::view::{AssetRow, Exposure, Frame, Link, Protect};

/// The assets as a table.
pub(crate) fn table(view: &Protect) -> Table<'_, AssetRow> {
    Table {
        caption: "assets",
        columns: vec![
            Column {
                key: "name",
                title: "Asset",
                number: false,
                value: |r| Key::text(r.name.clone()),
                cell: |_, r| html! { b { (r.name) } @if !r.note.is_empty() { br; span.quiet { (r.note) } } },
            },
            Column {
                key: "kind",
                title: "Kind",
                number: false,
                value: |r| Key::text(r.kind.name()),
                cell: |_, r| html! { (r.kind.name()) },
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
                key: "exposure",
                title: "How it is reached",
                number: false,
                value: |r| Key::text(r.exposure.words()),
                cell: |_, r| exposure(r.exposure),
            },
            Column {
                key: "apps",
                title: "Through",
                number: false,
                value: |r| Key::text(r.apps.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join(" ")),
                cell: |_, r| html! { @if r.apps.is_empty() { (parts::none("no application")) } @else { (parts::links(&r.apps)) } },
            },
            Column {
                key: "people",
                title: "People in 30 days",
                number: true,
                value: |r| Key::count(r.people),
                cell: |_, r| html! { (words::count(r.people)) },
            },
            Column {
                key: "last",
                title: "Last use",
                number: false,
                value: |r| Key::Number(r.last.map_or(0, safeconduct_model::Timestamp::millis)),
                cell: |f, r| time::when_or(f.now, r.last, "never seen"),
            },
        ],
        rows: &view.assets,
        empty: parts::empty(
            "Nothing is named yet",
            "Name the few things that may not be lost: data, applications, assets and services, each with a class and someone who answers for it. Everything else follows from this list.",
            &parts::command("safeconduct protect add"),
        ),
        anchor: Some(|r| format!("asset-{}", r.id)),
    }
}

fn exposure(e: Exposure) -> Markup {
    match e {
        Exposure::Enforced => html! { span class="chip yes" { (icon::glyph("check")) (e.words()) } },
        Exposure::Observed => html! { span class="chip warn" { (icon::glyph("half")) (e.words()) } },
        Exposure::Unknown => html! { span class="chip" { (icon::glyph("unknown")) (e.words()) } },
    }
}

/// The protect surface.
#[must_use]
pub fn page(frame: &Frame, view: &Protect) -> Markup {
    let owned = view.assets.iter().filter(|a| a.owner.is_some()).count() as u64;
    let all = view.assets.len() as u64;
    let lead = html! { p { "What may not be lost, and who answers for it. " @if all > 0 { (words::count(owned)) " of " (words::count(all)) " have an owner." } } };
    layout::console(
        frame,
        "Protect",
        &lead,
        &html! {
            @if !view.assets.is_empty() { section aria-label="Assets by class and exposure" { (grid(&view.assets)) } }
            section aria-label="Assets" { (table(view).full(frame)) }
        },
    )
}

/// Assets by class and exposure: each asset is one square, the worst to lose on top.
fn grid(assets: &[AssetRow]) -> Markup {
    html! {
        div.exposure {
            div.exposure-head { span {} @for e in Exposure::ALL { span { (words::capital(e.words())) } } }
            @for class in Class::ALL.into_iter().rev() {
                div.exposure-row {
                    span.exposure-class { (parts::class(class)) }
                    @for e in Exposure::ALL {
                        @let here: Vec<&AssetRow> = assets.iter().filter(|a| a.class == class && a.exposure == e).collect();
                        div.exposure-cell {
                            span.cell-count { (here.len()) }
                            ul { @for a in &here { li { (parts::link(&Link::to(a.name.clone(), format!("#asset-{}", a.id)))) } } }
                        }
                    }
                }
            }
        }
    }
}
