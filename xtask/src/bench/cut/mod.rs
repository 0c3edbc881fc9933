//! `bench cut`: how long live connections outlive the fact that they rested on, for each kind of change, under load; and
//! whether anything else was cut, or anybody let in on old facts.

mod company;
mod report;
pub(super) mod triggers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::ahead::Ahead;
use super::gateway::contestant::HOST;
use super::gateway::ours::{Jar, Server};
use super::gateway::peers::Place;
use super::gateway::process::{Talking, behind, free_port, pinned};
use super::gateway::{descriptors, goals_told, new_place, safeconduct};
use super::tunnels::{Machine, Port};
use super::{docs, load, program, write};
use crate::terminal::{say, table};
use crate::tree;
use company::STAYING;
use triggers::{Cocked, Device, LINES, Trigger, device};

/// Live connections in all.
const CONNECTIONS: usize = 10_000;
const QUICK_CONNECTIONS: usize = 800;
/// The part of them that rests on the fact that goes: half of all, and as many as a busy person may have.
const PARTS: [usize; 2] = [2, 100];
/// The kinds of which there are equally many.
const KINDS: [&str; 6] = ["websocket", "events", "exchange", "stream", "websocket2", TUNNEL];
/// The kind that another program carries.
const TUNNEL: &str = "tunnel";
/// Descriptors of the gateway for one of each kind: all have one to the upstream; those over HTTP/1.1 have one to the client too,
/// the others share theirs.
const DESCRIPTORS: usize = 9;
/// Tunnels through one `safeconduct connect`, which carries 256 at a time over two connections or more.
const TUNNELS_EACH: usize = 200;
/// Streams on one connection of HTTP/2.
const STREAMS: usize = 100;
/// From one address come so many connections at most, as the gateway's limit for an address has it.
const PER_ADDRESS: usize = 900;
/// Descriptors of the gateway that are not those of a live connection.
const SPARE: usize = 500;
/// Requests a second beside the live connections.
const RATE: f64 = 500.0;
/// How long what must end is waited for after the trigger, and how long what comes too late.
const WAIT_MS: u64 = 10_000;
const SETTLE_MS: u64 = 1_500;

/// What a trigger came to.
#[derive(Clone, Debug)]
pub(crate) struct Pulled {
    pub trigger: Trigger,
    /// How many connections rested on the fact.
    pub at_once: usize,
    /// As the clients tell it.
    pub told: Value,
    /// The load beside it.
    pub load: Value,
}

/// Measures, prints, writes. False if a goal does not hold.
pub(crate) fn cut(options: &[&str]) -> Result<bool> {
    let (mut quick, mut write_docs) = (false, false);
    for option in options {
        match *option {
            "--quick" => quick = true,
            "--write-docs" => write_docs = true,
            _ => bail!("bench cut takes [--quick] [--write-docs]"),
        }
    }
    let root = tree::root()?;
    let (bench, ours) = (program(&root)?, safeconduct(&root)?);
    let place = new_place(&root, &bench, "cut")?;
    let ahead = Ahead::begin();
    let before = format!("{}; {}", load(), ahead.words());
    let wanted = if quick { QUICK_CONNECTIONS } else { CONNECTIONS };
    let connections = wanted.min(descriptors()?.saturating_sub(SPARE) * KINDS.len() / DESCRIPTORS);
    let cores = place.cores.clone();
    let (mut pulled, mut errors) = (Vec::new(), 0);
    for part in PARTS {
        // Each begins anew: a person who was deactivated comes back to no second part.
        let place = Place { folder: place.folder.join(format!("one-in-{part}")), cores: cores.clone() };
        let ending = (connections / part).max(KINDS.len());
        let stage = Stage::put_up(place, &bench, &ours)?;
        pulled.extend(stage.play(connections - ending, ending)?);
        let log = stage.server.running.said();
        errors += log.lines().filter(|l| l.contains("ERROR") || l.contains("panicked")).count();
    }
    let report = report::report(&pulled, connections, errors, &cores, &before, quick);
    say(table(&super::rows(&report)));
    goals_told(&report).iter().for_each(say);
    let file = write(&root, "bench", "cut", &report)?;
    let drawing = report::drawing(&pulled);
    std::fs::write(root.join("target/bench/cut.svg"), &drawing)?;
    say(format!("see {file} and target/bench/cut.svg"));
    if write_docs {
        docs::cut(&root, &report, &drawing)?;
    }
    Ok(report["goals"].as_array().is_some_and(|g| g.iter().all(|goal| goal["holds"] == Value::Bool(true))))
}

