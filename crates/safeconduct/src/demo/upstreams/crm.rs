//! Customers: a list, a search by POST that only reads, an export.

use axum::Router;
use axum::extract::{Form, Path};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::html;
use serde::Deserialize;

use super::page::{page, table};
use super::{App, Asker, Html};

const NAME: &str = "Customers";
const LINKS: &[(&str, &str)] = &[("/", "All"), ("/export/customers.csv", "Export")];

/// Customers: number, name, place, turnover of the year in thousand euros.
const CUSTOMERS: [(&str, &str, &str, u32); 12] = [
    ("1001", "Aldous Marine Supply", "Hull", 1_204),
    ("1002", "Bergström Metall", "Gothenburg", 2_881),
    ("1003", "Casa de Cobre", "Porto", 640),
    ("1004", "Delta Werften", "Bremen", 3_310),
    ("1005", "Elbe Kabelwerk", "Hamburg", 1_975),
    ("1006", "Fonderie Maillard", "Lyon", 811),
    ("1007", "Gdynia Offshore", "Gdynia", 1_502),
    ("1008", "Harlan & Sons", "Cork", 402),
    ("1009", "Isola Impianti", "Genoa", 958),
    ("1010", "Jutland Wind Components", "Esbjerg", 2_260),
    ("1011", "Kvarner Trade", "Rijeka", 517),
    ("1012", "Lindholm Kran", "Malmö", 1_120),
];

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(list))
        .route("/search", post(search))
        .route("/customers/{id}", get(customer).post(changed))
        .route("/export/{file}", get(export))
}

fn rows(wanted: &str) -> Vec<Vec<String>> {
    let wanted = wanted.to_lowercase();
    let fits = |(_, name, place, _): &&(&str, &str, &str, u32)| {
        name.to_lowercase().contains(&wanted) || place.to_lowercase().contains(&wanted)
    };
    let row = |(id, name, place, turnover): &(&str, &str, &str, u32)| {
        vec![(*id).to_owned(), (*name).to_owned(), (*place).to_owned(), turnover.to_string()]
    };
    CUSTOMERS.iter().filter(fits).map(row).collect()
}

fn listing(asker: &Asker, title: &str, wanted: &str) -> Html {
    let body = html! {
        form method="post" action="/search" { input name="q" value=(wanted) placeholder="Name or place" aria-label="Name or place"; button { "Search" } }
        (table(&["Number", "Customer", "Place", "Turnover, k€#"], &rows(wanted)))
    };
    Html(page(NAME, LINKS, asker, title, &body))
}

async fn list(asker: Asker) -> Html {
    listing(&asker, "All customers", "")
}

async fn search(asker: Asker, Form(search): Form<Search>) -> Html {
    listing(&asker, "Found", &search.q)
}

async fn customer(asker: Asker, Path(id): Path<String>) -> Html {
    let known = CUSTOMERS.iter().find(|c| c.0 == id);
    let body = html! {
        @match known {
            Some((_, _, place, turnover)) => {
                div.cards {
                    div.card { "Place" b { (place) } }
                    div.card { "Turnover, k€" b { (turnover) } }
                    div.card { "Open offers" b { (turnover % 4) } }
                }
                form method="post" { input name="note" placeholder="Note of a call" aria-label="Note of a call"; button { "Keep" } }
            }
            None => p { "There is no customer " (id) "." }
        }
    };
    Html(page(NAME, LINKS, &asker, known.map_or("Unknown", |c| c.1), &body))
}

async fn changed(asker: Asker, Path(_): Path<String>) -> Html {
    Html(page(NAME, LINKS, &asker, "Kept", &html! { p { "The note was kept." } }))
}

async fn export(_: Asker, Path(_): Path<String>) -> Response {
    let lines: Vec<String> = rows("").iter().map(|row| row.join(";")).collect();
    ([("content-type", "text/csv; charset=utf-8")], format!("number;name;place;turnover\n{}\n", lines.join("\n")))
        .into_response()
}
