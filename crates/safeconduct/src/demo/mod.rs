//! `safeconduct demo`: a small company, alive. Applications, people, devices, a simulated fortnight, live traffic, and a tour;
//! and `--check`, which runs the whole story without a screen.
//!
//! | file | idea |
//! |---|---|
//! | `company` | the files of the company |
//! | `upstreams` | its applications, which verify for themselves who is asking |
//! | `fortnight` | what happened before the demo starts |
//! | `browser` | a browser without a screen |
//! | `cast` | who acts: software passkeys and devices |
//! | `stage` | all of it, put up |
//! | `live` | people at work |
//! | `tour` | the page that leads through |
//! | `check` | the whole story, asserted |

mod browser;
mod cast;
mod check;
mod company;
mod dice;
mod fortnight;
mod live;
mod stage;
mod tour;
mod upstreams;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use safeconduct_model::{Duration, Timestamp};
use tokio::signal::unix::{SignalKind, signal};

use crate::out::say;
use fortnight::Simulation;
use live::Live;
use stage::{Stage, local};

/// What the demo's clock shows at its start: Wednesday, 30 September 2026, 14:02 in Berlin, the last day of the third quarter.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_790_769_720_000);
/// About how many records a day of the simulation has at least, weekends included.
const RECORDS_PER_DAY: u64 = 1_000;

/// What the demo is told.
pub(crate) struct Options {
    /// The port of the portal; the tour listens on the next one.
    pub(crate) port: u16,
    /// The work folder; a temporary one if none is named.
    pub(crate) dir: Option<PathBuf>,
    /// Run the story without a screen.
    pub(crate) check: bool,
    /// No live traffic.
    pub(crate) quiet: bool,
    /// How many days of history.
    pub(crate) days: u32,
    /// Only write so many records, and say how fast.
    pub(crate) records: Option<u64>,
}

/// Runs the demo; the exit code.
pub(crate) async fn run(options: Options) -> Result<i32> {
    if let Some(records) = options.records {
        let dir = options.dir.context("name a folder with --dir")?;
        return tokio::task::spawn_blocking(move || million(&dir, records)).await?.map(|()| 0);
    }
    if options.check {
        return check::run().await;
    }
    play(&options).await.map(|()| 0)
}

/// Writes a ledger of `records` records into `dir`, as the demo's people would have filled it, and says how fast.
pub(crate) fn million(dir: &Path, records: u64) -> Result<()> {
    let (data, built) = (dir.join("data"), company::built()?);
    anyhow::ensure!(!data.join("ledger").exists(), "{} has a ledger already; name another folder", dir.display());
    let days = Duration::from_days(records / RECORDS_PER_DAY + 7);
    let simulation = Simulation::of(built, START - days, START);
    let started = Instant::now();
    let written = fortnight::write(&simulation, &data, records)?;
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "numbers of records are far below 2^52")]
    let rate = written.records as f64 / seconds;
    say(format!(
        "{} records, {} of them verdicts, in {seconds:.1} s: {rate:.0} records per second",
        written.records, written.accesses
    ));
    say(format!(
        "The ledger is in {}, its public key in {}",
        data.join("ledger").display(),
        data.join("keys/ledger.key.pub").display()
    ));
    Ok(())
}

/// Puts everything up and leaves it alive until the process is asked to end.
async fn play(options: &Options) -> Result<()> {
    let started = Instant::now();
    let temporary = match &options.dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("safeconduct-demo-").tempdir()?),
    };
    let dir = match (&options.dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => anyhow::bail!("there is no folder to work in"),
    };
    let stage = std::sync::Arc::new(Stage::put_up(&dir, options.port, options.days).await?);
    let tour = tour::Tour::open(&stage, options.port).await?;
    let live = (!options.quiet).then(|| Live::begin(&stage.cast));
    tell(&stage, &tour, started, temporary.is_some());

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    say("\nStopping.");
    if let Some(live) = live {
        live.end().await;
    }
    tour.close().await;
    let stage = std::sync::Arc::into_inner(stage).context("something still uses the stage")?;
    stage.take_down().await
}

fn tell(stage: &Stage, tour: &tour::Tour, started: Instant, temporary: bool) {
    let (cast, dir) = (&stage.cast, stage.dir.display());
    let now = local(cast.now(), &stage.zone);
    let ready = started.elapsed().as_secs_f64();
    say(format!("\n  Brightwater Trading is open. It took {ready:.1} s.\n"));
    say(format!("  Begin here:    {}\n", tour.address()));
    say(format!("  The portal:    {}", cast.portal()));
    say(format!("  The console:   {}/console   (the tour opens it as an operator)", cast.portal()));
    for (id, _) in company::APPS {
        say(format!("  {:<14} {}", format!("{id}:"), cast.app(id, "/")));
    }
    say(format!("\n  The company's clock shows {}, whatever the time is.", now.strftime("%A, %-d %B %Y, %H:%M (%Z)")));
    match &stage.past {
        Some(past) => say(format!(
            "  Its past: {} records, {} requests, {} of them denied.",
            past.records, past.accesses, past.denied
        )),
        None => say("  Its past is that of the earlier runs in this folder."),
    }
    say(format!("  Browsers warn until they trust {dir}/data/ca.pem; with `curl`, use --cacert."));
    let kept = if temporary { "it goes when the demo ends; keep it with --dir" } else { "it is kept" };
    say(format!("  Everything lies in {dir}: {kept}."));
    say("  Ctrl-C ends it.\n");
}
