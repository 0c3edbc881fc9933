//! The trading desk: a page of prices, and a WebSocket that ticks.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use maud::html;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::page::page;
use super::{App, Asker, Html};
use crate::demo::dice::Dice;

const NAME: &str = "Trading desk";
const LINKS: &[(&str, &str)] = &[("/", "Prices"), ("/limits", "Limits")];
/// How often a price moves.
const TICK: Duration = Duration::from_millis(400);
/// What is traded, with a price in cents.
const TRADED: [(&str, i64); 5] =
    [("COPPER", 861_200), ("ALU", 244_150), ("ZINC", 278_900), ("NICKEL", 1_702_400), ("TIN", 3_318_000)];

const SCRIPT: &str = r#""use strict";
(() => {
  const state = document.getElementById("state");
  const socket = new WebSocket(`wss://${location.host}/live`);
  const said = (words) => { state.textContent = words; };
  socket.onopen = () => said("Live.");
  socket.onclose = (e) => said(e.code === 1008 ? "The stream was cut: your access ended." : "The stream has ended.");
  socket.onmessage = (e) => {
    const { symbol, price } = JSON.parse(e.data);
    const cell = document.querySelector(`[data-symbol="${symbol}"]`);
    if (cell) cell.textContent = price;
  };
})();
"#;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(prices).post(ordered))
        .route("/limits", get(limits))
        .route("/live", get(live))
        .route("/live.js", get(|| async { ([("content-type", "text/javascript; charset=utf-8")], SCRIPT) }))
}

async fn prices(asker: Asker) -> Html {
    let body = html! {
        p.quiet id="state" role="status" { "Connecting…" }
        div.cards { @for (symbol, cents) in TRADED { div.card { (symbol) b data-symbol=(symbol) { (price(cents)) } } } }
        form method="post" { input name="lots" inputmode="numeric" placeholder="Lots of copper" aria-label="Lots of copper"; button { "Buy" } }
        script src="/live.js" defer {}
    };
    Html(page(NAME, LINKS, &asker, "Prices", &body))
}

async fn limits(asker: Asker) -> Html {
    let body =
        html! { div.cards { div.card { "Value at risk, k€" b { "1 840" } } div.card { "Limit, k€" b { "2 500" } } } };
    Html(page(NAME, LINKS, &asker, "Limits", &body))
}

async fn ordered(asker: Asker) -> Html {
    Html(page(NAME, LINKS, &asker, "Ordered", &html! { p { "The order is in the book." } }))
}

fn price(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The handshake of RFC 6455 by hand: axum's own would bring a second copy of the library.
async fn live(mut request: Request) -> Response {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|k| derive_accept_key(k.as_bytes()));
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(key), Some(upgrade)) = (key.and_then(|k| HeaderValue::from_str(&k).ok()), upgrade) else {
        return (StatusCode::UPGRADE_REQUIRED, "This is a WebSocket.\n").into_response();
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            tick(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await).await;
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, key),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Sends prices until the other side goes.
async fn tick<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
    let mut dice = Dice::of(7);
    let mut prices = TRADED;
    let mut every = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = every.tick() => {
                let at = usize::try_from(dice.below(prices.len() as u64)).unwrap_or(0);
                let (symbol, cents) = &mut prices[at];
                *cents += dice.between(-900, 900);
                let told = serde_json::json!({ "symbol": symbol, "price": price(*cents) });
                if socket.send(Message::text(told.to_string())).await.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            }
        }
    }
}
