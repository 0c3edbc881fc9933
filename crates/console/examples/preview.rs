//! Serves every page with sample data on a loopback port: `cargo run -p safeconduct-console --example preview [PORT]`.
//!
//! Append `?empty=1` for pages without data, `?big=1` for ten times as much, `?hostile=1` for names that try to be markup.
//! `/preview/denied` and `/preview/problem` show what the gateway shows on the hosts of applications.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Router};
use sample::Sample;
use tower::util::ServiceExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).and_then(|p| p.parse().ok()).unwrap_or(8_099);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, Router::new().fallback(choose)).await?;
    Ok(())
}

async fn choose(request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let sample = Sample { empty: query.contains("empty=1"), big: query.contains("big=1"), hostile: query.contains("hostile=1") };
    match request.uri().path() {
        "/preview/denied" => return Html(safeconduct_console::pages::denied(&sample.denied()).into_string()).into_response(),
        "/preview/problem" => return Html(safeconduct_console::pages::problem(&sample.problem(502)).into_string()).into_response(),
        _ => {}
    }
    let app = safeconduct_console::router(Arc::new(sample)).layer(Extension(sample::visitor(true)));
    match app.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}
