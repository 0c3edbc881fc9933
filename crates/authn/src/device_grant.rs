//! The device authorisation grant (RFC 8628): a machine asks, a person answers on the portal, the machine fetches the answer.
//!
//! Every request is bound to the key that the machine proved when it asked. A code is good for one answer and one fetch.

use std::collections::HashMap;
use std::net::IpAddr;

use safeconduct_model::{Duration, Timestamp};
use thiserror::Error;

use crate::dpop::Thumbprint;
use crate::one_time::Digest;
use crate::user_code::UserCode;

/// How long a request waits for its answer.
pub const REQUEST_LIFE: Duration = Duration::from_mins(10);
/// How long a machine waits between two looks, in the beginning.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// By how much the wait grows where a machine looks too often (RFC 8628, section 3.5).
const SLOWER_BY: Duration = Duration::from_secs(5);
/// How many requests may wait.
pub const MAX_OPEN: usize = 10_000;
/// How many of them may come from one address.
pub const MAX_OPEN_PER_ADDRESS: usize = 20;
/// The longest name of a machine, in characters.
const MAX_NAME: usize = 64;

/// The machine that asks, as far as it is known: its name is what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name, plain and short.
    pub name: String,
    /// The address it asks from.
    pub ip: IpAddr,
}

impl Machine {
    /// Takes what a machine says of itself: one short line of printable text.
    #[must_use]
    pub fn new(said: &str, ip: IpAddr) -> Self {
        let plain = |c: &char| c.is_ascii_graphic() || *c == ' ' || (c.is_alphanumeric() && !c.is_control());
        let name: String = said.chars().filter(plain).take(MAX_NAME).collect();
        let name = name.trim();
        Self { name: if name.is_empty() { "a machine without a name" } else { name }.to_owned(), ip }
    }
}

/// A request that waits.
#[derive(Debug)]
pub struct Open<A> {
    /// Who asks.
    pub machine: Machine,
    /// When it asked.
    pub since: Timestamp,
    key: Thumbprint,
    device: Digest,
    until: Timestamp,
    interval: Duration,
    looked: Option<Timestamp>,
    answer: Option<Answer<A>>,
}

/// What a person said to a request.
#[derive(Debug)]
pub enum Answer<A> {
    /// Yes, and what that comes to.
    Approve(A),
    /// No.
    Deny,
}

/// Why a request cannot wait.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too many sign-ins wait for their answer; wait a few minutes")]
pub struct TooMany;

/// What a machine finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub enum Look<A> {
    /// No answer yet.
    Pending,
    /// No answer yet, and too soon: from now on this long between two looks.
    SlowDown(Duration),
    /// The person said no.
    Denied,
    /// Too late, or never asked, or fetched already.
    Expired,
    /// Another key than the one that asked.
    OtherKey,
    /// The person said yes.
    Approved(A, Machine),
}

/// The requests that wait.
#[derive(Debug)]
pub struct DeviceGrants<A> {
    open: HashMap<UserCode, Open<A>>,
    by_device: HashMap<Digest, UserCode>,
}

impl<A> Default for DeviceGrants<A> {
    fn default() -> Self {
        Self { open: HashMap::new(), by_device: HashMap::new() }
    }
}

/// The wait of a machine that looked too soon.
fn longer(interval: Duration) -> Duration {
    Duration::from_millis(interval.millis() + SLOWER_BY.millis())
}

impl<A> DeviceGrants<A> {
    /// Lets a machine wait under a code for people and a code of its own.
    ///
    /// # Errors
    /// [`TooMany`] if there is no room, in all or for this address, or if the code is taken: another try makes another.
    pub fn begin(
        &mut self,
        user: UserCode,
        device: Digest,
        key: Thumbprint,
        machine: Machine,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        self.expire(now);
        let from_there = self.open.values().filter(|o| o.machine.ip == machine.ip).count();
        if self.open.len() >= MAX_OPEN || from_there >= MAX_OPEN_PER_ADDRESS || self.open.contains_key(&user) {
            return Err(TooMany);
        }
        self.by_device.insert(device, user);
        let until = now + REQUEST_LIFE;
        let open = Open { machine, since: now, key, device, until, interval: INTERVAL, looked: None, answer: None };
        self.open.insert(user, open);
        Ok(())
    }

    /// The request under a code, if it still waits for an answer.
    #[must_use]
    pub fn waiting(&self, user: &UserCode, now: Timestamp) -> Option<&Open<A>> {
        self.open.get(user).filter(|o| now < o.until && o.answer.is_none())
    }

    /// Keeps the answer of a person. The first one counts. Says whether the request still waited.
    pub fn answer(&mut self, user: &UserCode, answer: Answer<A>, now: Timestamp) -> bool {
        match self.open.get_mut(user).filter(|o| now < o.until && o.answer.is_none()) {
            Some(open) => {
                open.answer = Some(answer);
                true
            }
            None => false,
        }
    }

    /// Whether a request waits under this code that this key made.
    #[must_use]
    pub fn is_of(&self, device: &Digest, key: &Thumbprint) -> bool {
        let open = self.by_device.get(device).and_then(|user| self.open.get(user));
        open.is_some_and(|open| open.key == *key)
    }

