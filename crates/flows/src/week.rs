//! When something is used: a count for each hour of the week.

use serde::Serialize;

/// The hours of a week.
pub const HOURS: usize = 168;

/// A count for each local hour of the week, from Monday 00:00.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Week(Vec<u32>);

impl Default for Week {
    fn default() -> Self {
        Self(vec![0; HOURS])
    }
}

impl Week {
    /// Counts one use.
    pub fn add(&mut self, weekday: u8, minute: u16) {
        let hour = usize::from(weekday.saturating_sub(1)) * 24 + usize::from(minute / 60);
        if let Some(count) = self.0.get_mut(hour) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The counts, from Monday 00:00.
    #[must_use]
    pub fn hours(&self) -> &[u32] {
        &self.0
    }

    /// The count of one hour; the weekday is 1 for Monday.
    #[must_use]
    pub fn at(&self, weekday: u8, hour: u8) -> u32 {
        let index = usize::from(weekday.saturating_sub(1)) * 24 + usize::from(hour);
        self.0.get(index).copied().unwrap_or(0)
    }

    /// The days and hours that hold every use, in words: `Mon-Fri 08-18`; empty without use.
    #[must_use]
    pub fn words(&self) -> String {
        const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let used = |i: &usize| self.0.get(*i).is_some_and(|n| *n > 0);
        let days: Vec<usize> = (0..7).filter(|d| (0..24).any(|h| used(&(d * 24 + h)))).collect();
        let hours: Vec<usize> = (0..24).filter(|h| (0..7).any(|d| used(&(d * 24 + h)))).collect();
        let (Some(from), Some(to)) = (hours.first(), hours.last()) else { return String::new() };
        let names = match days.as_slice() {
            [one] => NAMES[*one].to_owned(),
            [first, .., last] => format!("{}-{}", NAMES[*first], NAMES[*last]),
            [] => String::new(),
        };
        format!("{names} {from:02}-{:02}", to + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_says_which_days_and_hours_hold_every_use() {
        let mut week = Week::default();
        assert_eq!(week.words(), "");
        week.add(1, 8 * 60);
        assert_eq!(week.words(), "Mon 08-09");
        week.add(5, 17 * 60 + 59);
        assert_eq!(week.words(), "Mon-Fri 08-18");
        assert_eq!((week.at(5, 17), week.at(5, 18)), (1, 0));
    }
}
