//! `stalls`: looks for time in which the machine ran nothing on a core, though there was something to run.
//!
//! On a virtual machine the hypervisor takes a core away now and then, and the system inside often does not count that as
//! stolen. A program with real-time priority sees it: on its core it goes before every other program, so it wakes when it wanted
//! to, unless the core is not there, or the kernel does not let go of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

/// How often it wakes. A stall of one step and [`LATE`] is seen wherever it begins; one that is shorter only if an instant to wake
/// lies early enough in it. On a virtual machine of virtual machines one wake costs the core 20 µs, so this is 2 % of it; half
/// the step would be twice as much, and the watch a load of its own.
const STEP: u64 = 1_000_000;
/// What wakes later than this was held up.
const LATE: u64 = 300_000;
/// So many are noted at most.
const MOST: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// A piece of time without the core, in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stall {
    /// When something should have run.
    pub due: u64,
    /// When it did.
    pub awake: u64,
}

impl Stall {
    pub(crate) fn length(self) -> u64 {
        self.awake.saturating_sub(self.due)
    }
}

/// What a watch saw from one instant until another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub from: u64,
    pub until: u64,
    pub stalls: Vec<Stall>,
    /// Whether there were more than could be noted.
    pub full: bool,
}

impl Noted {
    fn new(from: u64) -> Self {
        Self { from, until: from, stalls: Vec::new(), full: false }
    }

    /// Notes if it was late, and says when it shall wake next: at an instant of the same grid that is still to come.
    fn woke(&mut self, due: u64, awake: u64) -> u64 {
        let late = awake.saturating_sub(due);
        if late > LATE {
            if self.stalls.len() < MOST {
                self.stalls.push(Stall { due, awake });
            } else {
                self.full = true;
            }
        }
        self.until = awake;
        due + STEP * (late / STEP + 1)
    }
}

/// Watches the core that it runs on until the input ends.
pub(crate) fn watch() -> Result<Noted> {
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        ends.store(true, Ordering::Release);
    });
    let began = monotonic();
    let mut noted = Noted::new(began);
    let mut due = began + STEP;
    loop {
        // Asked first, so that what is told reaches beyond the instant at which the input ended.
        let last = over.load(Ordering::Acquire);
        sleep_until(due)?;
        due = noted.woke(due, monotonic());
        if last {
            return Ok(noted);
        }
    }
}

/// The instant that it is, in nanoseconds of the clock that every program of this machine shares.
pub(crate) fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(now.tv_sec) * SECOND + part(now.tv_nsec)
}

fn sleep_until(instant: u64) -> Result<()> {
    let part = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let at = Timespec { tv_sec: part(instant / SECOND), tv_nsec: part(instant % SECOND) };
    loop {
        match clock_nanosleep_absolute(ClockId::Monotonic, &at) {
            Err(Errno::INTR) => {}
            other => return other.context("the system does not sleep until an instant"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_late_is_noted() {
        let mut noted = Noted::new(0);
        assert_eq!(noted.woke(STEP, STEP + LATE), 2 * STEP, "late by no more than what is allowed");
        assert_eq!(noted.stalls, []);
        assert_eq!(noted.woke(2 * STEP, 2 * STEP + LATE + 1), 3 * STEP);
        // Several steps were missed: they are one stall, and the next instant is still to come.
        assert_eq!(noted.woke(3 * STEP, 7 * STEP), 8 * STEP);
        assert_eq!(noted.stalls.iter().map(|s| s.length()).collect::<Vec<_>>(), [LATE + 1, 4 * STEP]);
        assert_eq!((noted.until, noted.full), (7 * STEP, false));
    }

    #[test]
    fn no_more_are_noted_than_there_is_room_for() {
        let mut noted = Noted::new(0);
        let mut due = STEP;
        (0..=MOST).for_each(|_| due = noted.woke(due, due + STEP));
        assert_eq!((noted.stalls.len(), noted.full), (MOST, true));
    }

    #[test]
    fn it_sleeps_until_an_instant_and_not_for_a_time() {
        let until = monotonic() + 3_000_000;
        sleep_until(until).expect("slept");
        assert!(monotonic() >= until);
        let before = monotonic();
        sleep_until(until).expect("an instant that has passed");
        assert!(monotonic() - before < SECOND);
    }
}
