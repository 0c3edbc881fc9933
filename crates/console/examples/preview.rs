//! Serves every page with sample data on a loopback port: `cargo run -p safeconduct-console --example preview [PORT]`.
//!
//! Append `?empty=1` for pages without data, `?big=1` for ten times as much, `?hostile=1` for names that try to be markup.
//! `/preview/denied` and `/preview/problem` show what the gateway shows on the hosts of applications.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Json, Router};
use sample::Sample;
use serde_json::{Value, json};
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
    let sample =
        Sample { empty: query.contains("empty=1"), big: query.contains("big=1"), hostile: query.contains("hostile=1") };
    match request.uri().path() {
        "/preview/denied" => {
            return Html(safeconduct_console::pages::denied(&sample.denied()).into_string()).into_response();
        }
        "/preview/locked" => {
            return Html(safeconduct_console::pages::denied(&sample.locked_out()).into_string()).into_response();
        }
        "/preview/problem" => {
            return Html(safeconduct_console::pages::problem(&sample.problem(502)).into_string()).into_response();
        }
        _ => {}
    }
    if request.method() == Method::POST
        && request.headers().get("content-type").is_some_and(|t| t == "application/json")
    {
        return ceremony(request).await;
    }
    let app = safeconduct_console::router(Arc::new(sample)).layer(Extension(sample::visitor(true)));
    match app.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// Plays the JSON ceremonies, so that the script can be tried with a virtual authenticator on `http://localhost`. It checks
/// shapes, not signatures.
async fn ceremony(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Ok(bytes) = axum::body::to_bytes(request.into_body(), 64 * 1024).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let long = |v: &Value, least: usize| v.as_str().is_some_and(|t| t.len() >= least);
    let response = &body["credential"]["response"];
    let answer = match path.as_str() {
        "/me/passkeys/begin" => json!({"ceremony": "c1", "publicKey": {
            "challenge": "AAECAwQFBgcICQoLDA0ODw", "rp": {"id": "localhost", "name": "Safeconduct"},
            "user": {"id": "YWRh", "name": "ada", "displayName": "Ada Lovelace"},
            "pubKeyCredParams": [{"type": "public-key", "alg": -7}], "excludeCredentials": [],
            "authenticatorSelection": {"residentKey": "required", "userVerification": "required"}}}),
        "/sign-in/passkey/begin" | "/step-up/passkey/begin" => json!({"ceremony": "c2", "publicKey": {
            "challenge": "AAECAwQFBgcICQoLDA0ODw", "rpId": "localhost", "allowCredentials": [], "userVerification": "required"}}),
        "/me/passkeys/finish" if long(&response["attestationObject"], 100) => json!({}),
        "/sign-in/passkey/finish" | "/step-up/passkey/finish" if long(&response["signature"], 80) => {
            json!({"location": "/"})
        }
        "/device/challenge" => json!({"challenge": "AAECAwQFBgcICQoLDA0ODw"}),
        "/me/devices/enrol" if long(&body["signature"], 86) && long(&body["public_key"], 120) => {
            json!({"device": "lt-99"})
        }
        "/device/prove" if long(&body["signature"], 86) && body["device"] == "lt-99" => {
            json!({"location": "/me/devices"})
        }
        _ => {
            let words = json!({"error": {"code": "bad_request", "words": "The shape is wrong."}});
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(words)).into_response();
        }
    };
    Json(answer).into_response()
}
