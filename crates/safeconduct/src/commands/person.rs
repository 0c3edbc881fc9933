//! `person setup-link`.

use std::path::Path;

use anyhow::Result;
use http::Method;
use safeconduct_model::PersonId;

use crate::commands::data;
use crate::local::Local;
use crate::out::{Answer, say};

pub(crate) async fn setup_link(config: &Path, person: &PersonId) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let answer = server.ask(Method::POST, &format!("/api/v1/people/{person}/setup-link"), None).await?;
    say(answer["url"].as_str().unwrap_or_default());
    Ok(Answer::Done)
}
