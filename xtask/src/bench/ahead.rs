//! What a measurement consists of goes before the rest of the system: its housekeeping otherwise takes slices of a millisecond and
//! more from whoever is measured.
//!
//! Linux shares a core among sessions first and among the programs of a session then (`autogroup`, sched(7)). Here the session's
//! share is raised; among the programs that are measured nothing changes.

use std::fs;

const FILE: &str = "/proc/self/autogroup";
/// The largest share.
const NICE: i32 = -20;

/// Until it is dropped, this session goes first.
pub(crate) struct Ahead(Result<i32, String>);

impl Ahead {
    pub(crate) fn begin() -> Self {
        let told = fs::read_to_string(FILE).map_err(|e| e.to_string());
        let before = told.and_then(|text| nice(&text).ok_or_else(|| "autogroup is switched off".to_owned()));
        Self(before.and_then(|before| set(NICE).map(|()| before)))
    }

    /// Whether it does, for the report.
    pub(crate) fn words(&self) -> String {
        match &self.0 {
            Ok(_) => "this session went before the rest of the system".to_owned(),
            Err(why) => format!("the rest of the system had equal rights ({why})"),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Ok(before) = self.0 {
            let _ = set(before);
        }
    }
}

fn set(nice: i32) -> Result<(), String> {
    fs::write(FILE, nice.to_string()).map_err(|e| e.to_string())
}

/// The share in `/autogroup-12 nice 0`.
fn nice(told: &str) -> Option<i32> {
    told.trim().rsplit_once(" nice ")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_read_as_the_kernel_tells_it() {
        assert_eq!(nice("/autogroup-1345 nice 0\n"), Some(0));
        assert_eq!(nice("/autogroup-7 nice -20\n"), Some(-20));
        assert_eq!(nice("/\n"), None);
    }
}
