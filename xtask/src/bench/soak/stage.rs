//! Everything that takes part: the program, its upstreams, the connector, the clients.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::clock::Clock;
use super::company::{self, App, At, HANDSHAKE_MS, SITE, SLOW_MS};
use crate::bench::gateway::ours::{COOKIE, Jar, Server};
use crate::bench::gateway::peers::Place;
use crate::bench::gateway::process::{Running, Talking, behind, free_port, pinned};
use crate::bench::tunnels::{Machine, Port};

/// Half-open handshakes in a whole run, and the most that are begun in a second: times their limit, they stay far below what the gateway
/// takes in all and of an address, even if the machine stalls for seconds.
const HALF_OPEN: u64 = 10_000;
const HALF_OPEN_PER_SECOND: u64 = 60;
const HALF_OPEN_FROM: u8 = 12;
/// Tunnels at a time.
const TUNNELS: usize = 6;
/// Streams at a time on a connection of HTTP/2.
const STREAMS: usize = 4;

/// Everything.
pub(crate) struct Stage {
    pub server: Server,
    pub clock: Clock,
    pub ids: PathBuf,
    pub health: SocketAddr,
    place: Place,
    bench: PathBuf,
    addresses: [SocketAddr; App::ALL.len()],
    upstreams: RefCell<[Option<Talking>; App::ALL.len()]>,
    connector: RefCell<Option<Running>>,
    clients: RefCell<Talking>,
    people: RefCell<Vec<Person>>,
    tunnels: RefCell<Option<Port>>,
    net: Cell<u8>,
}

/// Somebody who is signed in at some applications.
struct Person {
    who: &'static str,
    app: App,
    cookie: String,
}

/// A part of the crowd: its name, who it is, where it goes.
const PARTS: [(&str, &str, App); 6] = [
    ("steady", "stay", App::Steady),
    ("mortal", "stay", App::Mortal),
    ("far", "stay", App::Far),
    ("flip", "flip", App::Steady),
    ("leaver", "leaver", App::Steady),
    ("slow", "stay", App::Steady),
];

impl Stage {
    pub(crate) fn put_up(place: Place, bench: PathBuf, ours: &Path) -> Result<Self> {
        let mut addresses = [free_port()?; App::ALL.len()];
        let mut upstreams = [const { None }; App::ALL.len()];
        for ((address, upstream), app) in addresses.iter_mut().zip(&mut upstreams).zip(App::ALL) {
            let (talking, at) = serve(&place, &bench, SocketAddr::from(([127, 0, 0, 1], 0)), app)?;
            (*address, *upstream) = (at, Some(talking));
        }
        let (folder, https, health) = (place.folder.join("ours"), free_port()?, free_port()?);
        company::write(&folder, &At { https, health, upstreams: addresses })?;
        let clock = Clock::right(&place.folder)?;
        let server = Server::up_with(&place, ours, folder, https, &clock.environment())?;
        let ids = place.folder.join("ids");
        let mut command = pinned(place.cores.others.as_deref(), &bench);
        let clients = Talking::start("the clients", command.arg("soak").arg(&ids))?;
        let stage = Self {
            server,
            clock,
            ids,
            health,
            place,
            bench,
            addresses,
            upstreams: upstreams.into(),
            connector: RefCell::default(),
            clients: clients.into(),
            people: RefCell::default(),
            tunnels: RefCell::default(),
            net: Cell::new(1),
        };
        stage.connector_returns()?;
        stage.arrives("stay", &[App::Steady, App::Mortal, App::Far])?;
        stage.arrives("leaver", &[App::Steady])?;
        let jar = stage.arrives("flip", &[App::Steady])?;
        stage.machine_signs_in(&jar)?;
        stage.expect_all("served")?;
        Ok(stage)
    }

    /// Somebody signs in, and goes to some applications.
    pub(crate) fn arrives(&self, who: &'static str, apps: &[App]) -> Result<Jar> {
        let first = apps.first().context("there is an application")?;
        let jar: Jar = self.server.sign_in(who, first.host(), "/first", None)?;
        let mut people = self.people.borrow_mut();
        people.retain(|p| p.who != who);
        for app in apps {
            let page = format!("https://{}:{}/first", app.host(), self.server.https.port());
            self.server.curl(&jar, &[&page])?;
            people.push(Person { who, app: *app, cookie: jar.of(app.host())? });
        }
        Ok(jar)
    }

    /// A machine of somebody signs in, as a person says in this browser that it may, and listens for connections to the application
    /// that is reached by tunnels.
    fn machine_signs_in(&self, jar: &Jar) -> Result<()> {
        let machine = Machine::sign_in(&self.place, &self.server, jar, "soak")?;
        *self.tunnels.borrow_mut() = Some(machine.listen(App::Tunnel.name(), None, 0)?);
        Ok(())
    }

    /// Everybody begins.
    pub(crate) fn begin(&self, over: Duration) -> Result<()> {
        for (part, _, _) in PARTS {
            self.begin_part(part)?;
        }
        let seconds = over.as_secs().saturating_sub(HANDSHAKE_MS / 1_000).max(1);
        let count = HALF_OPEN.min(seconds * HALF_OPEN_PER_SECOND);
        let from: Vec<String> = (1..=HALF_OPEN_FROM).map(|n| format!("127.0.200.{n}")).collect();
        self.hear(&json!({ "half_open": {
            "at": self.server.https, "from": from, "limit_ms": HANDSHAKE_MS, "count": count, "over_ms": seconds * 1_000,
        } }))?;
        Ok(())
    }

