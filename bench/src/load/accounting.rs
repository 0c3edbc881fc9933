//! What a program and its children took, as the operating system accounts for it.

use std::collections::BTreeSet;
use std::fs;

use serde::Serialize;

/// CPU time of a program with everything that it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cpu {
    /// Nanoseconds on a core, of all threads.
    pub run_ns: u64,
    /// Ticks in the program itself.
    pub user_ticks: u64,
    /// Ticks in the kernel.
    pub system_ticks: u64,
}

/// Memory in kilobytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Resident, with what is shared counted whole.
    pub rss_kb: u64,
    /// Resident, with what is shared counted in parts.
    pub pss_kb: u64,
}

impl Cpu {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            run_ns: self.run_ns.saturating_sub(before.run_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
        }
    }
}

/// What a program with its children took so far.
pub(crate) fn cpu(program: u32) -> Cpu {
    let mut all = Cpu::default();
    for process in family(program) {
        for task in tasks(process) {
            let folder = format!("/proc/{process}/task/{task}");
            let schedule = fs::read_to_string(format!("{folder}/schedstat")).unwrap_or_default();
            all.run_ns += schedule.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            let (user, system) = ticks(&fs::read_to_string(format!("{folder}/stat")).unwrap_or_default());
            all.user_ticks += user;
            all.system_ticks += system;
        }
    }
    all
}

/// What a program with its children holds.
pub(crate) fn memory(program: u32) -> Memory {
    let mut all = Memory::default();
    for process in family(program) {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        all.rss_kb += field("Rss:");
        all.pss_kb += field("Pss:");
    }
    all
}

/// User and system ticks of a line of `/proc/PID/stat`; the name in it may hold anything, so it is skipped first.
fn ticks(stat: &str) -> (u64, u64) {
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after.split_whitespace().skip(11).map(|n| n.parse::<u64>().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

fn tasks(process: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// A process and all that descend from it.
fn family(program: u32) -> BTreeSet<u32> {
    let mut open = vec![program];
    let mut found = BTreeSet::new();
    while let Some(process) = open.pop() {
        if !found.insert(process) {
            continue;
        }
        for task in tasks(process) {
            let text = fs::read_to_string(format!("/proc/{process}/task/{task}/children")).unwrap_or_default();
            open.extend(text.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_past_a_name_with_spaces() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 12 34 0 0 20 0 1 0 5 0 0";
        assert_eq!(ticks(stat), (12, 34));
        assert_eq!(ticks(""), (0, 0));
    }

    #[test]
    fn this_process_takes_time_and_memory() {
        let before = cpu(std::process::id());
        let mut sum = 0u64;
        (0..5_000_000u64).for_each(|n| sum = std::hint::black_box(sum ^ n));
        assert!(cpu(std::process::id()).since(before).run_ns > 0, "{sum}");
        assert!(memory(std::process::id()).rss_kb > 500);
    }
}
