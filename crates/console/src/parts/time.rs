//! Instants for people: relative, with the exact instant on hover.

use maud::{Markup, html};
use safeconduct_model::{Duration, Timestamp};

use super::words;

/// An instant in the past (or, if it lies ahead, in the future).
pub(crate) fn when(now: Timestamp, at: Timestamp) -> Markup {
    html! { time datetime=(at) title=(exact(at)) data-at=(at.millis()) { (relative(now, at)) } }
}

/// An instant in the past, or a word for never.
pub(crate) fn when_or(now: Timestamp, at: Option<Timestamp>, never: &str) -> Markup {
    match at {
        Some(at) => when(now, at),
        None => super::none(never),
    }
}

/// "3 min ago", "in 2 h", "now".
pub(crate) fn relative(now: Timestamp, at: Timestamp) -> String {
    if at == Timestamp::MAX {
        return "without end".to_owned();
    }
    let (span, ahead) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    let rough = rough(span);
    match (rough.as_str(), ahead) {
        ("0 s", _) => "now".to_owned(),
        (r, true) => format!("in {r}"),
        (r, false) => format!("{r} ago"),
    }
}

/// The largest unit alone.
pub(crate) fn rough(span: Duration) -> String {
    let s = span.secs();
    let (n, unit) = match s {
        0..60 => (s, "s"),
        60..3_600 => (s / 60, "min"),
        3_600..172_800 => (s / 3_600, "h"),
        _ => (s / 86_400, "d"),
    };
    format!("{} {unit}", words::count(n))
}

/// `2026-09-30 14:02:00 UTC`.
pub(crate) fn exact(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock} UTC"),
        _ => text,
    }
}

/// `2026-09-30`.
pub(crate) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// An instant written out, for records and error pages.
pub(crate) fn stamp(at: Timestamp) -> Markup {
    html! { time datetime=(at) title=(at) { (exact(at)) } }
}

/// Microseconds for people.
pub(crate) fn micros(us: u32) -> String {
    match us {
        0 => "under 1 µs".to_owned(),
        1..1_000 => format!("{us} µs"),
        _ => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_rough_and_instants_exact() {
        let now = Timestamp::from_millis(1_790_776_920_000);
        for (at, words) in [
            (now, "now"),
            (now - Duration::from_secs(5), "5 s ago"),
            (now - Duration::from_mins(61), "1 h ago"),
            (now + Duration::from_days(3), "in 3 d"),
            (Timestamp::MAX, "without end"),
        ] {
            assert_eq!(relative(now, at), words);
        }
        assert_eq!(exact(now), "2026-09-30 14:02:00 UTC");
        assert_eq!(micros(1_270), "1.2 ms");
    }
}