    /// One part of the crowd begins.
    pub(crate) fn begin_part(&self, part: &str) -> Result<()> {
        // Each part comes from addresses of its own.
        self.net.set(if self.net.get() < 100 { self.net.get() + 1 } else { 1 });
        let (_, who, app) = PARTS.iter().find(|(name, _, _)| *name == part).context("a part of the crowd")?;
        let upstream = app.name();
        let order = |kind: &str, count: usize| self.order(part, who, *app, kind, count);
        if part == "slow" {
            self.hear(&json!({ "slow": { "upstream": upstream, "limit_ms": SLOW_MS, "order": order("events", 6)? } }))?;
            return Ok(());
        }
        let (one, two, every_ms) = match *app {
            App::Steady if part == "steady" => (6, 2, 25),
            App::Mortal => (4, 1, 40),
            App::Far => (3, 1, 50),
            App::Steady | App::Tunnel => (2, 1, 100),
        };
        for (http, count) in [(1, one), (2, two)] {
            let order = order("events", count)?;
            self.hear(&json!({ "ask": { "upstream": upstream, "http": http, "every_ms": every_ms, "order": order } }))?;
        }
        if part == "flip" {
            let at = self.tunnels.borrow().as_ref().map(|port| port.at).context("nobody listens for tunnels")?;
            self.hear(&json!({ "tunnel": {
                "who": part, "upstream": App::Tunnel.name(), "at": at, "every_ms": 100, "count": TUNNELS,
            } }))?;
        }
        let many = if part == "steady" { 10 } else { 4 };
        for kind in ["websocket", "events", "exchange", "stream", "websocket2"] {
            self.hear(&json!({ "live": { "order": order(kind, many)? } }))?;
        }
        Ok(())
    }

    fn order(&self, part: &str, who: &str, app: App, kind: &str, count: usize) -> Result<Value> {
        let people = self.people.borrow();
        let person = people.iter().find(|p| p.who == who && p.app == app).context("nobody is signed in")?;
        Ok(json!({
            "name": part, "kind": kind, "at": self.server.https, "ca": self.server.folder.join("data/ca.pem"),
            "authority": format!("{}:{}", app.host(), self.server.https.port()),
            "headers": [("cookie", format!("{COOKIE}={}", person.cookie))], "count": count, "streams": STREAMS,
            "from": [format!("127.0.{}.1", self.net.get())],
        }))
    }

    pub(crate) fn stop(&self, parts: &[&str]) -> Result<()> {
        self.hear(&json!({ "stop": { "who": parts } })).map(|_| ())
    }

    pub(crate) fn stop_all(&self) -> Result<()> {
        let mut all: Vec<&str> = PARTS.iter().map(|(part, _, _)| *part).collect();
        all.push("half-open");
        self.stop(&all)
    }

    pub(crate) fn expect(&self, part: &str, is: &str) -> Result<()> {
        self.hear(&json!({ "expect": { "who": part, "is": is } })).map(|_| ())
    }

    /// Tells all parts of the crowd what to expect.
    pub(crate) fn expect_all(&self, is: &str) -> Result<()> {
        PARTS.iter().try_for_each(|(part, _, _)| self.expect(part, is))
    }

    pub(crate) fn tell(&self) -> Result<Value> {
        self.hear(&json!({ "tell": {} }))
    }

    pub(crate) fn upstream_dies(&self, app: App) -> Result<()> {
        let died = self.upstreams.borrow_mut()[app as usize].take();
        died.context("it is dead already")?.kill()
    }

    pub(crate) fn upstream_returns(&self, app: App) -> Result<()> {
        let (talking, _) = serve(&self.place, &self.bench, self.addresses[app as usize], app)?;
        self.upstreams.borrow_mut()[app as usize] = Some(talking);
        Ok(())
    }

    pub(crate) fn connector_dies(&self) -> Result<()> {
        let died = self.connector.borrow_mut().take();
        died.context("it is dead already")?.signal("KILL")
    }

    /// The connector joins, or returns with the certificate that it has.
    pub(crate) fn connector_returns(&self) -> Result<()> {
        let state = self.place.folder.join("connector-state");
        let mut command = pinned(self.place.cores.others.as_deref(), &self.server.program);
        let gateway = format!("https://127.0.0.1:{}", self.server.https.port());
        command.args(["connector", "--gateway", &gateway, "--site", SITE, "--name", "rack-1", "--state"]).arg(&state);
        if !state.exists() {
            let token = self.server.command(&["connector", "token", SITE])?;
            command.args(["--join", token.trim()]);
        }
        let log = self.place.folder.join("connector.log");
        let mut running = Running::start("the connector", &mut command, &log)?;
        running.until("link", |r| r.said().lines().any(|l| l.starts_with("linked to")).then_some(()))?;
        *self.connector.borrow_mut() = Some(running);
        Ok(())
    }

    fn hear(&self, told: &Value) -> Result<Value> {
        let answer = self.clients.borrow_mut().ask(&told.to_string())?;
        serde_json::from_str(&answer).with_context(|| format!("not understood: {answer}"))
    }
}

fn serve(place: &Place, bench: &Path, at: SocketAddr, app: App) -> Result<(Talking, SocketAddr)> {
    let mut command = behind(place.cores.others.as_deref(), bench);
    let mut talking = Talking::start(app.name(), command.args(["serve", &at.to_string(), app.name()]))?;
    let told: Value = serde_json::from_str(&talking.hear()?)?;
    let at = told["at"].as_str().context("the upstream did not say where it is")?.parse()?;
    Ok((talking, at))
}
