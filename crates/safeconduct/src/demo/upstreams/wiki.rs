//! The wiki: pages of text.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use maud::html;

use super::page::page;
use super::{App, Asker, Html};

const NAME: &str = "Wiki";
const LINKS: &[(&str, &str)] =
    &[("/", "Start"), ("/pages/onboarding", "Onboarding"), ("/pages/travel", "Travel"), ("/projects/hall-2", "Hall 2")];

/// Pages: slug, title, text.
pub(super) const PAGES: [(&str, &str, &str); 6] = [
    ("onboarding", "Onboarding", "Your first day begins at nine. Bring nothing; your laptop is enrolled and waiting."),
    ("travel", "Travel", "Book by train where a train goes. Receipts go to the help desk."),
    (
        "security",
        "Security",
        "Nobody from IT asks for your passkey. Access ends by itself; ask again when you need it.",
    ),
    ("close", "Quarter-end close", "Day one: cut-off. Day three: accruals. Day five: statement. Frida signs."),
    ("hall-2", "Hall 2", "The weighing line is being replaced. Whom to ask about it is not settled."),
    ("erp", "ERP selection", "Three offers are in. The contractors write the comparison."),
];

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(start))
        .route("/pages/{slug}", get(one).post(kept))
        .route("/projects/{slug}", get(one).post(kept))
}

async fn start(asker: Asker) -> Html {
    let body = html! {
        p { "What everybody here should be able to look up." }
        ul { @for (slug, title, _) in PAGES { li { a href=(format!("/pages/{slug}")) { (title) } } } }
    };
    Html(page(NAME, LINKS, &asker, "Start", &body))
}

async fn one(asker: Asker, Path(slug): Path<String>) -> Html {
    let known = PAGES.iter().find(|p| p.0 == slug);
    let body = html! {
        p { (known.map_or("Nobody has written this page yet.", |p| p.2)) }
        form method="post" { input name="text" placeholder="Add a line" aria-label="Add a line"; button { "Keep" } }
    };
    Html(page(NAME, LINKS, &asker, known.map_or(slug.as_str(), |p| p.1), &body))
}

async fn kept(asker: Asker, Path(_): Path<String>) -> Html {
    Html(page(NAME, LINKS, &asker, "Kept", &html! { p { "Your line was kept." } }))
}
