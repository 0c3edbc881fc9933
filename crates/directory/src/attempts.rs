//! How often someone may try: sliding windows per canonical principal and per network, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use safeconduct_model::{Duration, PersonId, Timestamp};

use crate::SignInError;

/// Over which time attempts are counted.
const WINDOW: Duration = Duration::from_mins(5);
/// How many attempts one principal has in the window.
pub const MAX_PER_PERSON: usize = 10;
/// How many attempts one network has in the window: an IPv4 address or an IPv6 /64.
pub const MAX_PER_NETWORK: usize = 300;
/// How many principals, and how many networks, are tracked.
const MAX_TRACKED: usize = 20_000;

/// Counts attempts. The principal is a [`PersonId`], which has one spelling only, so no spelling has a counter of its own.
#[derive(Default)]
pub struct Attempts {
    people: Mutex<Windows<PersonId>>,
    networks: Mutex<Windows<IpAddr>>,
}

impl Attempts {
    /// No attempts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an attempt from an address.
    ///
    /// # Errors
    /// [`SignInError::TooMany`] if the window is full; a refused attempt does not count.
    pub fn from_network(&self, ip: IpAddr, now: Timestamp) -> Result<(), SignInError> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.admit(network_of(ip), MAX_PER_NETWORK, now)
    }

    /// Counts an attempt at the account of a person.
    ///
    /// # Errors
    /// [`SignInError::TooMany`] if the window is full; a refused attempt does not count.
    pub fn at_person(&self, person: &PersonId, now: Timestamp) -> Result<(), SignInError> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.admit(person.clone(), MAX_PER_PERSON, now)
    }

    /// Forgets the attempts at a person who has proved themselves. The network keeps its count.
    pub fn succeeded(&self, person: &PersonId) {
        self.people.lock().unwrap_or_else(PoisonError::into_inner).0.remove(person);
    }
}

/// The network that shares a counter: addresses of one IPv6 customer are as good as one.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
        }
    }
}

struct Windows<K>(HashMap<K, VecDeque<Timestamp>>);

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Windows<K> {
    fn admit(&mut self, key: K, max: usize, now: Timestamp) -> Result<(), SignInError> {
        if !self.0.contains_key(&key) && self.0.len() >= MAX_TRACKED {
            self.make_room(now);
        }
        let window = self.0.entry(key).or_default();
        while window.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            window.pop_front();
        }
        if window.len() >= max {
            return Err(SignInError::TooMany);
        }
        window.push_back(now);
        Ok(())
    }

    /// Drops what is out of the window; if that is not enough, the half that was seen longest ago.
    fn make_room(&mut self, now: Timestamp) {
        self.0.retain(|_, window| window.back().is_some_and(|at| now.since(*at) < WINDOW));
        if self.0.len() >= MAX_TRACKED {
            let mut ages: Vec<_> = self.0.values().filter_map(|window| window.back().copied()).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let (median, mut excess) = (*median, self.0.len() - MAX_TRACKED / 2);
            self.0.retain(|_, window| {
                let old = window.back().is_none_or(|at| *at <= median) && excess > 0;
                excess -= usize::from(old);
                !old
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    fn ada() -> PersonId {
        "ada".parse().expect("id")
    }

    #[test]
    fn nt_27_a_principal_has_one_counter_and_ten_attempts() {
        let attempts = Attempts::new();
        for _ in 0..MAX_PER_PERSON {
            attempts.at_person(&ada(), at(0)).expect("within the bound");
        }
        assert!(matches!(attempts.at_person(&ada(), at(299)), Err(SignInError::TooMany)));
        assert!(attempts.at_person(&"bob".parse().expect("id"), at(0)).is_ok());
        assert!(attempts.at_person(&ada(), at(300)).is_ok(), "the window slides");
        attempts.succeeded(&ada());
        assert!(attempts.at_person(&ada(), at(300)).is_ok());
    }

    #[test]
    fn addresses_of_one_customer_share_a_counter() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        assert_eq!(network_of(ip("2001:db8:1:2::1")), network_of(ip("2001:db8:1:2:ffff::9")));
        assert_ne!(network_of(ip("2001:db8:1:2::1")), network_of(ip("2001:db8:1:3::1")));
        assert_eq!(network_of(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded_under_a_flood_of_names() {
        let mut windows = Windows::default();
        for n in 0..3 * MAX_TRACKED {
            windows.admit(n, 1, at(0)).expect("new");
        }
        assert!(windows.0.len() <= MAX_TRACKED);
        let late = windows.admit(usize::MAX, 1, at(1_000));
        assert!(late.is_ok() && windows.0.len() <= MAX_TRACKED);
    }

    proptest! {
        #[test]
        fn the_window_admits_what_a_naive_count_admits(mut times in prop::collection::vec(0i64..2_000, 1..80)) {
            times.sort_unstable();
            let mut windows = Windows::default();
            let mut admitted: Vec<i64> = Vec::new();
            for t in times {
                let naive = admitted.iter().filter(|a| t - **a < 300).count() < 5;
                prop_assert_eq!(windows.admit((), 5, at(t)).is_ok(), naive);
                if naive { admitted.push(t); }
            }
        }
    }
}
