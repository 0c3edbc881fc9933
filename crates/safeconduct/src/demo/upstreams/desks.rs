//! The other applications: payroll, warehouse, reports, help desk. One table each, and a form.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use maud::html;

use super::page::{page, table};
use super::{App, Asker, Html};

/// What an application shows.
struct Shown {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    heading: &'static [&'static str],
    rows: &'static [&'static [&'static str]],
    form: &'static str,
}

const PAYROLL: Shown = Shown {
    name: "Payroll",
    title: "Run of September",
    about: "Salaries and bank details of everybody on the payroll.",
    heading: &["Cost centre", "People#", "Gross, euros#", "State"],
    rows: &[
        &["Finance", "6", "41 300", "checked"],
        &["Sales", "9", "58 900", "checked"],
        &["Trading", "6", "71 250", "waits for bonus"],
        &["Logistics", "7", "33 800", "checked"],
    ],
    form: "Correction",
};

const WAREHOUSE: Shown = Shown {
    name: "Warehouse",
    title: "Stock and shipments",
    about: "Halls 1 and 2. The weighing line reports every minute.",
    heading: &["Article", "Hall", "Pallets#", "Leaves"],
    rows: &[
        &["Copper cathode", "1", "212", "today 16:00"],
        &["Zinc ingot", "1", "87", "tomorrow"],
        &["Aluminium billet", "2", "140", "Friday"],
        &["Tin, bars", "2", "16", "on call"],
    ],
    form: "Booking",
};

const REPORTS: Shown = Shown {
    name: "Reports",
    title: "Reports",
    about: "What the departments publish for each other.",
    heading: &["Report", "Period", "By"],
    rows: &[
        &["Margin by article", "August 2026", "Finance"],
        &["Receivables by age", "August 2026", "Finance"],
        &["Deliveries on time", "Week 39", "Logistics"],
        &["Pipeline", "Week 39", "Sales"],
    ],
    form: "Comment",
};

const TICKETS: Shown = Shown {
    name: "Help desk",
    title: "Open tickets",
    about: "Ask for help; somebody from IT answers within the day.",
    heading: &["Number", "What", "Since", "With"],
    rows: &[
        &["IT-2207", "Endpoint protection does not update on lt-hugo", "21 September", "Theo"],
        &["IT-2215", "Scanner in hall 2 loses the network", "24 September", "Sana"],
        &["IT-2219", "Access to the quarter-end close for Ada", "24 September", "Mira"],
    ],
    form: "New ticket",
};

fn shown(app: &str) -> &'static Shown {
    match app {
        "payroll" => &PAYROLL,
        "warehouse" => &WAREHOUSE,
        "reports" => &REPORTS,
        _ => &TICKETS,
    }
}

/// Every path shows the same: these applications are here to be reached, not to be used.
pub(super) fn router(_: &str) -> Router<App> {
    Router::new().route("/", get(look).post(kept)).route("/{*rest}", get(look).post(kept))
}

async fn look(State(app): State<App>, asker: Asker) -> Html {
    let it = shown(app.id);
    let rows: Vec<Vec<String>> = it.rows.iter().map(|r| r.iter().map(|c| (*c).to_owned()).collect()).collect();
    let body = html! {
        p { (it.about) }
        (table(it.heading, &rows))
        form method="post" { input name="text" placeholder=(it.form) aria-label=(it.form); button { "Keep" } }
    };
    Html(page(it.name, &[("/", "Start")], &asker, it.title, &body))
}

async fn kept(State(app): State<App>, asker: Asker) -> Html {
    Html(page(shown(app.id).name, &[("/", "Start")], &asker, "Kept", &html! { p { "It was kept." } }))
}
