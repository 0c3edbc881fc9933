//! Safeconduct as a contestant: the real program on real files, and people who sign in by the front door.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::company::{At, PERSON, PORTAL, write};
use super::contestant::{Contestant, HOST, Who};
use super::peers::Place;
use super::process::{Running, find, free_port, pinned};

/// The name of the cookie that carries a session on the host of an application.
pub(crate) const COOKIE: &str = "__Host-safeconduct";

/// What this build of the program can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Can {
    /// It serves without TLS on loopback.
    pub plain: bool,
    /// Its data plane can be told how many threads it has.
    pub threads: bool,
}

/// A server that runs on a folder.
pub(crate) struct Server {
    pub folder: PathBuf,
    pub program: PathBuf,
    pub https: SocketAddr,
    pub running: Running,
}

/// Asks the program which of the newer settings it takes.
pub(crate) fn can(place: &Place, program: &Path) -> Result<Can> {
    let folder = place.folder.join("can");
    let at = SocketAddr::from(([127, 0, 0, 1], 9));
    let takes = |plain: bool, threads: bool| -> Result<bool> {
        write(&folder, Who::One, At { https: at, plain: plain.then_some(at), upstream: at, threads })?;
        let output = Command::new(program).args(["config", "check", "--config"]).arg(&folder).output();
        let output = output.with_context(|| format!("cannot run {}", program.display()))?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() || plain || threads, "the configuration of the bench has faults: {told}");
        Ok(output.status.success())
    };
    takes(false, false)?;
    Ok(Can { plain: takes(true, false)?, threads: takes(false, true)? })
}

/// Puts one up and signs Ada in.
pub(crate) fn contestant(
    place: &Place,
    program: &Path,
    who: Who,
    can: Can,
    upstream: SocketAddr,
) -> Result<Contestant> {
    let folder = place.folder.join(match who {
        Who::Bare => "ours-bare",
        Who::Many => "ours-many",
        _ => "ours-one",
    });
    let plain = if can.plain { Some(free_port()?) } else { None };
    let at = At { https: free_port()?, plain, upstream, threads: can.threads };
    write(&folder, who, at)?;
    let server = Server::up(place, program, folder, at.https)?;
    let cookie = server.sign_in(PERSON, HOST, "/1k", None)?.of(HOST)?;
    let ca = server.folder.join("data/ca.pem");
    let credentials = vec![("cookie".to_owned(), format!("theme=dark; {COOKIE}={cookie}"))];
    Ok(Contestant { who, running: server.running, plain, plain2: plain, tls: at.https, ca, credentials })
}

impl Server {
    /// Starts `safeconduct up` on a folder.
    pub(crate) fn up(place: &Place, program: &Path, folder: PathBuf, https: SocketAddr) -> Result<Self> {
        Self::up_with(place, program, folder, https, &[])
    }

    /// Starts it with more in its environment.
    pub(crate) fn up_with(
        place: &Place,
        program: &Path,
        folder: PathBuf,
        https: SocketAddr,
        environment: &[(&str, &Path)],
    ) -> Result<Self> {
        let mut command = pinned(place.cores.proxy.as_deref(), program);
        command.args(["up", "--config"]).arg(&folder).env("SAFECONDUCT_LOG", "warn");
        command.envs(environment.iter().copied());
        let log = folder.with_extension("log");
        let name = format!("safeconduct on {}", folder.display());
        let mut running = Running::start(&name, &mut command, &log)?;
        running.until("say where the portal is", |r| r.said().contains("The portal is at ").then_some(()))?;
        running.serves(https)?;
        Ok(Self { folder, program: program.to_owned(), https, running })
    }

    /// Runs the program on the folder of this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program).args(arguments).arg("--config").arg(&self.folder).output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "safeconduct {}: {told}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Signs a person in by a one-time link, and carries the session to the host of an application, as a browser does.
    /// From a device if it shows a certificate, with its key.
    pub(crate) fn sign_in(&self, person: &str, host: &str, path: &str, device: Option<(&Path, &Path)>) -> Result<Jar> {
        let link = self.command(&["person", "setup-link", person])?;
        let link = link.split_whitespace().find(|w| w.starts_with("https://")).context("there is no link")?.to_owned();
        let mut jar = Jar::new(self.folder.join(format!("{person}-{}.jar", free_port()?.port())));
        jar.device = device.map(|(certificate, key)| (certificate.to_owned(), key.to_owned()));
        let page = self.curl(&jar, &[&link])?;
        let name = format!("person={person}");
        let csrf = format!("csrf={}", token(&page));
        let origin = format!("origin: https://{PORTAL}:{}", self.https.port());
        let form =
            ["--data-urlencode", &name, "--data-urlencode", "name=x", "--data-urlencode", &csrf, "-H", &origin, &link];
        self.curl(&jar, &form)?;
        self.curl(&jar, &[&format!("https://{host}:{}{path}", self.https.port())])?;
        Ok(jar)
    }

    /// Asks as a browser does, with cookies and redirects.
    pub(crate) fn curl(&self, jar: &Jar, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(
            find("curl").context("curl is not installed; `cargo xtask bench gateway --install` does that")?,
        );
        command.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--location",
            "--max-redirs",
            "12",
            "--max-time",
            "30",
        ]);
        command.args(["-H", "sec-fetch-mode: navigate", "-H", "sec-fetch-site: none", "-H", "accept: text/html"]);
        command.arg("--cacert").arg(self.folder.join("data/ca.pem")).arg("-b").arg(&jar.file).arg("-c").arg(&jar.file);
        if let Some((certificate, key)) = &jar.device {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        let output = command.args(arguments).output().context("cannot run curl")?;
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = arguments.last().copied().unwrap_or_default();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{last}: {} {}", told.trim(), page.chars().take(400).collect::<String>());
        Ok(page)
    }
}

/// The token that a page gives to its forms.
pub(crate) fn token(page: &str) -> &str {
    let found = page.split_once("name=\"csrf\" value=\"").or_else(|| page.split_once("name=\"csrf-token\" content=\""));
    found.and_then(|(_, rest)| rest.split_once('"')).map_or("", |(token, _)| token)
}

/// The cookies of one browser, in a file, and the device that it is on, if that shows a certificate.
pub(crate) struct Jar {
    file: PathBuf,
    device: Option<(PathBuf, PathBuf)>,
}

impl Jar {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, device: None }
    }

    /// The secret of the session on a host.
    pub(crate) fn of(&self, host: &str) -> Result<String> {
        let text = fs::read_to_string(&self.file).context("there are no cookies")?;
        secret(&text, host).with_context(|| format!("no session arrived on {host}"))
    }
}

fn secret(jar: &str, host: &str) -> Option<String> {
    let mut lines = jar.lines().map(|l| l.trim_start_matches("#HttpOnly_").split('\t').collect::<Vec<_>>());
    let line = lines.find(|f| f.first() == Some(&host) && f.get(5) == Some(&COOKIE))?;
    line.get(6).map(|secret| (*secret).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_of_a_host_is_found_in_the_jar() {
        let jar = "# Netscape\n\n#HttpOnly_portal.x\tFALSE\t/\tTRUE\t0\t__Host-safeconduct\tone\n#HttpOnly_app.x\tFALSE\t/\tTRUE\t0\t__Host-safeconduct\ttwo\n";
        assert_eq!(secret(jar, "app.x").as_deref(), Some("two"));
        assert_eq!(secret(jar, "other.x"), None);
    }
}
