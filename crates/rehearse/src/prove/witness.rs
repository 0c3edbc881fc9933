//! From a region to a request: what the facts leave possible together, and one ask that shows it.
//!
//! The facts of an ask depend on each other: an unknown device holds nothing, a passkey is two factors, a grant has a
//! purpose, the clock gives weekday and minute. What follows here is exactly what [`safeconduct_policy`] makes of an ask.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_model::{
    Action, Ask, Auth, Check, DeviceFacts, Duration, GrantFacts, Method, Place, Principal, RuleId, Stated, Timestamp,
    What, Who, Why,
};
use safeconduct_policy::Stage;
use serde::Serialize;

use super::compile::{Env, address, number};
use super::instant::{self, Instant, Wanted};
use super::numbers::Numbers;
use super::pattern::TooComplex;
use super::region::{Dim, Region, Set};
use super::texts::{Present, Texts};

/// The name of every network that the configuration does not name, as a rule spells it.
const OTHER: &str = safeconduct_policy::OTHER_NETWORK;
/// How long the session and the report of a made-up ask hold.
const HOLDS: Duration = Duration::from_hours(1);
/// How many askers are tried where canaries bind only some.
const MAX_ASKERS: u32 = 20_000;

/// One request at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// What is asked.
    pub ask: Ask,
    /// When.
    pub now: Timestamp,
}

/// Where and when made-up requests come from.
#[derive(Clone, Copy)]
pub(crate) struct World<'w> {
    pub(crate) zone: &'w TimeZone,
    /// Instants from here on are preferred.
    pub(crate) now: Timestamp,
}

/// Facts that are true or false, settled as far as the region says.
struct Flags<'r>(&'r Region);

impl Flags<'_> {
    /// Whether the region fixes it.
    fn fixed(&self, name: &'static str) -> Option<bool> {
        match self.0.get(&Dim::Flag(name)) {
            Some(Set::One(b)) => Some(*b),
            _ => None,
        }
    }

    fn must(&self, name: &'static str) -> bool {
        self.fixed(name) == Some(true)
    }

    fn never(&self, name: &'static str) -> bool {
        self.fixed(name) == Some(false)
    }
}

/// Whether truth and absence go together; the cheap part of [`realise`], for every step of a search.
pub(crate) fn flags_fit(region: &Region) -> bool {
    let flags = Flags(region);
    let held = ["device.managed", "device.compliant"].into_iter().chain(CHECKS.map(|(name, _)| name));
    let unknown = flags.never("device.known") && held.into_iter().any(|name| flags.must(name));
    let relayed = flags.must("auth.phishing_resistant") && flags.never("auth.mfa");
    let healthy = CHECKS.iter().all(|(name, _)| flags.must(name)) && flags.never("device.compliant");
    let nothing = |dim| matches!(region.get(&dim), Some(Set::Texts(t)) if t.absent && *t == Texts::absent());
    let unstated = nothing(Dim::Purpose)
        && (flags.must("granted") || matches!(region.get(&Dim::Ticket), Some(Set::Texts(t)) if !t.absent));
    !(unknown || relayed || healthy || unstated)
}

const CHECKS: [(&str, Check); 5] = [
    ("device.disk_encrypted", Check::DiskEncrypted),
    ("device.endpoint_protection", Check::EndpointProtection),
    ("device.os_current", Check::OsCurrent),
    ("device.firewall", Check::Firewall),
    ("device.screen_lock", Check::ScreenLock),
];

