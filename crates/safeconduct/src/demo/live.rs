//! Live traffic: a few people at work, through the real gateway, until the demo stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::browser::Browser;
use super::cast::Cast;
use super::dice::Dice;
use super::fortnight::staff::Kind;

/// Who works live, and at what.
const WORKING: [(&str, Kind); 10] = [
    ("frida", Kind::Controller),
    ("celine", Kind::Accountant),
    ("theo", Kind::It),
    ("jakob", Kind::Sales),
    ("katya", Kind::Sales),
    ("liam", Kind::Sales),
    ("xenia", Kind::Logistics),
    ("yusuf", Kind::Logistics),
    ("fiona", Kind::Board),
    ("gus", Kind::Contractor),
];
/// Who watches prices live.
const WATCHING: [&str; 2] = ["rosa", "tara"];
/// How long somebody rests between two requests, in milliseconds.
const REST_MILLIS: std::ops::Range<u64> = 2_500..7_500;
/// How long somebody waits after something went wrong.
const SETBACK: Duration = Duration::from_secs(8);

/// The people at work.
pub(crate) struct Live {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Live {
    /// Everybody begins to work.
    pub(crate) fn begin(cast: &Arc<Cast>) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for (person, kind) in WORKING {
            let (cast, stop) = (Arc::clone(cast), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(works(&cast, person, kind)).await });
        }
        for person in WATCHING {
            let (cast, stop) = (Arc::clone(cast), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(watches(&cast, person)).await });
        }
        Self { stop, tasks }
    }

    /// Everybody goes home.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Works day in, day out: signs in where the session has ended, and goes on.
async fn works(cast: &Cast, person: &'static str, kind: Kind) {
    let mut dice = Dice::for_purpose(cast.now().millis().unsigned_abs(), person);
    loop {
        let went = async {
            let browser = cast.sign_in(person, true).await?;
            loop {
                one(cast, &browser, kind, &mut dice).await?;
                let rest = REST_MILLIS.start + dice.below(REST_MILLIS.end - REST_MILLIS.start);
                tokio::time::sleep(Duration::from_millis(rest)).await;
            }
        };
        let ended: Result<()> = went.await;
        if let Err(error) = ended {
            tracing::debug!(person, error = format!("{error:#}"), "live traffic begins anew");
        }
        tokio::time::sleep(SETBACK).await;
    }
}

/// One request. An error means that the session has ended.
async fn one(cast: &Cast, browser: &Browser, kind: Kind, dice: &mut Dice) -> Result<()> {
    let wants = kind.wants();
    let mut at = dice.below(wants.iter().map(|w| w.weight).sum());
    let want = wants.iter().find(|w| {
        let here = at < w.weight;
        at = at.saturating_sub(w.weight);
        here
    });
    let Some(want) = want else { return Ok(()) };
    let pages = ["onboarding", "travel", "security", "close", "hall-2", "erp"];
    let path = want
        .path
        .replace("{c}", &(1_001 + dice.below(12)).to_string())
        .replace("{n}", &(2_200 + dice.below(40)).to_string())
        .replace("{p}", dice.pick(&pages).copied().unwrap_or("travel"));
    let address = cast.app(want.app, &path);
    if want.method == "GET" {
        let page = browser.open(&address).await?;
        ensure!(page.address.host == address_host(&address), "signed out");
    } else {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        browser.fetch(Method::POST, &address, &form, "q=copper&text=noted").await?;
    }
    Ok(())
}

fn address_host(address: &str) -> &str {
    address.trim_start_matches("https://").split([':', '/']).next().unwrap_or_default()
}

/// Watches prices; where the stream is cut, signs in and opens it again after a while.
async fn watches(cast: &Cast, person: &'static str) {
    loop {
        let watched: Result<()> = async {
            let browser = cast.sign_in(person, true).await?;
            browser.open(&cast.app("desk", "/")).await?;
            let mut socket = browser.socket(&cast.app("desk", "/live")).await?;
            while socket.next().await.is_some() {}
            Ok(())
        }
        .await;
        if let Err(error) = watched {
            tracing::debug!(person, error = format!("{error:#}"), "a live stream begins anew");
        }
        tokio::time::sleep(SETBACK).await;
    }
}
