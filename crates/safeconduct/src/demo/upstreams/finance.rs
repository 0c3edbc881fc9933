//! The Q3 finance server: figures that the board has not signed yet.

use axum::Router;
use axum::routing::get;
use maud::html;

use super::page::{page, table};
use super::{App, Asker, Html};

const NAME: &str = "Q3 finance server";
const LINKS: &[(&str, &str)] = &[("/", "Statement"), ("/ledger", "Ledger"), ("/accruals", "Accruals")];

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(statement).post(posted))
        .route("/ledger", get(ledger).post(posted))
        .route("/accruals", get(accruals))
}

fn rows(lines: &[(&str, &str, &str)]) -> Vec<Vec<String>> {
    lines.iter().map(|(a, b, c)| vec![(*a).to_owned(), (*b).to_owned(), (*c).to_owned()]).collect()
}

async fn statement(asker: Asker) -> Html {
    let lines = rows(&[
        ("Revenue", "48 216", "44 930"),
        ("Cost of goods sold", "−31 804", "−30 112"),
        ("Gross profit", "16 412", "14 818"),
        ("Personnel", "−6 207", "−6 015"),
        ("Other operating cost", "−3 118", "−3 344"),
        ("Operating result", "7 087", "5 459"),
        ("Interest", "−412", "−455"),
        ("Result before tax", "6 675", "5 004"),
    ]);
    let body = html! {
        p { "Brightwater Trading, third quarter of 2026. In thousand euros, before the board has signed." }
        (table(&["", "Q3 2026#", "Q3 2025#"], &lines))
        p.quiet { "Price-sensitive until published. Every look at this page is on record." }
    };
    Html(page(NAME, LINKS, &asker, "Statement of the third quarter", &body))
}

async fn ledger(asker: Asker) -> Html {
    let lines = rows(&[
        ("2026-09-28  Freight Rotterdam, settlement", "118 400", "4410"),
        ("2026-09-28  Hedge of copper position", "−42 150", "7205"),
        ("2026-09-29  Customer rebate, third quarter", "−96 000", "8736"),
        ("2026-09-29  Depreciation hall 2", "−31 250", "6220"),
        ("2026-09-30  Interest, syndicated loan", "−138 020", "7310"),
    ]);
    let body = html! { (table(&["Entry", "Amount, euros#", "Account#"], &lines)) };
    Html(page(NAME, LINKS, &asker, "General ledger", &body))
}

async fn accruals(asker: Asker) -> Html {
    let lines = rows(&[
        ("Holiday not taken", "−214 000", "open"),
        ("Audit of the year", "−60 000", "agreed"),
        ("Damage to container TLLU-4471", "−18 500", "with the insurer"),
    ]);
    let body = html! { (table(&["Accrual", "Amount, euros#", "State"], &lines)) };
    Html(page(NAME, LINKS, &asker, "Accruals", &body))
}

async fn posted(asker: Asker) -> Html {
    let body = html! { p { "The entry was booked." } };
    Html(page(NAME, LINKS, &asker, "Booked", &body))
}