/// Everything that takes part.
struct Stage {
    place: Place,
    bench: PathBuf,
    server: Server,
    clients: std::cell::RefCell<Talking>,
    _upstream: Talking,
}

/// Somebody who is signed in, in a browser and with a machine.
struct Someone {
    cookie: String,
    host: &'static str,
    device: Option<Device>,
    /// Where tunnels begin.
    ports: Vec<Port>,
}

impl Stage {
    fn put_up(place: Place, bench: &Path, ours: &Path) -> Result<Self> {
        let others = place.cores.others.as_deref();
        let mut upstream = Talking::start("the upstream", behind(others, bench).arg("serve"))?;
        let told: Value = serde_json::from_str(&upstream.hear()?)?;
        let at: SocketAddr = told["at"].as_str().context("the upstream did not say where it is")?.parse()?;
        let (folder, https) = (place.folder.join("ours"), free_port()?);
        company::write(&folder, https, at)?;
        let server = Server::up(&place, ours, folder, https)?;
        let clients = Talking::start("the clients", pinned(others, bench).arg("hold"))?;
        Ok(Self { place, bench: bench.to_owned(), server, clients: clients.into(), _upstream: upstream })
    }

    fn play(&self, stay: usize, end: usize) -> Result<Vec<Pulled>> {
        let staying = self.arrives(STAYING, HOST, LINES, None, stay)?;
        let mut kept = Vec::new();
        say(format!("{stay} connections that stay, {end} that end ..."));
        for (n, kind) in KINDS.iter().enumerate() {
            let name = format!("staying {kind}");
            self.open(&name, kind, &staying, share(stay, n), 1)?;
            kept.push(name);
        }
        let mut all = Vec::new();
        for trigger in Trigger::ALL {
            say(format!("{} ...", trigger.name()));
            let pulled = self.pull(trigger, &staying, &kept, end);
            all.push(pulled.with_context(|| trigger.name().to_owned())?);
        }
        Ok(all)
    }

    fn pull(&self, trigger: Trigger, staying: &Someone, kept: &[String], end: usize) -> Result<Pulled> {
        let own = if trigger == Trigger::Posture { Some(device(&self.server, trigger.person())?) } else { None };
        let ending = self.arrives(trigger.person(), trigger.host(), trigger.lines(), own, end)?;
        let cocked = Cocked::of(trigger, &self.server, ending.device.as_ref())?;
        let mut names = Vec::new();
        for (n, kind) in KINDS.iter().enumerate() {
            let name = format!("{} {kind}", trigger.person());
            self.open(&name, kind, &ending, share(end, n), 2)?;
            names.push(name);
        }
        self.hear(&json!({ "probe": self.order("ending", "events", &ending, Some("/1k"), 1, 3) }))?;
        self.hear(&json!({ "probe": self.order("staying", "events", staying, Some("/1k"), 1, 3) }))?;
        let at_ms = cocked.set(&self.server)?;
        let ahead = if at_ms.is_some() { WAIT_MS / 2 } else { 0 };
        let load = self.load(staying, ahead + 4_000)?;
        // The probes have asked before anything happens.
        sleep(Duration::from_millis(700));
        self.hear(&json!({ "mark": { "at_ms": at_ms, "pid": self.server.running.pid() } }))?;
        cocked.pull(&self.server)?;
        let told = self.hear(
            &json!({ "tell": { "ending": names, "staying": kept, "wait_ms": WAIT_MS, "settle_ms": SETTLE_MS } }),
        )?;
        let output = load.wait_with_output().context("the load did not end")?;
        ensure!(output.status.success(), "the load generator failed");
        let load = serde_json::from_slice(&output.stdout).context("the load generator told no figures")?;
        names.extend(["ending".to_owned(), "staying".to_owned()]);
        self.hear(&json!({ "forget": { "names": names } }))?;
        Ok(Pulled { trigger, at_once: end, told, load })
    }

