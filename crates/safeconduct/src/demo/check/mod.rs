//! The whole story without a screen: one line per step, and a yes only if every step holds.

mod cuts;
mod kill;
mod ledger;
mod policy;
mod sentence;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};

use super::browser::{Browser, Page};
use super::cast::Cast;
use super::stage::Stage;
use crate::out::say;

/// How many days of history the check writes.
const DAYS: u32 = 14;

/// The steps so far.
#[derive(Default)]
pub(super) struct Steps {
    held: u32,
    failed: u32,
}

impl Steps {
    /// Tells how a step went.
    fn tell(&mut self, name: &str, outcome: &Result<String>, took: Duration) {
        let took = took.as_millis();
        match outcome {
            Ok(figure) if figure.is_empty() => say(format!("✓ {name}  ({took} ms)")),
            Ok(figure) => say(format!("✓ {name}: {figure}  ({took} ms)")),
            Err(error) => say(format!("✗ {name}: {error:#}  ({took} ms)")),
        }
        match outcome {
            Ok(_) => self.held += 1,
            Err(_) => self.failed += 1,
        }
    }

    /// Runs a step.
    async fn step(&mut self, name: &str, step: impl Future<Output = Result<String>>) -> bool {
        let started = Instant::now();
        let outcome = step.await;
        self.tell(name, &outcome, started.elapsed());
        outcome.is_ok()
    }
}

/// Runs the story; the exit code.
pub(crate) async fn run() -> Result<i32> {
    let started = Instant::now();
    let mut steps = Steps::default();
    let dir = tempfile::Builder::new().prefix("safeconduct-check-").tempdir()?;
    let stage = match Stage::put_up(dir.path(), 0, DAYS).await {
        Ok(stage) => stage,
        Err(error) => {
            steps.tell("the company opens", &Err(error), started.elapsed());
            return finish(&steps, started);
        }
    };
    let past =
        stage.past.map(|p| format!("a past of {} records, {} requests, {} denied", p.records, p.accesses, p.denied));
    steps.tell("the company opens", &Ok(past.unwrap_or_default()), started.elapsed());
    sentence::play(&stage, &mut steps).await;
    cuts::play(&stage, &mut steps).await;
    policy::play(&stage, &mut steps).await;
    sentence::play_when(&stage, &mut steps).await;
    let data = stage.dir.join("data");
    steps.step("the company closes in order", async { stage.take_down().await.map(|()| String::new()) }).await;
    ledger::play(&data, &mut steps).await;
    kill::play(&mut steps).await;
    finish(&steps, started)
}

fn finish(steps: &Steps, started: Instant) -> Result<i32> {
    let took = started.elapsed().as_secs_f64();
    say(format!("\n{} held, {} did not, in {took:.1} s", steps.held, steps.failed));
    Ok(i32::from(steps.failed > 0))
}

/// Asks an application as a script does.
async fn ask(cast: &Cast, browser: &Browser, method: Method, app: &str, path: &str) -> Result<Page> {
    let kind: &[(&str, &str)] = match method {
        Method::POST => &[("content-type", "application/x-www-form-urlencoded")],
        _ => &[],
    };
    browser.fetch(method, &cast.app(app, path), kind, "").await
}

/// Carries the session to an application by opening it once, whatever the application answers.
async fn arrive(cast: &Cast, browser: &Browser, app: &str) -> Result<Page> {
    let page = browser.open(&cast.app(app, "/")).await?;
    ensure!(page.address.host == super::company::host(app), "the way to {app} ended at {}", page.address);
    Ok(page)
}

/// An answer must be a denial with this reason.
fn denied(page: &Page, reason: &str) -> Result<String> {
    let code = page.code();
    ensure!(
        page.status == StatusCode::FORBIDDEN && code == reason,
        "expected 403 {reason}, got {} {code}",
        page.status
    );
    Ok(format!("403 {code}"))
}

/// An answer must be the application's own, which must have been told who asks.
fn told(page: &Page, person: &str) -> Result<()> {
    ensure!(page.status == StatusCode::OK, "expected 200, got {} {}", page.status, page.code());
    let shown = page.body.split_once("data-asker=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(who, _)| who);
    let shown = shown.context("the answer is not the application's")?;
    ensure!(shown == person, "the application was told that {shown} asks, not {person}");
    Ok(())
}
