//! A machine that is signed in as somebody, as people sign theirs in, and ports of it that lead to applications through tunnels.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::gateway::company::PORTAL;
use super::gateway::ours::{Jar, Server, token};
use super::gateway::peers::Place;
use super::gateway::process::{Running, pinned};

/// A machine on which `safeconduct login` was run.
pub(crate) struct Machine {
    name: String,
    folder: PathBuf,
    program: PathBuf,
    cores: Option<String>,
    portal: String,
}

/// `safeconduct connect --listen`, until it is dropped.
pub(crate) struct Port {
    pub at: SocketAddr,
    _running: Running,
}

impl Machine {
    /// Signs one in, as a person says in this browser that it may.
    pub(crate) fn sign_in(place: &Place, server: &Server, jar: &Jar, name: &str) -> Result<Self> {
        let machine = Self {
            name: name.to_owned(),
            folder: place.folder.clone(),
            program: server.program.clone(),
            cores: place.cores.others.clone(),
            portal: format!("https://{PORTAL}:{}", server.https.port()),
        };
        let mut login = machine.command();
        login.args(["login", "--device", "--name", name, "--portal", &machine.portal, "--ca"]);
        login.arg(server.folder.join("data/ca.pem"));
        let mut login = Running::start("login", &mut login, &machine.file("login.log"))?;
        let link = login
            .until("show a code", |r| r.said().lines().find_map(|l| l.strip_prefix("or open ")).map(str::to_owned))?;
        let (_, code) = link.split_once('=').context("a code")?;
        let page = server.curl(jar, &[&link])?;
        let fields = [format!("csrf={}", token(&page)), format!("user_code={code}"), "answer=yes".to_owned()];
        let origin = format!("origin: {}", machine.portal);
        let mut form: Vec<&str> = fields.iter().flat_map(|f| ["--data-urlencode", f.as_str()]).collect();
        let to = format!("{}/activate", machine.portal);
        form.extend(["-H", &origin, &to]);
        server.curl(jar, &form)?;
        login.until("sign in", |r| r.said().contains("proven by").then_some(()))?;
        Ok(machine)
    }

    /// Listens for connections to an application, showing the certificate of a device and using its key, if there is one.
    pub(crate) fn listen(&self, app: &str, device: Option<(&Path, &Path)>, number: usize) -> Result<Port> {
        let mut connect = self.command();
        connect.args(["connect", app, "--listen", "127.0.0.1:0", "--portal", &self.portal]);
        if let Some((certificate, key)) = device {
            connect.arg("--certificate").arg(certificate).arg("--key").arg(key);
        }
        let mut running = Running::start("connect", &mut connect, &self.file(&format!("connect-{number}.log")))?;
        let start = format!("{app} is at ");
        let at = running.until("listen", |r| r.said().lines().find_map(|l| l.strip_prefix(&start)?.parse().ok()))?;
        Ok(Port { at, _running: running })
    }

    fn command(&self) -> Command {
        let mut command = pinned(self.cores.as_deref(), &self.program);
        command.env("XDG_CONFIG_HOME", self.file("home"));
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}-{name}", self.name))
    }
}