    /// Somebody signs in, goes to an application, and has ports for their part of so many connections to another.
    fn arrives(
        &self,
        person: &str,
        host: &'static str,
        lines: &str,
        device: Option<Device>,
        connections: usize,
    ) -> Result<Someone> {
        let shown = device.as_ref().map(|d| (&*d.certificate, &*d.key));
        let jar: Jar = self.server.sign_in(person, host, "/1k", shown)?;
        let machine = Machine::sign_in(&self.place, &self.server, &jar, person)?;
        let tunnels = KINDS.iter().position(|kind| *kind == TUNNEL).map_or(0, |n| share(connections, n));
        let ports =
            (0..tunnels.div_ceil(TUNNELS_EACH)).map(|n| machine.listen(lines, shown, n)).collect::<Result<_>>()?;
        Ok(Someone { cookie: jar.of(host)?, host, device, ports })
    }

    fn order(&self, name: &str, kind: &str, who: &Someone, path: Option<&str>, count: usize, net: usize) -> Value {
        let from: Vec<String> = (0..=count / PER_ADDRESS).map(|n| format!("127.0.{net}.{}", n + 1)).collect();
        let headers = [("cookie", format!("{}={}", super::gateway::ours::COOKIE, who.cookie))];
        let at = if kind == TUNNEL { who.ports.iter().map(|p| p.at).collect() } else { vec![self.server.https] };
        json!({
            "name": name, "kind": kind, "path": path, "at": at.first(), "also": at.get(1..), "ca": self.server.folder.join("data/ca.pem"),
            "authority": format!("{}:{}", who.host, self.server.https.port()), "headers": headers, "count": count,
            "streams": STREAMS, "from": from, "certificate": who.device.as_ref().map(|d| &d.certificate),
            "key": who.device.as_ref().map(|d| &d.key),
        })
    }

    /// Opens connections; all of them must open.
    fn open(&self, name: &str, kind: &str, who: &Someone, count: usize, net: usize) -> Result<()> {
        // Each kind comes from addresses of its own.
        let net = 10 * net + KINDS.iter().position(|k| *k == kind).unwrap_or(0);
        let told = self.hear(&json!({ "open": self.order(name, kind, who, None, count, net) }))?;
        ensure!(told["open"] == count, "{name}: {} of {count} could be opened: {}", told["open"], told["words"]);
        Ok(())
    }

    /// Requests beside the live connections, by somebody whose permit stays.
    fn load(&self, who: &Someone, window_ms: u64) -> Result<Child> {
        let at = self.server.https;
        let spec = json!({
            "at": at, "ca": self.server.folder.join("data/ca.pem"), "http": 1, "authority": format!("{}:{}", who.host, at.port()),
            "path": "/1k", "headers": [("cookie", format!("{}={}", super::gateway::ours::COOKIE, who.cookie))], "length": 2,
            "connections": 16, "rate": RATE, "warm_ms": 0, "window_ms": window_ms, "pid": self.server.running.pid(),
            "from": ["127.0.9.1"],
        });
        let mut command = pinned(self.place.cores.others.as_deref(), &self.bench);
        command.args(["load", &spec.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().context("the load generator cannot run")
    }

    fn hear(&self, told: &Value) -> Result<Value> {
        let answer = self.clients.borrow_mut().ask(&told.to_string())?;
        serde_json::from_str(&answer).with_context(|| format!("not understood: {answer}"))
    }
}

/// The part of one kind, so that all of them together are everything.
fn share(all: usize, n: usize) -> usize {
    all * (n + 1) / KINDS.len() - all * n / KINDS.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_everything() {
        for all in [0, 7, 400, 5_000] {
            assert_eq!((0..KINDS.len()).map(|n| share(all, n)).sum::<usize>(), all);
        }
    }
}