/// A request in the region, if there can be one.
pub(crate) fn realise(region: &Region, env: Env<'_>, world: World<'_>) -> Result<Option<Moment>, TooComplex> {
    if !flags_fit(region) {
        return Ok(None);
    }
    let flags = Flags(region);
    let age = numbers(region, &Dim::Age).lowest().unwrap_or(0);
    let Some(now) = now(region, age, world)? else { return Ok(None) };
    let Some(why) = why(region, &flags, now)? else { return Ok(None) };
    let pick = |dim: Dim, liked: &[&str], shape| texts(region, &dim).pick(liked, shape);
    let is_person = region.get(&Dim::Person) != Some(&Set::One(false));
    let Some(principal) = principal(region, is_person)? else { return Ok(None) };
    let method = match env.action {
        Action::Read => ["GET", "HEAD", "POST", "PUT"],
        Action::Write | Action::Admin => ["POST", "PUT", "DELETE", "GET"],
    };
    let (Some(method), Some(path), Some(zone)) = (
        pick(Dim::Method, &method, None)?,
        pick(Dim::Path, &["/"], Some("/*"))?,
        pick(Dim::Zone, &[OTHER, "elsewhere"], None)?,
    ) else {
        return Ok(None);
    };
    let country = texts(region, &Dim::Country);
    let country = if country.absent { None } else { country.pick(&["NL", "DE", "FR", "US"], None)? };
    let Some(ip) = ip(&numbers(region, &Dim::Ip)) else { return Ok(None) };
    let phishing_resistant = flags.must("auth.phishing_resistant");
    let methods = match (phishing_resistant, flags.must("auth.mfa")) {
        (true, _) => vec![Method::Passkey],
        (false, true) => vec![Method::Password, Method::Totp],
        (false, false) => vec![Method::Password],
    };
    let age = Duration::from_secs(u64::try_from(age).unwrap_or(u64::MAX));
    let groups = region.sets().filter_map(|(dim, set)| match (dim, set) {
        (Dim::Group(name), Set::One(true)) => name.parse().ok(),
        _ => None,
    });
    let ask = Ask {
        request: "proof".parse().expect("a valid id"),
        who: Who {
            principal,
            groups: groups.collect(),
            auth: Some(Auth {
                session: "proof".parse().expect("a valid id"),
                methods: methods.into_iter().collect(),
                at: now - age,
                until: now + HOLDS,
            }),
        },
        what: What { app: env.app.id.clone(), action: env.action, method, path },
        place: Place { ip, network: (zone != OTHER).then_some(zone), country, device: device(&flags, now) },
        why,
        lock: None,
    };
    Ok(Some(Moment { ask, now }))
}

fn numbers(region: &Region, dim: &Dim) -> Numbers {
    match region.set(dim) {
        Set::Numbers(n) => n,
        _ => Numbers::of([]),
    }
}

fn texts(region: &Region, dim: &Dim) -> Texts {
    match region.set(dim) {
        Set::Texts(t) => t,
        _ => Texts::absent(),
    }
}

/// An instant that fits the clock, and at which a sign-in can be that old.
fn now(region: &Region, age: u128, world: World<'_>) -> Result<Option<Timestamp>, TooComplex> {
    let times = numbers(region, &Dim::Time).without(&Numbers::between(0, (age * 1_000).saturating_sub(1)));
    let times = if age == 0 { numbers(region, &Dim::Time) } else { times };
    let (weekdays, minutes) = (numbers(region, &Dim::Weekday), numbers(region, &Dim::Minute));
    let wanted = Wanted { times: &times, weekdays: &weekdays, minutes: &minutes };
    match instant::find(&wanted, world.zone, world.now) {
        Instant::At(at) => Ok(Some(at)),
        Instant::Never => Ok(None),
        Instant::Unknown => Err(TooComplex),
    }
}

