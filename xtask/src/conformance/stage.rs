//! The program on a generated configuration, and requests to its decision point over TLS by curl, which shares no code with it.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The domain of the generated configuration.
const DOMAIN: &str = "conformance.localhost";
/// The token of the client that asks.
const TOKEN: &str = "conformance";
/// `printf %s conformance | sha256sum`
const TOKEN_SHA256: &str = "6c1d6cedf276ea3fd7486a212fd62b32fbb9ecaa4dea70545486737199dd24ed";
/// How long the start may take.
const START: Duration = Duration::from_secs(30);
/// How long an answer may take, in seconds.
const ANSWER: &str = "20";

/// A server that runs until this is dropped.
pub(crate) struct Stage {
    child: Child,
    folder: PathBuf,
    port: u16,
}

/// An answer over HTTP.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// Reads what `curl -i` prints.
    fn read(text: &str) -> Result<Self> {
        let (head, body) = text.split_once("\r\n\r\n").context("the answer has no head")?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
        let pair = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
        let headers = lines.filter_map(pair).collect();
        Ok(Self { status: status.context("the answer has no status")?, headers, body: body.to_owned() })
    }
}

impl Stage {
    /// Starts the program with the stores of the repository.
    pub(crate) fn put_up(root: &Path, program: &Path, folder: &Path) -> Result<Self> {
        let _ = fs::remove_dir_all(folder);
        let made = Command::new(program).args(["init", "--domain", DOMAIN]).arg(folder).output()?;
        ensure!(made.status.success(), "safeconduct init: {}", String::from_utf8_lossy(&made.stderr));
        let (https, port) = (free_port()?, free_port()?);
        let main = folder.join("safeconduct.toml");
        let text = fs::read_to_string(&main)?.replace("127.0.0.1:8443", &format!("127.0.0.1:{https}"));
        let text = text.replace("health = ", "# health = ") + &point(port);
        fs::write(&main, text)?;
        for store in ["certification", "todo"] {
            let (from, to) = (root.join("tests/stores").join(store), folder.join("stores").join(store));
            fs::create_dir_all(&to)?;
            for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
                let entry = entry?;
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        let log = fs::File::create(folder.join("server.log"))?;
        let child = Command::new(program)
            .args(["up", "--config"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut stage = Self { child, folder: folder.to_owned(), port };
        stage.wait()?;
        Ok(stage)
    }

    fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        // The listener is bound before the authority is there, so only an answer says that it serves.
        while !self.get("/.well-known/authzen-configuration").is_ok_and(|reply| reply.status == 200) {
            if self.child.try_wait()?.is_some() || began.elapsed() > START {
                bail!("the server does not serve: {}", fs::read_to_string(self.folder.join("server.log"))?);
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The origin of the decision point.
    pub(crate) fn origin(&self) -> String {
        format!("https://portal.{DOMAIN}:{}", self.port)
    }

    pub(crate) fn get(&self, path: &str) -> Result<Reply> {
        self.curl(path, &[], None)
    }

    pub(crate) fn post(&self, path: &str, kind: &str, headers: &[(String, String)], body: &str) -> Result<Reply> {
        let mut all = vec![("Content-Type".to_owned(), kind.to_owned())];
        all.extend_from_slice(headers);
        self.curl(path, &all, Some(body))
    }

    fn curl(&self, path: &str, headers: &[(String, String)], body: Option<&str>) -> Result<Reply> {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--http1.1", "--max-time", ANSWER, "--cacert"]).arg(self.folder.join("data/ca.pem"));
        command.arg("--resolve").arg(format!("portal.{DOMAIN}:{}:127.0.0.1", self.port));
        command.arg("-H").arg(format!("Authorization: Bearer {TOKEN}"));
        for (name, value) in headers {
            command.arg("-H").arg(format!("{name}: {value}"));
        }
        if body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        command
            .arg(format!("{}{path}", self.origin()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run curl; install the Debian package curl")?;
        // Dropped at the end of the statement, so that curl sees the end of the body.
        child.stdin.take().context("curl takes input")?.write_all(body.unwrap_or_default().as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "curl {path}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Reply::read(&String::from_utf8_lossy(&output.stdout))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn point(port: u16) -> String {
    format!(
        r#"
[decision_point]
listen = "127.0.0.1:{port}"
default_store = "certification"

[decision_point.stores.certification]
[decision_point.stores.todo]

[decision_point.clients.conformance]
token_sha256 = "{TOKEN_SHA256}"
stores = ["certification", "todo"]
may = ["evaluate", "search"]
"#
    )
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_head() {
        let reply = Reply::read("HTTP/1.1 200 OK\r\nX-Request-ID: a\r\n\r\n{}").expect("whole");
        assert_eq!((reply.status, reply.header("x-request-id"), reply.body.as_str()), (200, Some("a"), "{}"));
        assert!(Reply::read("nothing").is_err());
    }
}
