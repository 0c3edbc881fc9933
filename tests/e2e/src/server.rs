//! The real program on a configuration of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::needs;
use crate::process::Process;
use crate::wait::START;

/// A server that serves.
pub struct Server {
    /// The address of the portal, without a slash at its end.
    pub portal: String,
    /// The port on which everything is served.
    pub port: u16,
    /// The one-time link of the first administrator, if nobody has an account.
    pub first_link: Option<String>,
    /// The address of the tour, where the demo runs.
    pub tour: Option<String>,
    config: PathBuf,
    log: PathBuf,
    process: Process,
    _folder: TempDir,
}

impl Server {
    /// Starts `safeconduct up` on the configuration that a function writes into an empty folder.
    pub fn up(write: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("safeconduct-e2e").tempdir()?;
        let config = folder.path().join("config");
        write(&config)?;
        let log = folder.path().join("server.log");
        let mut command = Command::new(needs::program()?);
        command.args(["up", "--config"]).arg(&config);
        let mut process = Process::start("safeconduct up", &mut command, &log)?;
        let started = process
            .line("the address of the portal", START, |l| l.strip_prefix("The portal is at ").map(str::to_owned));
        let portal = started.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        let port = port_of(&portal)?;
        // The line with the listener is the last that is always there; the link follows if there is one.
        let accounts = config.join("data/ca.pem");
        ensure!(accounts.is_file(), "the authority is not at {}", accounts.display());
        let mut server = Self { portal, port, first_link: None, tour: None, config, log, process, _folder: folder };
        server.first_link = server
            .process
            .line("the first link", START, |l| l.trim().strip_prefix("https://").map(|l| format!("https://{l}")))
            .ok();
        Ok(server)
    }

    /// Starts `safeconduct demo` with a fortnight of history and no live traffic.
    pub fn demo() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("safeconduct-e2e-demo").tempdir()?;
        let (config, log) = (folder.path().join("demo"), folder.path().join("server.log"));
        let port = crate::free_port()?;
        let mut command = Command::new(needs::program()?);
        command.args(["demo", "--quiet", "--port", &port.to_string(), "--dir"]).arg(&config);
        let mut process = Process::start("safeconduct demo", &mut command, &log)?;
        let told = |label: &'static str, process: &mut Process| {
            let read = |l: &str| l.trim().strip_prefix(label).map(|rest| rest.trim().to_owned());
            process.line(label, START * 2, read).with_context(|| fs::read_to_string(&log).unwrap_or_default())
        };
        let tour = Some(told("Begin here:", &mut process)?);
        let portal = told("The portal:", &mut process)?;
        told("Ctrl-C ends it", &mut process)?;
        Ok(Self { portal, port, first_link: None, tour, config, log, process, _folder: folder })
    }

    /// The folder of its configuration.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// A browser that trusts this server; `name` is who sits in front of it.
    pub fn browser(&self, name: &str) -> Result<Browser> {
        Browser::start(name, &self.config.join("data/ca.pem"))
    }

    /// The folder of its configuration; ledger and authority are in `data` below it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.config
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The address of an application by the first label of its host.
    #[must_use]
    pub fn application(&self, label: &str) -> String {
        self.portal.replacen("portal.", &format!("{label}."), 1)
    }

    /// Runs the program on the configuration of this server, and returns what it printed.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(needs::program()?).args(arguments).arg("--config").arg(&self.config).output()?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("safeconduct {}: {out}{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(out)
    }

    /// A one-time link for a person.
    pub fn setup_link(&self, person: &str) -> Result<String> {
        Ok(self.command(&["person", "setup-link", person])?.trim().to_owned())
    }

    /// Stops it as an administrator would, and fails if it did not end well or if its log holds an error.
    pub fn ends_well(mut self) -> Result<()> {
        let well = self.process.stop()?;
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(well, "the server did not end well: {log}");
        let errors: Vec<&str> = log.lines().filter(|l| l.contains("ERROR") || l.contains("panicked")).collect();
        ensure!(errors.is_empty(), "the log of the server holds errors: {}", errors.join("\n    "));
        Ok(())
    }
}

fn port_of(address: &str) -> Result<u16> {
    let after = address.strip_prefix("https://").and_then(|rest| rest.split_once(':')).map(|(_, port)| port);
    after.context("the portal has no port")?.trim_end_matches('/').parse().context("the port is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_an_address_is_read() {
        assert_eq!(port_of("https://portal.e2e.localhost:8443").unwrap(), 8443);
        assert!(port_of("https://portal.e2e.localhost").is_err());
    }
}
