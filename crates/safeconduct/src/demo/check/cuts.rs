//! Live streams that are cut: by a posture change, by an administrator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use safeconduct_model::Check;

use super::{Steps, arrive};
use crate::demo::browser::{Browser, Socket};
use crate::demo::cast::Cast;
use crate::demo::stage::Stage;

/// A cut must come within this time.
const WITHIN: Duration = Duration::from_secs(1);
/// How long a cut is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The workstation of Rosa.
const WORKSTATION: &str = "ws-desk-1";

/// Both cuts.
pub(super) async fn play(stage: &Stage, steps: &mut Steps) {
    let cast = &*stage.cast;
    steps
        .step("a WebSocket is cut when the device loses its protection", async {
            let (_rosa, mut socket) = watching(cast).await?;
            let passed = Check::ALL.into_iter().filter(|c| *c != Check::EndpointProtection).collect();
            let since = Instant::now();
            let (ended, reported) = tokio::join!(socket.ended(PATIENCE), cast.report(WORKSTATION, passed));
            reported?;
            let words = in_time(since, ended);
            cast.report(WORKSTATION, Check::ALL.into()).await?;
            words
        })
        .await;
    steps
        .step("a WebSocket is cut by an administrator", async {
            let (rosa, mut socket) = watching(cast).await?;
            let session = cast.whoami(&rosa).await?["session"].as_str().context("no session")?.to_owned();
            let mira = cast.sign_in("mira", true).await?;
            let token = mira.open(&format!("{}/console", cast.portal())).await?.token().to_owned();
            let cut = format!("{}/api/v1/sessions/{session}/cut", cast.portal());
            let since = Instant::now();
            let empty = serde_json::json!({});
            let (ended, asked) = tokio::join!(socket.ended(PATIENCE), mira.post_json(&cut, &token, &empty));
            let connections = asked?["connections_cut"].as_u64().unwrap_or_default();
            ensure!(connections >= 1, "the server says that it cut {connections} connections");
            let answer = super::ask(cast, &rosa, Method::GET, "desk", "/").await?;
            ensure!(answer.status == http::StatusCode::UNAUTHORIZED, "her session still answers {}", answer.status);
            in_time(since, ended)
        })
        .await;
}

/// Rosa signs in and has prices streaming.
async fn watching(cast: &Cast) -> Result<(Browser, Socket)> {
    let rosa = cast.sign_in("rosa", true).await?;
    super::told(&arrive(cast, &rosa, "desk").await?, "rosa")?;
    let mut socket = rosa.socket(&cast.app("desk", "/live")).await?;
    let tick = tokio::time::timeout(PATIENCE, socket.next()).await.context("no price came")?;
    ensure!(tick.is_some_and(|t| t.contains("price")), "the stream ended before a price came");
    Ok((rosa, socket))
}

fn in_time(since: Instant, ended: Option<Instant>) -> Result<String> {
    let ended = ended.context("the stream was not cut")?;
    let took = ended.duration_since(since);
    ensure!(took < WITHIN, "the cut took {} ms", took.as_millis());
    Ok(format!("{} ms from the change to the end at the client", took.as_millis()))
}
