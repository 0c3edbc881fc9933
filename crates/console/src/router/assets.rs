//! The style sheet and the script: one file each, named by their hash, kept by browsers for ever.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

const CSS: &str = include_str!("../assets/console.css");
const JS: &str = include_str!("../assets/console.js");
/// How many hexadecimal digits of the hash stand in the name.
const HASH_DIGITS: usize = 16;

/// A file that pages load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The value of `Cache-Control`.
    pub cache_control: &'static str,
    /// The content.
    pub bytes: &'static [u8],
}

static CSS_NAME: LazyLock<String> = LazyLock::new(|| format!("console.{}.css", hash(CSS)));
static JS_NAME: LazyLock<String> = LazyLock::new(|| format!("console.{}.js", hash(JS)));

/// The asset with this name, without its folder: `console.0f3a….css`.
#[must_use]
pub fn asset(name: &str) -> Option<Asset> {
    let (content_type, text) = if name == CSS_NAME.as_str() {
        ("text/css; charset=utf-8", CSS)
    } else if name == JS_NAME.as_str() {
        ("text/javascript; charset=utf-8", JS)
    } else {
        return None;
    };
    Some(Asset { content_type, cache_control: "public, max-age=31536000, immutable", bytes: text.as_bytes() })
}

/// The address of the style sheet under a folder such as `/assets`.
#[must_use]
pub fn css_path(base: &str) -> String {
    format!("{base}/{}", *CSS_NAME)
}

/// The address of the script under a folder such as `/assets`.
#[must_use]
pub fn js_path(base: &str) -> String {
    format!("{base}/{}", *JS_NAME)
}

pub(crate) async fn serve(Path(name): Path<String>) -> Response {
    match asset(&name) {
        Some(a) => ([(CONTENT_TYPE, a.content_type), (CACHE_CONTROL, a.cache_control)], a.bytes).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(HASH_DIGITS / 2).fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
