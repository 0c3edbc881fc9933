//! A clock that can be moved: the program is started with a small library in front of the system's, which adds to the time of day
//! what a file says. How long something takes is not touched, as when an administrator sets the clock.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Where the library finds the file: eight bytes, the distance in milliseconds.
const VARIABLE: &str = "SOAK_CLOCK";

/// The library. It is the C that gcc, which builds the rest too, takes.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*real)(clockid_t, struct timespec *);
static volatile const long long *shift;

__attribute__((constructor)) static void begin(void) {
  real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const char *path = getenv("SOAK_CLOCK");
  int file = path ? open(path, O_RDONLY) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
  shift = page == MAP_FAILED ? 0 : page;
  if (file >= 0) close(file);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  if (!real) begin();
  int told = real(clock, at);
  if (told == 0 && clock == CLOCK_REALTIME && shift) {
    long long ns = (long long)at->tv_nsec + *shift % 1000 * 1000000;
    at->tv_sec += *shift / 1000;
    if (ns < 0) { ns += 1000000000; at->tv_sec -= 1; }
    if (ns >= 1000000000) { ns -= 1000000000; at->tv_sec += 1; }
    at->tv_nsec = ns;
  }
  return told;
}
"#;

/// The clock of one program.
pub(crate) struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Clock {
    /// Builds the library in a folder. The clock shows the right time.
    pub(crate) fn right(folder: &Path) -> Result<Self> {
        let (library, path) = (folder.join("clock.so"), folder.join("clock"));
        let mut building = Command::new("cc");
        building.args(["-shared", "-fPIC", "-O1", "-x", "c", "-o"]).arg(&library).args(["-", "-ldl"]);
        let mut building = building.stdin(Stdio::piped()).spawn().context("cannot run cc")?;
        building.stdin.take().context("the input is piped")?.write_all(LIBRARY.as_bytes())?;
        ensure!(building.wait()?.success(), "the library of the clock cannot be built");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let clock = Self { library, path, file };
        clock.ahead(0)?;
        Ok(clock)
    }

    /// What a program is started with that shall go by this clock.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), (VARIABLE, &self.path)]
    }

    /// Sets it so far ahead of the right time.
    pub(crate) fn ahead(&self, ms: i64) -> Result<()> {
        self.file.write_all_at(&ms.to_ne_bytes(), 0).context("the clock cannot be set")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(clock: &Clock) -> i64 {
        let mut date = Command::new("date");
        let told = date.arg("+%s%3N").envs(clock.environment()).output().expect("date");
        String::from_utf8_lossy(&told.stdout).trim().parse().expect("milliseconds")
    }

    #[test]
    fn a_program_sees_the_time_that_was_set() {
        let folder = std::env::temp_dir().join(format!("safeconduct-clock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let clock = Clock::right(&folder).expect("a clock");
        for ahead in [90_500, -3_600_700] {
            clock.ahead(0).expect("set");
            let right = shown(&clock);
            clock.ahead(ahead).expect("set");
            let off = shown(&clock) - right;
            assert!((off - ahead).abs() < 20_000, "{off} instead of {ahead}");
        }
        std::fs::remove_dir_all(&folder).expect("gone");
    }
}
