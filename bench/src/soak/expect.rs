//! What may be answered, and when: the conductor says beforehand what it is about to do, and every answer is held against all that
//! was in force while it was awaited.

use std::time::{Duration, Instant};

use serde::Deserialize;

/// What somebody may expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expect {
    /// The right answer of the right application, and nothing else.
    Served,
    /// The application cannot be reached, or not always.
    Down,
    /// No answer of the application at all.
    Refused,
    /// It changes just now.
    Either,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// What was asked for, from whom it was asked.
    Right,
    /// 200 or 101 with something else in it.
    Wrong,
    /// Another status.
    Status(u16),
    /// No whole answer.
    Nothing,
}

impl Expect {
    fn allows(self, came: Came) -> bool {
        match (self, came) {
            (_, Came::Wrong) => false,
            (Self::Served | Self::Down | Self::Either, Came::Right) => true,
            (Self::Down, Came::Status(status)) => matches!(status, 502..=504),
            (Self::Down | Self::Either, Came::Nothing) => true,
            (Self::Refused | Self::Either, Came::Status(status)) => matches!(status, 302 | 303 | 401 | 403),
            _ => false,
        }
    }
}

/// What was in force, and from when.
#[derive(Clone, Debug)]
pub(crate) struct Timeline(Vec<(Instant, Expect)>);

impl Timeline {
    pub(crate) fn from(now: Instant, expect: Expect) -> Self {
        Self(vec![(now, expect)])
    }

    pub(crate) fn now(&mut self, now: Instant, expect: Expect) {
        self.0.push((now, expect));
    }

    /// All that was in force at some instant of these.
    fn during(&self, from: Instant, to: Instant) -> impl Iterator<Item = Expect> {
        let ends = self.0.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        let spans = self.0.iter().zip(ends);
        spans.filter(move |((at, _), end)| *at <= to && end.is_none_or(|end| end >= from)).map(|((_, e), _)| *e)
    }

    /// Whether this may have come to what was asked then.
    pub(crate) fn allows(&self, from: Instant, to: Instant, came: Came) -> bool {
        self.during(from, to).any(|expect| expect.allows(came))
    }

    /// Whether nothing but this was in force in these instants.
    pub(crate) fn only(&self, from: Instant, to: Instant, expect: Expect) -> bool {
        self.during(from, to).all(|e| e == expect)
    }

    /// Whether nothing has been permitted for so long.
    pub(crate) fn refused_for(&self, now: Instant, longer: Duration) -> bool {
        self.0.last().is_some_and(|(at, e)| *e == Expect::Refused && now.saturating_duration_since(*at) > longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_held_against_all_that_was_in_force_while_it_was_awaited() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timeline = Timeline::from(start, Expect::Served);
        timeline.now(at(100), Expect::Down);
        timeline.now(at(200), Expect::Served);
        let bad = Came::Status(502);
        assert!(!timeline.allows(at(10), at(90), bad), "it was up");
        assert!(timeline.allows(at(90), at(110), bad), "it died meanwhile");
        assert!(timeline.allows(at(120), at(130), bad) && timeline.allows(at(190), at(210), bad));
        assert!(!timeline.allows(at(201), at(300), bad), "it was back");
        assert!(timeline.allows(at(10), at(300), Came::Right));
        assert!(timeline.only(at(0), at(99), Expect::Served) && !timeline.only(at(0), at(101), Expect::Served));
    }

    #[test]
    fn a_wrong_body_is_never_right_and_a_refusal_only_where_it_is_due() {
        let now = Instant::now();
        for expect in [Expect::Served, Expect::Down, Expect::Refused, Expect::Either] {
            assert!(!Timeline::from(now, expect).allows(now, now, Came::Wrong));
            assert!(!Timeline::from(now, expect).allows(now, now, Came::Status(500)));
            assert_eq!(Timeline::from(now, expect).allows(now, now, Came::Right), expect != Expect::Refused);
        }
        let allows = |expect, came| Timeline::from(now, expect).allows(now, now, came);
        assert!(allows(Expect::Refused, Came::Status(403)) && !allows(Expect::Served, Came::Status(403)));
        assert!(!allows(Expect::Down, Came::Status(403)) && !allows(Expect::Refused, Came::Status(502)));
        assert!(!allows(Expect::Served, Came::Nothing) && !allows(Expect::Refused, Came::Nothing));
    }

    #[test]
    fn a_refusal_is_old_after_a_while_only() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut timeline = Timeline::from(now, Expect::Refused);
        assert!(!timeline.refused_for(now + second, second) && timeline.refused_for(now + 2 * second, second));
        timeline.now(now + second, Expect::Served);
        assert!(!timeline.refused_for(now + 9 * second, second));
    }
}
