//! One step of a longer command: run, watched, its whole output kept.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::terminal::say;

/// How often a running step is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often a long step says that it still runs.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// The lines of a failed step's output that are shown.
const SHOWN_LINES: usize = 60;
/// The longest that any step may take.
const LONGEST: Duration = Duration::from_secs(25 * 60);

/// Where steps run and where their output goes.
pub(crate) struct Steps {
    root: PathBuf,
    logs: PathBuf,
}

/// What came of a step.
pub(crate) struct Ended {
    /// Whether it ended well.
    pub well: bool,
    /// All that it wrote.
    pub output: String,
}

impl Steps {
    /// Steps that run in a folder; their output goes to files below `target/test-logs`.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let logs = root.join("target/test-logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        Ok(Self { root: root.to_owned(), logs })
    }

    /// Runs a command and tells how it went. What cannot start has failed.
    pub(crate) fn run(&self, name: &str, command: &mut Command) -> Result<Ended> {
        let log = self.logs.join(format!("{}.log", name.replace(' ', "-")));
        say(format!("{name} ..."));
        let began = Instant::now();
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let err = out.try_clone()?;
        // A group of its own, so that whatever it starts can be ended with it.
        command.current_dir(&self.root).stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let ended = match command.spawn() {
            Ok(child) => watch(name, child, began)?,
            Err(error) => format!("cannot start {}: {error}", command.get_program().to_string_lossy()),
        };
        let well = ended.is_empty();
        let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let took = began.elapsed().as_secs();
        if well {
            say(format!("{name}: well, {took} s"));
        } else {
            say(tail(&output, SHOWN_LINES));
            say(format!("{name}: FAILED after {took} s, {ended}; above is the end of {}", relative(&self.root, &log)));
        }
        Ok(Ended { well, output })
    }
}

/// Waits for the end. Returns how it ended, in words; none if well.
fn watch(name: &str, mut child: Child, began: Instant) -> Result<String> {
    let mut told = began;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { String::new() } else { status.to_string() });
        }
        if began.elapsed() > LONGEST {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
            let _ = child.kill();
            child.wait()?;
            return Ok(format!("ended, for it took longer than {} minutes", LONGEST.as_secs() / 60));
        }
        if told.elapsed() >= SIGN_OF_LIFE {
            told = Instant::now();
            say(format!("{name} ... {} s", began.elapsed().as_secs()));
        }
        sleep(LOOK);
    }
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The last lines of a text, indented.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let shown = &all[all.len().saturating_sub(lines)..];
    shown.iter().map(|l| format!("    {l}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_output_is_shown() {
        assert_eq!(tail("a\nb\nc\n", 2), "    b\n    c");
        assert_eq!(tail("a\n", 2), "    a");
        assert_eq!(tail("", 2), "");
    }
}