    /// A machine looks. What it finds is gone, unless it must wait on.
    pub fn look(&mut self, device: &Digest, key: &Thumbprint, now: Timestamp) -> Look<A> {
        let Some(user) = self.by_device.get(device).copied() else { return Look::Expired };
        let Some(open) = self.open.get_mut(&user) else { return Look::Expired };
        if open.key != *key {
            return Look::OtherKey;
        }
        if now >= open.until {
            self.remove(&user);
            return Look::Expired;
        }
        let too_soon = open.looked.is_some_and(|at| now < at + open.interval);
        open.looked = Some(now);
        if too_soon {
            open.interval = longer(open.interval);
            return Look::SlowDown(open.interval);
        }
        if open.answer.is_none() {
            return Look::Pending;
        }
        match self.remove(&user) {
            Some(Open { answer: Some(Answer::Approve(given)), machine, .. }) => Look::Approved(given, machine),
            _ => Look::Denied,
        }
    }

    fn remove(&mut self, user: &UserCode) -> Option<Open<A>> {
        let open = self.open.remove(user)?;
        self.by_device.remove(&open.device);
        Some(open)
    }

    fn expire(&mut self, now: Timestamp) {
        let by_device = &mut self.by_device;
        for (_, gone) in self.open.extract_if(|_, o| now >= o.until) {
            by_device.remove(&gone.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use crate::one_time::{Purpose, Token};

    fn at(s: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000) + Duration::from_secs(s)
    }
    fn key(n: u8) -> Thumbprint {
        Thumbprint::of(SigningKey::from_slice(&[n; 32]).expect("in range").verifying_key())
    }
    fn code(n: u8) -> UserCode {
        UserCode::from_random([n; 16])
    }
    fn device(n: u8) -> Digest {
        Token::from_random([n; 32]).digest(Purpose::DeviceCode)
    }
    fn machine(n: u8) -> Machine {
        Machine::new("laptop", IpAddr::from([10, 0, 0, n]))
    }
    fn one() -> DeviceGrants<u8> {
        let mut all = DeviceGrants::default();
        all.begin(code(1), device(1), key(1), machine(1), at(0)).expect("there is room");
        all
    }

    #[test]
    fn an_answer_is_fetched_once_and_by_the_key_that_asked() {
        let mut all = one();
        assert_eq!(all.look(&device(1), &key(1), at(2)), Look::Pending);
        assert!(all.waiting(&code(1), at(3)).is_some_and(|o| o.machine == machine(1)));
        assert!(all.answer(&code(1), Answer::Approve(7), at(3)));
        assert!(!all.answer(&code(1), Answer::Deny, at(3)), "the first answer counts");
        assert!(all.waiting(&code(1), at(3)).is_none(), "nobody is asked twice");
        assert_eq!(all.look(&device(1), &key(2), at(4)), Look::OtherKey);
        assert!(all.is_of(&device(1), &key(1)) && !all.is_of(&device(1), &key(2)) && !all.is_of(&device(2), &key(1)));
        assert_eq!(all.look(&device(2), &key(1), at(4)), Look::Expired);
        assert_eq!(all.look(&device(1), &key(1), at(5)), Look::Approved(7, machine(1)));
        assert_eq!(all.look(&device(1), &key(1), at(9)), Look::Expired, "once");
        assert!(all.open.is_empty() && all.by_device.is_empty());
    }

    #[test]
    fn who_looks_too_often_waits_longer() {
        let mut all = one();
        assert_eq!(all.look(&device(1), &key(1), at(0)), Look::Pending);
        assert_eq!(all.look(&device(1), &key(1), at(1)), Look::SlowDown(longer(INTERVAL)));
        assert!(all.answer(&code(1), Answer::Approve(7), at(1)));
        assert_eq!(all.look(&device(1), &key(1), at(3)), Look::SlowDown(longer(longer(INTERVAL))));
        assert_eq!(all.look(&device(1), &key(1), at(15)), Look::Approved(7, machine(1)));
    }

    #[test]
    fn a_no_is_told_once_and_silence_ends() {
        let mut all = one();
        assert!(all.answer(&code(1), Answer::Deny, at(3)));
        assert_eq!(all.look(&device(1), &key(1), at(5)), Look::Denied);
        assert_eq!(all.look(&device(1), &key(1), at(9)), Look::Expired);
        let mut all = one();
        let end = REQUEST_LIFE.secs();
        assert!(!all.answer(&code(1), Answer::Approve(1), at(end)), "too late to answer");
        assert_eq!(all.look(&device(1), &key(1), at(end)), Look::Expired);
        let mut all = one();
        assert!(all.answer(&code(1), Answer::Approve(1), at(end - 1)));
        assert_eq!(all.look(&device(1), &key(1), at(end)), Look::Expired, "too late to fetch");
    }

    #[test]
    fn one_address_cannot_take_all_the_room() {
        let mut all = DeviceGrants::<u8>::default();
        let most = u8::try_from(MAX_OPEN_PER_ADDRESS).expect("small");
        for n in 0..most {
            all.begin(code(n), device(n), key(1), machine(1), at(0)).expect("there is room");
        }
        assert_eq!(all.begin(code(200), device(200), key(1), machine(1), at(0)), Err(TooMany));
        assert_eq!(all.begin(code(200), device(200), key(1), machine(2), at(0)), Ok(()));
        assert_eq!(all.begin(code(200), device(201), key(1), machine(3), at(0)), Err(TooMany), "the code is taken");
        assert_eq!(all.begin(code(201), device(201), key(1), machine(1), at(REQUEST_LIFE.secs())), Ok(()));
        assert_eq!((all.open.len(), all.by_device.len()), (1, 1), "what is too old is gone");
    }

    #[test]
    fn a_machine_says_one_short_plain_line() {
        let name = |said: &str| Machine::new(said, IpAddr::from([1, 1, 1, 1])).name;
        assert_eq!(name("ada's laptop\n\u{202e}<b>"), "ada's laptop<b>");
        assert_eq!(name(" \t"), "a machine without a name");
        assert_eq!(name(&"x".repeat(500)).len(), MAX_NAME);
    }
}
