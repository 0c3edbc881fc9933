//! The page of locks.

use safeconduct_console::view::{Link, LockRow};
use safeconduct_model::{Duration, Timestamp};

use super::{Sample, mins};

pub(super) fn rows(sample: Sample) -> Vec<LockRow> {
    let row = |n: u64, kind, on: Link, message: &str, until: Option<Timestamp>| LockRow {
        id: format!("3fa09c{n:04x}").parse().expect("id"),
        kind,
        on,
        message: sample.n(message),
        by: Link::to(sample.n("Lin Wei"), "/console/people/lin"),
        placed: mins(n * 47),
        until,
        in_force: until.is_none_or(|u| mins(0) < u),
    };
    let until = |ahead| Some(mins(0) + Duration::from_mins(ahead));
    vec![
        row(
            1,
            "person",
            Link::to(sample.n("Marek Novák"), "/console/people/marek"),
            "Your laptop was reported stolen. Call the security desk, 7-300.",
            None,
        ),
        row(
            2,
            "device",
            Link::to(sample.n("Bo's laptop"), "/console/devices/lt-12"),
            "Bring it to room 2.14.",
            until(400),
        ),
        row(
            3,
            "application",
            Link::to(sample.n("Payroll"), "/console/apps/payroll"),
            "Closed while it is restored.",
            until(35),
        ),
        row(4, "connector", Link::plain(sample.n("berlin/rack-3")), "Moved to a new rack.", Some(mins(90))),
    ]
}
