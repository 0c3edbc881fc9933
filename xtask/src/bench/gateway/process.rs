//! Programs that run beside a measurement: pinned to cores, with as many descriptors as the system allows, ended with us.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a program may take to serve; a hundred thousand people are read in this time too.
const START: Duration = Duration::from_secs(120);
/// How long a program may take to end when it is asked to.
const END: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);

/// The cores of this machine, shared out: one for the proxies, all others for load and upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// The list of the proxies, as `taskset` takes it; none where there is one core only or no `taskset`.
    pub proxy: Option<String>,
    /// The list of everybody else.
    pub others: Option<String>,
}

impl Cores {
    pub(crate) fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let there = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if cores < 2 || !there.is_ok_and(|s| s.success()) {
            return Self { proxy: None, others: None };
        }
        let others = if cores == 2 { "1".to_owned() } else { format!("1-{}", cores - 1) };
        Self { proxy: Some("0".to_owned()), others: Some(others) }
    }

    /// Each of them by its number, those of the proxies first; none where nothing is pinned.
    pub(crate) fn each(&self) -> Vec<String> {
        [&self.proxy, &self.others].into_iter().flatten().flat_map(|list| spelled_out(list)).collect()
    }

    /// In words, for the report.
    pub(crate) fn words(&self) -> String {
        match (&self.proxy, &self.others) {
            (Some(proxy), Some(others)) => format!("each proxy on core {proxy}, load and upstream on core {others}"),
            _ => "nothing is pinned to a core: the figures of time mean little".to_owned(),
        }
    }
}

/// A core or a range of them, as `taskset` takes it, one by one.
fn spelled_out(list: &str) -> Vec<String> {
    let (first, last) = list.split_once('-').unwrap_or((list, list));
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first..=last).map(|core| core.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// A program with as many descriptors as are allowed, on some cores.
pub(crate) fn pinned(cores: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "bash"]);
    if let Some(cores) = cores {
        command.args(["taskset", "-c", cores]);
    }
    command.arg(program);
    command
}

/// The same, behind others on the same core: the load generator would otherwise keep the upstream from it for as long as a slice
/// of the scheduler lasts.
pub(crate) fn behind(cores: Option<&str>, program: &Path) -> Command {
    let mut command = pinned(cores, Path::new("nice"));
    command.args(["-n", "10"]).arg(program);
    command
}

/// A running program.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program; what it says goes to a file.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it takes connections.
    pub(crate) fn serves(&mut self, at: SocketAddr) -> Result<()> {
        self.until("take connections", |_| TcpStream::connect(at).ok().map(|_| ()))
    }

    /// Waits until something can be read from what it says.
    pub(crate) fn until<T>(&mut self, what: &str, mut read: impl FnMut(&Self) -> Option<T>) -> Result<T> {
        let began = Instant::now();
        while began.elapsed() < START {
            if let Some(found) = read(self) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {}", self.name, self.said().trim());
            }
            sleep(LOOK);
        }
        bail!("{} did not {what} within {} s: {}", self.name, START.as_secs(), self.said().trim())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        let sent = kill.args([&format!("-{name}"), &self.pid().to_string()]).stderr(Stdio::null()).status()?;
        anyhow::ensure!(sent.success(), "{} could not be sent {name}", self.name);
        Ok(())
    }

    /// Asks it to end, and says whether it did so in good order and in time.
    pub(crate) fn ends(&mut self) -> Result<bool> {
        self.signal("TERM")?;
        let began = Instant::now();
        while began.elapsed() < END {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            sleep(LOOK);
        }
        Ok(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.signal("TERM");
        let began = Instant::now();
        while began.elapsed() < END {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that is told what to do line by line, and answers so.
pub(crate) struct Talking {
    name: String,
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Talking {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let lines = BufReader::new(child.stdout.take().context("the output is piped")?);
        Ok(Self { name: name.to_owned(), child, lines })
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("{} cannot be killed", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// The next line that it says.
    pub(crate) fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        let n = self.lines.read_line(&mut line).with_context(|| format!("{} cannot be heard", self.name))?;
        anyhow::ensure!(n > 0, "{} ended before it answered", self.name);
        Ok(line.trim_end().to_owned())
    }

    /// Says a line to it and returns its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        use std::io::Write;
        let input = self.child.stdin.as_mut().context("the input is piped")?;
        writeln!(input, "{line}").with_context(|| format!("{} does not listen", self.name))?;
        input.flush()?;
        self.hear()
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        // It ends when nobody talks to it any more.
        drop(self.child.stdin.take());
        let began = Instant::now();
        while began.elapsed() < END {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago, for those who must name it before they listen.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.local_addr()?)
}

/// A program by its name, also where Debian keeps those of administrators.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_is_named_once() {
        let cores = |proxy: Option<&str>, others: Option<&str>| {
            Cores { proxy: proxy.map(str::to_owned), others: others.map(str::to_owned) }.each()
        };
        assert_eq!(cores(Some("0"), Some("1")), ["0", "1"]);
        assert_eq!(cores(Some("0"), Some("1-3")), ["0", "1", "2", "3"]);
        assert_eq!(cores(None, None), Vec::<String>::new());
    }
}
