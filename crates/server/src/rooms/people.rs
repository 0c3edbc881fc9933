//! People and devices: everything about one, and all of them in a list.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_console::Trouble;
use safeconduct_console::view::{CheckResult, Device, DeviceRow, Fact, Link, Person, PersonRow};
use safeconduct_model::{Check, DeviceFacts, DeviceId, LockTarget, Method, PersonId, Principal, Timestamp};

use crate::devices::{self, Proof};
use crate::house::House;
use crate::rooms::digest::day_of;
use crate::rooms::five::method;
use crate::rooms::links::{Naming, count, plural};
use crate::rooms::locks;
use crate::rooms::map::usage;
use crate::rooms::things::{RECENT, configured};
use crate::rooms::watch::{self, Wanted};
use crate::rooms::{Rooms, WINDOW_DAYS, not_found, window};

/// The ways to sign in that are set up in an account.
fn methods(summary: &safeconduct_directory::Summary) -> BTreeSet<Method> {
    let set = [
        (summary.password, Method::Password),
        (summary.totp, Method::Totp),
        (!summary.passkeys.is_empty(), Method::Passkey),
    ];
    set.into_iter().filter(|(has, _)| *has).map(|(_, m)| m).collect()
}

fn person_row(house: &House, person: &safeconduct_model::Person, devices: u64, last: Option<Timestamp>) -> PersonRow {
    PersonRow {
        id: person.id.clone(),
        name: person.name.clone(),
        groups: person.groups.iter().map(|g| house.group(g)).collect(),
        active: person.active,
        methods: methods(&house.accounts.summary(&person.id)),
        devices,
        sessions: count(house.sessions().of(&person.id).len()),
        last,
    }
}

/// Every person.
pub(crate) async fn people(rooms: &Rooms) -> Result<Vec<PersonRow>, Trouble> {
    let seen = rooms.digest(|digest| digest.people.clone()).await?;
    let house = &rooms.house;
    let current = house.current();
    let mut owned: BTreeMap<PersonId, u64> = BTreeMap::new();
    for owner in house.devices().all().filter_map(|d| d.owner.as_ref()) {
        *owned.entry(owner.clone()).or_default() += 1;
    }
    let row = |p: &safeconduct_model::Person| {
        person_row(house, p, owned.get(&p.id).copied().unwrap_or(0), seen.get(&p.id).copied())
    };
    Ok(current.config.estate.people.values().map(row).collect())
}

/// One person.
pub(crate) async fn person(rooms: &Rooms, id: &PersonId) -> Result<Person, Trouble> {
    let house = &rooms.house;
    let current = house.current();
    let estate = &current.config.estate;
    let person = estate.people.get(id).ok_or_else(not_found)?;
    let (wanted, since) = (id.clone(), day_of(window(house.now(), WINDOW_DAYS)));
    let (last, last_by_device, uses) = rooms
        .digest(move |digest| {
            let who = Principal::Person(wanted.clone());
            let uses: Vec<_> =
                digest.uses(since).into_iter().filter(|(u, _)| u.who == who).map(|(u, c)| (u.app.clone(), c)).collect();
            (digest.people.get(&wanted).copied(), digest.devices.clone(), uses)
        })
        .await?;
    let wanted = Wanted { person: Some(id.clone()), limit: RECENT, ..Wanted::default() };
    let (verdicts, _) = watch::verdicts(house, &wanted).await?;
    let of_person = |c: &safeconduct_store::CutRow| c.principal.person() == Some(id);
    let cuts = watch::cuts(house, of_person).await?;
    let now = house.now();
    let devices: Vec<devices::Device> =
        house.devices().all().filter(|d| d.owner.as_ref() == Some(id)).cloned().collect();
    let row =
        |d: &devices::Device| device_row(&**house, d, &facts_of(house, d), last_by_device.get(&d.id).copied(), now);
    Ok(Person {
        row: person_row(house, person, count(devices.len()), last),
        facts: person_facts(house, person),
        usage: usage(uses.iter().map(|(app, counts)| (house.app(app), *counts)).collect()),
        devices: devices.iter().map(row).collect(),
        sessions: watch::sessions(house, |s| s.person == *id),
        verdicts,
        cuts,
    })
}

