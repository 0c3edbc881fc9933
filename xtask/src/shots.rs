//! `shots`: the screenshots that the browser tests made, for the documentation.

use std::fs;

use anyhow::{Context, Result};

use crate::terminal::say;
use crate::tree;

/// Where the browser tests leave them.
const MADE: &str = "target/e2e-shots";
/// Where the documentation shows them.
const SHOWN: &str = "docs/images";

/// Copies every screenshot as it is.
pub(crate) fn run() -> Result<bool> {
    let root = tree::root()?;
    let (made, shown) = (root.join(MADE), root.join(SHOWN));
    let entries = fs::read_dir(&made).with_context(|| format!("there is no {MADE}; run `cargo xtask test` first"))?;
    fs::create_dir_all(&shown)?;
    let mut copied = 0;
    for entry in entries {
        let path = entry?.path();
        if let (Some("png"), Some(name)) = (path.extension().and_then(|e| e.to_str()), path.file_name()) {
            fs::copy(&path, shown.join(name))?;
            copied += 1;
        }
    }
    say(format!("{copied} screenshots from {MADE} are in {SHOWN}"));
    Ok(copied > 0)
}
