//! A Chromium of its own for each test: own home, own profile, own list of trusted authorities, own chromedriver.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::wait::START;
use crate::{http, needs};

/// What keeps Chromium from talking to the world, and makes it run without a screen.
const FLAGS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP *.localhost 127.0.0.1",
];

/// How long one command may take: two browsers that start from a cold disk need more than half a minute for their first page.
const SLOWEST_MS: u32 = 120_000;

/// A chromedriver with one session.
pub(crate) struct Driver {
    at: SocketAddr,
    session: String,
    _process: Process,
    _home: TempDir,
}

impl Driver {
    /// Starts a browser that trusts an authority.
    pub(crate) fn start(authority: &Path) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("safeconduct-e2e-home").tempdir()?;
        trust(home.path(), authority)?;
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--log-level=WARNING"]).env("HOME", home.path()).env("TMPDIR", home.path());
        let mut process = Process::start("chromedriver", &mut command, &home.path().join("chromedriver.log"))?;
        let port = process.line("its port", START, |line| {
            line.split_once("successfully on port ")
                .and_then(|(_, port)| port.trim_end_matches('.').parse::<u16>().ok())
        })?;
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let binary = needs::find("chromium").context("there is no chromium on the path")?;
        let profile = format!("--user-data-dir={}", home.path().join("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": binary, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": SLOWEST_MS, "script": SLOWEST_MS, "implicit": 0 },
        } } });
        let (status, answer) = http::ask(at, "POST", "/session", Some(&wanted))?;
        ensure!(status == 200, "chromedriver starts no browser: {}", answer["value"]["message"]);
        let session = answer["value"]["sessionId"].as_str().context("the session has no id")?.to_owned();
        Ok(Self { at, session, _process: process, _home: home })
    }

    /// One command of the session.
    pub(crate) fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let whole = format!("/session/{}{path}", self.session);
        let (status, mut answer) = http::ask(self.at, method, &whole, body)?;
        let value = answer["value"].take();
        ensure!(
            status == 200,
            "{path}: {}: {}",
            value["error"].as_str().unwrap_or("error"),
            value["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default()
        );
        Ok(value)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Ends the browser; whatever is left ends with the process group.
        let _ = self.command("DELETE", "", None);
    }
}

/// Makes the certificate database of a home, with one authority in it.
fn trust(home: &Path, authority: &Path) -> Result<()> {
    let folder = home.join(".pki/nssdb");
    fs::create_dir_all(&folder)?;
    let database = format!("sql:{}", folder.display());
    let authority = authority.to_str().context("the path is not UTF-8")?;
    for arguments in
        [["-N", "--empty-password", "", "", "", "", ""], ["-A", "-t", "C,,", "-n", "local", "-i", authority]]
    {
        let arguments = arguments.iter().filter(|a| !a.is_empty());
        let output = Command::new("certutil").args(["-d", &database]).args(arguments).output()?;
        ensure!(output.status.success(), "certutil: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
