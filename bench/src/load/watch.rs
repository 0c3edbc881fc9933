//! Watchers beside a measurement, one for each core: this program again, as `stalls`, with real-time priority.

use std::env;
use std::process::{Child, Command, Stdio};

use super::accounting;
use super::stalls::{Noted, Stall};

/// The watchers that run, or why there are none.
pub(crate) struct Watch {
    watchers: Result<Vec<Child>, String>,
}

impl Watch {
    /// Nobody watches.
    pub(crate) fn none() -> Self {
        Self { watchers: Err("no core was named".to_owned()) }
    }

    /// One watcher for each core. They end when their input is closed, so also with this program.
    pub(crate) fn start(cores: &[u32]) -> Self {
        if cores.is_empty() {
            return Self::none();
        }
        Self { watchers: cores.iter().map(|core| watcher(*core)).collect() }
    }

    /// Nanoseconds that they took of their cores so far.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.watchers.iter().flatten().map(|child| accounting::cpu(child.id()).run_ns).sum()
    }

    /// Ends them: what they saw on all cores, or why the window was not watched.
    pub(crate) fn end(self, window: (u64, u64)) -> Result<Vec<Stall>, String> {
        let mut watchers = self.watchers?;
        watchers.iter_mut().for_each(|child| drop(child.stdin.take()));
        let mut all = Vec::new();
        for child in watchers {
            let output = child.wait_with_output().map_err(|e| format!("a watcher was lost: {e}"))?;
            if !output.status.success() {
                return Err(format!("a watcher failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
            let noted = serde_json::from_slice(&output.stdout).map_err(|e| format!("a watcher told nothing: {e}"))?;
            all.extend(whole(noted, window)?);
        }
        Ok(all)
    }
}

fn watcher(core: u32) -> Result<Child, String> {
    let own = env::current_exe().map_err(|e| format!("this program is not found: {e}"))?;
    let mut command = Command::new("chrt");
    command.args(["-f", "1", "taskset", "-c", &core.to_string()]).arg(own).arg("stalls");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|e| format!("chrt cannot run: {e}"))
}

/// The stalls, if the whole window was watched.
fn whole(noted: Noted, window: (u64, u64)) -> Result<Vec<Stall>, String> {
    if noted.full {
        return Err("there were more stalls than a watcher notes".to_owned());
    }
    if noted.from > window.0 || noted.until < window.1 {
        return Err("a watcher did not see the whole window".to_owned());
    }
    Ok(noted.stalls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_window_is_not_enough() {
        let stalls = vec![Stall { due: 20, awake: 30 }];
        let noted = |from, until, full| Noted { from, until, stalls: stalls.clone(), full };
        assert_eq!(whole(noted(10, 90, false), (10, 90)), Ok(stalls.clone()));
        assert!(whole(noted(11, 90, false), (10, 90)).is_err());
        assert!(whole(noted(10, 89, false), (10, 90)).is_err());
        assert!(whole(noted(10, 90, true), (10, 90)).is_err());
    }

    #[test]
    fn where_nobody_watches_there_is_no_list_and_not_an_empty_one() {
        assert_eq!(Watch::start(&[]).end((0, 1)), Err("no core was named".to_owned()));
        assert_eq!(Watch::none().cpu_ns(), 0);
    }
}