/// What the access is for. Purpose and ticket come from the same source, and a grant always has a purpose.
fn why(region: &Region, flags: &Flags<'_>, now: Timestamp) -> Result<Option<Why>, TooComplex> {
    let (purposes, tickets) = (texts(region, &Dim::Purpose), texts(region, &Dim::Ticket));
    let granted = flags.must("granted");
    if purposes.absent && tickets.absent && !granted {
        return Ok(Some(Why::default()));
    }
    let Some(purpose) = purposes.pick(&["support", "review"], None)? else { return Ok(None) };
    let ticket = if tickets.absent { None } else { tickets.pick(&["T-1", "T-2"], None)? };
    if ticket.is_none() && !tickets.absent {
        return Ok(None);
    }
    Ok(Some(if granted {
        let id = "proof".parse().expect("a valid id");
        Why { stated: None, grant: Some(GrantFacts { id, purpose, ticket, from: now, until: now + HOLDS }) }
    } else {
        Why { stated: Some(Stated { purpose, ticket }), grant: None }
    }))
}

fn device(flags: &Flags<'_>, now: Timestamp) -> Option<DeviceFacts> {
    let passed: BTreeSet<Check> = CHECKS.into_iter().filter(|(name, _)| flags.must(name)).map(|(_, c)| c).collect();
    let (managed, compliant) = (flags.must("device.managed"), flags.must("device.compliant"));
    if !(flags.must("device.known") || managed || compliant || !passed.is_empty()) {
        return None;
    }
    // All checks at once leave nothing that could be missing.
    let compliant = compliant || passed.len() == CHECKS.len();
    let required =
        if compliant { passed.clone() } else { Check::ALL.into_iter().filter(|c| !passed.contains(c)).collect() };
    let reported = (compliant || !passed.is_empty()).then_some(now);
    Some(DeviceFacts {
        id: "some-device".parse().expect("a valid id"),
        managed,
        reported,
        max_age: HOLDS,
        passed,
        required,
    })
}

/// An asker whose id lies in the region, bound by the canaries that it names and by no other of them.
fn principal(region: &Region, is_person: bool) -> Result<Option<Principal>, TooComplex> {
    let canaries: Vec<(&RuleId, u8, bool)> = region
        .sets()
        .filter_map(|(dim, set)| match (dim, set) {
            (Dim::Canary(rule, share), Set::One(bound)) => Some((rule, *share, *bound)),
            _ => None,
        })
        .collect();
    // A larger share binds all whom a smaller one binds.
    let contradicts = |(a, small, bound): &(&RuleId, u8, bool)| {
        *bound && canaries.iter().any(|(b, large, other)| a == b && small <= large && !other)
    };
    if canaries.iter().any(contradicts) {
        return Ok(None);
    }
    let asker =
        |id: &str| if is_person { id.parse().map(Principal::Person) } else { id.parse().map(Principal::Workload) }.ok();
    let fits = |asker: &Principal| {
        canaries.iter().all(|(rule, share, bound)| Stage::Canary(*share).binds(rule, asker) == *bound)
    };
    match texts(region, &Dim::Id).present {
        Present::Only(ids) => Ok(ids.iter().filter_map(|id| asker(id)).find(fits)),
        Present::Except { not, .. } => {
            let name = if is_person { "somebody" } else { "some-workload" };
            let numbered = (2..MAX_ASKERS).map(|n| format!("{name}-{n}"));
            let mut ids = [name.to_owned()].into_iter().chain(numbered).filter(|id| !not.contains(id.as_str()));
            // Somebody is bound by any choice of canaries; whoever it is, nobody was found.
            ids.find_map(|id| asker(&id).filter(fits)).map(Some).ok_or(TooComplex)
        }
    }
}

fn ip(set: &Numbers) -> Option<std::net::IpAddr> {
    // Addresses that stand for nobody (RFC 5737, RFC 3849), so that an example never points at a real host.
    let liked = ["192.0.2.10", "198.51.100.7", "203.0.113.5", "10.0.0.10", "2001:db8::10"];
    let liked = liked.into_iter().filter_map(|t| t.parse().ok()).find(|a| set.contains(number(*a)));
    liked.or_else(|| {
        let v4 = set.intersection(&super::compile::network("0.0.0.0/0")?.0);
        v4.lowest().or_else(|| set.lowest()).map(address)
    })
}