fn person_facts(house: &House, person: &safeconduct_model::Person) -> Vec<Fact> {
    let current = house.current();
    let estate = &current.config.estate;
    let mut facts = vec![
        configured("state", Link::plain(if person.active { "active" } else { "not active: may do nothing" })),
        configured("mail", Link::plain(person.email.clone().unwrap_or_else(|| "none".to_owned()))),
    ];
    let all = estate.groups_of(&person.id).unwrap_or_default();
    facts.extend(locks::facts(house, &LockTarget::Person(person.id.clone())));
    for group in &all {
        facts.extend(locks::facts(house, &LockTarget::Group(group.clone())));
    }
    for group in all.difference(&person.groups) {
        facts.push(configured("group, through another", house.group(group)));
    }
    for passkey in house.accounts.summary(&person.id).passkeys {
        facts.push(Fact {
            name: "passkey".to_owned(),
            value: Link::plain(passkey.name),
            source: "account".to_owned(),
            since: Some(passkey.created),
        });
    }
    let for_them = |g: &&safeconduct_access::Grant| match &g.to {
        safeconduct_access::Grantee::Person(p) => *p == person.id,
        safeconduct_access::Grantee::Group(g) => all.contains(g),
    };
    for grant in estate.grants.iter().filter(for_them) {
        let app = house.app(&grant.app);
        facts.push(Fact {
            name: format!("grant {}, until {}", grant.id, grant.until),
            value: Link { text: format!("{} for {}", app.text, grant.purpose), href: app.href },
            source: format!("configuration, by {}", house.person(&grant.by).text),
            since: Some(grant.from),
        });
    }
    facts
}

/// The facts of a device, as verdicts read them.
pub(crate) fn facts_of(house: &House, device: &devices::Device) -> DeviceFacts {
    let current = house.current();
    let settings = &current.config.settings;
    device.facts(&settings.required_checks, settings.report_max_age)
}

fn device_row(
    names: &dyn Naming,
    device: &devices::Device,
    facts: &DeviceFacts,
    last: Option<Timestamp>,
    now: Timestamp,
) -> DeviceRow {
    DeviceRow {
        id: device.id.clone(),
        name: device.name.clone(),
        owner: device.owner.as_ref().map(|o| names.person(o)),
        managed: device.managed,
        compliant: facts.is_compliant(now),
        reported: facts.reported,
        failing: facts.failing(now),
        last,
    }
}

/// Every device.
pub(crate) async fn devices(rooms: &Rooms) -> Result<Vec<DeviceRow>, Trouble> {
    let used = rooms.digest(|digest| digest.devices.clone()).await?;
    let (house, now) = (&rooms.house, rooms.house.now());
    let all: Vec<devices::Device> = house.devices().all().cloned().collect();
    Ok(all.iter().map(|d| device_row(&**house, d, &facts_of(house, d), used.get(&d.id).copied(), now)).collect())
}

/// One device.
pub(crate) async fn device(rooms: &Rooms, id: &DeviceId) -> Result<Device, Trouble> {
    let (house, now) = (&rooms.house, rooms.house.now());
    let device = house.devices().get(id).cloned().ok_or_else(not_found)?;
    let wanted = id.clone();
    let last = rooms.digest(move |digest| digest.devices.get(&wanted).copied()).await?;
    let recent = Wanted { device: Some(id.clone()), limit: RECENT, ..Wanted::default() };
    let (verdicts, _) = watch::verdicts(house, &recent).await?;
    let facts = facts_of(house, &device);
    let check = |check: Check| CheckResult {
        check,
        passes: facts.passes(check, now),
        required: facts.required.contains(&check),
    };
    Ok(Device {
        row: device_row(&**house, &device, &facts, last, now),
        facts: [device_facts(&**house, &device), locks::facts(house, &LockTarget::Device(id.clone()))].concat(),
        checks: Check::ALL.into_iter().map(check).collect(),
        fresh_until: facts.fresh_until(),
        sessions: watch::sessions(house, |s| s.device.as_ref() == Some(id)),
        verdicts,
    })
}

fn device_facts(names: &dyn Naming, device: &devices::Device) -> Vec<Fact> {
    let fact = |name: &str, value: Link, source: &str, since: Option<Timestamp>| Fact {
        name: name.to_owned(),
        value,
        source: source.to_owned(),
        since,
    };
    let enrolled = Some(device.enrolled);
    let proof = match device.proof {
        Proof::Certificate => format!("{} on every connection", method(Method::Certificate)),
        Proof::Browser => "a key of the browser, at sign-in and step-up".to_owned(),
    };
    let owner = device.owner.as_ref().map_or_else(|| Link::plain("nobody named"), |o| names.person(o));
    let managed = if device.managed { "managed by the organisation" } else { "known, not managed" };
    let report = device.report.as_ref();
    let passed = report.map_or_else(
        || "it never reported".to_owned(),
        |r| plural(count(r.passed.len()), "check passed", "checks passed"),
    );
    vec![
        fact("of", owner, "enrolment", enrolled),
        fact("management", Link::plain(managed), "enrolment", enrolled),
        fact("proves itself by", Link::plain(proof), "enrolment", enrolled),
        fact("last report", Link::plain(passed), "signed posture report", report.map(|r| r.at)),
    ]
}
