//! `kill -9` in the middle of traffic: what was acknowledged is on record, and the next start serves again.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use safeconduct_model::Record;
use safeconduct_server::clock::system;
use safeconduct_store::{Entries, LedgerKey, verify_ledger};

use super::{Steps, arrive, ask, told};
use crate::demo::browser::Net;
use crate::demo::cast::{Cast, Scene};
use crate::demo::company;
use crate::demo::upstreams::{Applications, Trust};
use crate::local::Local;

/// How long a start may take.
const START: Duration = Duration::from_secs(40);
/// How long traffic runs before the kill.
const TRAFFIC: Duration = Duration::from_millis(1_500);
/// How many ask at once.
const ASKING: usize = 6;
/// Who asks. The help desk is open to everybody at any time.
const PERSON: &str = "theo";
/// What is asked for.
const APP: &str = "tickets";

/// A server in a process of its own, killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kill, restart, count.
pub(super) async fn play(steps: &mut Steps) {
    steps
        .step("kill -9 in the middle of traffic loses no acknowledged record, and a restart serves", async {
            story().await
        })
        .await;
}

async fn story() -> Result<String> {
    let dir = tempfile::Builder::new().prefix("safeconduct-kill-").tempdir()?;
    let dir = dir.path();
    let applications = Applications::start(Arc::new(Trust::new())).await?;
    let at = free_port()?;
    company::write(dir, at, &applications.at)?;
    let mut server = begin(dir).await?;
    let net = Net::new(&dir.join("data/ca.pem"), at)?;
    let origin = format!("https://portal.{}:{}", company::DOMAIN, at.port());
    applications.trust.in_portal(&origin, net.clone(), Box::new(system));
    let scene = Scene { dir, net, origin, now: Arc::new(system) };
    let cast = Arc::new(Cast::gather(scene, &[PERSON], false).await?);

    let asking: Vec<_> = (0..ASKING).map(|_| tokio::spawn(traffic(Arc::clone(&cast)))).collect();
    tokio::time::sleep(TRAFFIC).await;
    server.0.kill().context("the server could not be killed")?;
    server.0.wait()?;
    let mut acknowledged = BTreeSet::new();
    for task in asking {
        acknowledged.extend(task.await?);
    }
    ensure!(!acknowledged.is_empty(), "nothing was acknowledged before the kill");

    let restarted = Instant::now();
    let server = begin(dir).await?;
    let again = cast.sign_in(PERSON, false).await.context("after the restart")?;
    told(&arrive(&cast, &again, APP).await?, PERSON).context("after the restart")?;
    let back = restarted.elapsed();
    end(server)?;
    applications.stop().await;

    let data = dir.join("data");
    let report =
        verify_ledger(&data.join("ledger"), &LedgerKey::load_public(&data.join("keys/ledger.key.pub"))?, None)?;
    if let Some(finding) = report.finding {
        bail!("after the restart: {finding}");
    }
    let asked = acknowledged.len();
    for entry in Entries::from_seq(&data.join("ledger"), 0)? {
        if let Record::Access(access) = entry?.entry.record {
            acknowledged.remove(access.ask.request.as_str());
        }
    }
    ensure!(acknowledged.is_empty(), "{} of {asked} acknowledged requests are not on record", acknowledged.len());
    Ok(format!("{asked} acknowledged, all on record; serving again after {} ms", back.as_millis()))
}

/// Asks without rest until the server is gone; the ids of the requests that were answered.
async fn traffic(cast: Arc<Cast>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(browser) = cast.sign_in(PERSON, false).await else { return acknowledged };
    if arrive(&cast, &browser, APP).await.is_err() {
        return acknowledged;
    }
    while let Ok(page) = ask(&cast, &browser, Method::GET, APP, "/it-2207").await {
        if page.status.is_success() {
            acknowledged.extend(page.request_id().map(str::to_owned));
        }
    }
    acknowledged
}

fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?)
}

/// Starts this very program as a server, and waits until it serves.
async fn begin(dir: &Path) -> Result<Server> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let child = Command::new(program)
        .args(["up", "--config"])
        .arg(dir)
        .env("SAFECONDUCT_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .context("the server could not be started")?;
    let mut server = Server(child);
    let started = Instant::now();
    while started.elapsed() < START {
        if let Some(status) = server.0.try_wait()? {
            bail!("the server ended at its start: {status}");
        }
        if let Ok(Some(mut local)) = Local::try_connect(&dir.join("data")).await
            && local.ask(Method::GET, "/api/v1/health", None).await.is_ok()
        {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    bail!("the server did not start within {} s", START.as_secs())
}

/// Asks the server to end, and waits until it has.
fn end(mut server: Server) -> Result<()> {
    let asked = Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status();
    if !asked.is_ok_and(|s| s.success()) {
        return server.0.kill().context("the server could not be ended");
    }
    let since = Instant::now();
    while since.elapsed() < START {
        if server.0.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the server did not end when it was asked to")
}
