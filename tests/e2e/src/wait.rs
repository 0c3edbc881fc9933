//! Waiting for something to become true, with a bound.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(25);
/// How long a page may take, on a busy machine.
pub const PAGE: Duration = Duration::from_secs(20);
/// How long a program may take to start.
pub const START: Duration = Duration::from_secs(60);

/// Looks until there is something, or fails and says what was waited for.
pub fn until<T>(what: &str, longest: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() > longest {
            bail!("waited {} s for {what}", longest.as_secs());
        }
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_and_says_for_what() {
        let error = until::<()>("rain", Duration::ZERO, || Ok(None)).unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for rain");
    }
}
