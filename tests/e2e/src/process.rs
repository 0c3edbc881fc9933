//! A program that runs beside a test: its output is kept, and it ends with the test.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::until;

/// How long a program may take to stop by itself.
const STOP: Duration = Duration::from_secs(10);

/// A running program with all that it started.
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a program. Its standard output is kept in memory, its standard error goes to a file.
    pub fn start(name: &str, command: &mut Command, errors: &Path) -> Result<Self> {
        let log = File::create(errors).with_context(|| format!("cannot write {}", errors.display()))?;
        // A group of its own, so that whatever it starts ends with it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let out = child.stdout.take().context("the standard output is piped")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        // Ends by itself when the program does.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { name: name.to_owned(), child, lines })
    }

    /// What it printed so far.
    pub fn printed(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that something can be read from.
    pub fn line<T>(&mut self, what: &str, longest: Duration, read: impl Fn(&str) -> Option<T>) -> Result<T> {
        until(&format!("{what} from {}", self.name), longest, || {
            if let Some(found) = self.printed().iter().find_map(|l| read(l)) {
                return Ok(Some(found));
            }
            match self.child.try_wait()? {
                Some(status) => bail!("{} ended ({status}) after: {}", self.name, self.printed().join(" | ")),
                None => Ok(None),
            }
        })
    }

    /// Fails if it has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended ({status}) after: {}", self.name, self.printed().join(" | ")),
            None => Ok(()),
        }
    }

    /// Asks it to stop and waits for that. Says whether it ended well.
    pub fn stop(&mut self) -> Result<bool> {
        signal("TERM", &self.child.id().to_string());
        let status = until(&format!("the end of {}", self.name), STOP, || Ok(self.child.try_wait()?))?;
        Ok(status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        signal("KILL", &format!("-{}", self.child.id()));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, to: &str) {
    let mut kill = Command::new("kill");
    let _ = kill.args([&format!("-{name}"), "--", to]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
