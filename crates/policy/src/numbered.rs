//! The parts of an ask in the numbers of the engine. Numbering reads the texts once; after that an instant is filled in
//! without one text left to compare.

use std::net::IpAddr;
use std::sync::Arc;

use safeconduct_model::{self as model, Action, Check, Duration, Principal, Timestamp};

use crate::calendar::Calendar;
use crate::engine::names::{Known, Names, Number};
use crate::engine::request::{Asked, Slot};
use crate::engine::value::{EntityId, Net, Sym, Value};
use crate::engine::world::Row;
use crate::engine::{Engine, Prepared};
use crate::facts::OTHER_NETWORK;

/// The names that every ask needs, numbered once for a snapshot.
pub(crate) struct Lens {
    person: Sym,
    workload: Sym,
    group: Sym,
    actions: [EntityId; Action::ALL.len()],
    auth: [Sym; 4],
    plain: [Sym; 8],
    device: [Sym; 9],
    net: [Sym; 4],
}

const AUTH: [&str; 4] = ["auth", "mfa", "phishing_resistant", "age"];
const PLAIN: [&str; 8] = ["method", "path", "time", "weekday", "minute", "granted", "purpose", "ticket"];
const NET: [&str; 4] = ["net", "ip", "zone", "country"];
/// The checks, in the order in which the schema names them behind `known`, `managed` and `compliant`.
const CHECKS: [Check; 5] =
    [Check::DiskEncrypted, Check::EndpointProtection, Check::OsCurrent, Check::Firewall, Check::ScreenLock];

/// Where one path below the context gets its value from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Auth(usize),
    Plain(usize),
    Device(usize),
    Net(usize),
    /// A record as a whole, or a name that the schema does not know.
    Walk,
}

/// Who asks.
pub(crate) struct Who {
    pub principal: EntityId,
    /// The groups that some rule names, sorted.
    groups: Arc<[EntityId]>,
    mfa: bool,
    phishing_resistant: bool,
}

/// What for, as far as texts go.
pub(crate) struct What {
    action: EntityId,
    method: Sym,
    path: Sym,
}

/// From where.
pub(crate) struct Place {
    ip: IpAddr,
    zone: Sym,
    country: Option<Sym>,
    device: Option<Device>,
}

struct Device {
    managed: bool,
    /// Beside [`CHECKS`].
    passed: [bool; CHECKS.len()],
    complies: bool,
    max_age: Duration,
}

/// Why.
pub(crate) struct Why {
    stated: Option<Purpose>,
    grant: Option<(Timestamp, Timestamp, Purpose)>,
}

#[derive(Clone, Copy)]
struct Purpose {
    purpose: Sym,
    ticket: Option<Sym>,
}

/// What differs from one instant to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub now: Timestamp,
    /// When the identity was proven.
    pub proven: Timestamp,
    /// When the device reported.
    pub reported: Option<Timestamp>,
}

impl Lens {
    /// Numbers the names, before anything is compiled.
    pub(crate) fn new(names: &mut dyn Names) -> Self {
        let checks = CHECKS.map(Check::name);
        let device = ["device", "known", "managed", "compliant", checks[0], checks[1], checks[2], checks[3], checks[4]];
        Self {
            person: names.sym("Person"),
            workload: names.sym("Workload"),
            group: names.sym("Group"),
            actions: Action::ALL.map(|action| names.entity("Action", action.name())),
            auth: AUTH.map(|n| names.sym(n)),
            plain: PLAIN.map(|n| names.sym(n)),
            device: device.map(|n| names.sym(n)),
            net: NET.map(|n| names.sym(n)),
        }
    }

    /// Where the paths that the rules read get their values from.
    pub(crate) fn sources(&self, engine: &Engine) -> Vec<Source> {
        let inside = |names: &[Sym], name: Sym| names.iter().skip(1).position(|n| *n == name);
        let source = |path: &[Sym]| match path {
            [name] => self.plain.iter().position(|n| n == name).map(Source::Plain),
            [head, name] if *head == self.auth[0] => inside(&self.auth, *name).map(Source::Auth),
            [head, name] if *head == self.device[0] => inside(&self.device, *name).map(Source::Device),
            [head, name] if *head == self.net[0] => inside(&self.net, *name).map(Source::Net),
            _ => None,
        };
        engine.paths().iter().map(|path| source(path).unwrap_or(Source::Walk)).collect()
    }

    /// Nothing if nobody asks.
    pub(crate) fn who(&self, who: &model::Who, known: &Known, names: &mut dyn Number) -> Option<Who> {
        let (kind, id) = match &who.principal {
            Principal::Person(id) => (self.person, id.as_str()),
            Principal::Workload(id) => (self.workload, id.as_str()),
            Principal::Nobody => return None,
        };
        // A group that no rule names changes nothing.
        let groups = who.groups.iter().filter_map(|g| known.find_entity(self.group, g.as_str()));
        let mut groups: Vec<EntityId> = groups.collect();
        groups.sort_unstable();
        Some(Who {
            principal: names.entity(kind, id),
            groups: groups.into(),
            mfa: who.auth.as_ref().is_some_and(model::Auth::is_mfa),
            phishing_resistant: who.auth.as_ref().is_some_and(model::Auth::is_phishing_resistant),
        })
    }

    pub(crate) fn what(&self, what: &model::What, names: &mut dyn Number) -> What {
        let action = Action::ALL.iter().position(|a| *a == what.action).expect("`ALL` names every action");
        What { action: self.actions[action], method: names.sym(&what.method), path: names.sym(&what.path) }
    }
}

impl Place {
    pub(crate) fn of(place: &model::Place, names: &mut dyn Number) -> Self {
        let device = place.device.as_ref().map(|d| Device {
            managed: d.managed,
            passed: CHECKS.map(|check| d.passed.contains(&check)),
            complies: d.required.is_subset(&d.passed),
            max_age: d.max_age,
        });
        Self {
            ip: place.ip,
            zone: names.sym(place.network.as_deref().unwrap_or(OTHER_NETWORK)),
            country: place.country.as_deref().map(|c| names.sym(c)),
            device,
        }
    }
}

impl Why {
    pub(crate) fn of(why: &model::Why, names: &mut dyn Number) -> Self {
        let mut purpose = |purpose: &str, ticket: Option<&str>| Purpose {
            purpose: names.sym(purpose),
            ticket: ticket.map(|t| names.sym(t)),
        };
        Self {
            stated: why.stated.as_ref().map(|s| purpose(&s.purpose, s.ticket.as_deref())),
            grant: why.grant.as_ref().map(|g| (g.from, g.until, purpose(&g.purpose, g.ticket.as_deref()))),
        }
    }
}

/// The parts of one ask, at one instant.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'p> {
    pub who: &'p Who,
    pub what: &'p What,
    pub place: &'p Place,
    pub why: &'p Why,
    pub when: When,
}

impl Lens {
    /// Puts a scene into a request to the engine.
    pub(crate) fn fill(
        &self,
        prepared: &mut Prepared<'_>,
        app: EntityId,
        scene: Scene<'_>,
        calendar: &Calendar,
        sources: &[Source],
    ) {
        let Scene { who, what, when, .. } = scene;
        let engine = prepared.ask(Asked { principal: who.principal, action: what.action, resource: app });
        let moment = Moment::of(scene, calendar);
        let whole = engine.reads_whole_context() || sources.iter().any(|s| matches!(s, Source::Walk));
        let facts = prepared.facts_mut();
        let row = Row { ancestors: Arc::clone(&who.groups), ..Row::default() };
        match facts.own.first_mut() {
            Some(own) => *own = (who.principal, row),
            None => facts.own.push((who.principal, row)),
        }
        if whole {
            facts.context = self.record(scene, &moment);
        }
        let mut slots = std::mem::take(&mut facts.slots);
        slots.clear();
        for (source, path) in sources.iter().zip(engine.paths()) {
            slots.push(match source {
                Source::Auth(n) => auth(*n, who, when),
                Source::Plain(n) => plain(*n, what, when, &moment),
                Source::Device(n) => device(*n, scene.place, &moment),
                Source::Net(n) => net(*n, scene.place),
                Source::Walk => engine.walk(facts, path),
            });
        }
        facts.slots = slots;
    }

    /// The context as one record, for the rare rule that reads it as a whole.
    fn record(&self, scene: Scene<'_>, moment: &Moment) -> Value {
        let inner = |names: &[Sym], slot: &dyn Fn(usize) -> Slot| {
            let named = names.iter().skip(1).enumerate();
            Value::record(named.filter_map(|(n, name)| slot(n).value().map(|v| (*name, v))).collect())
        };
        let Scene { who, what, place, when, .. } = scene;
        let mut fields = vec![
            (self.auth[0], inner(&self.auth, &|n| auth(n, who, when))),
            (self.net[0], inner(&self.net, &|n| net(n, place))),
            (self.device[0], inner(&self.device, &|n| device(n, place, moment))),
        ];
        for (n, name) in self.plain.iter().enumerate() {
            fields.extend(plain(n, what, when, moment).value().map(|v| (*name, v)));
        }
        Value::record(fields)
    }
}

/// What the clock makes of a scene.
struct Moment {
    weekday: i64,
    minute: i64,
    fresh: bool,
    granted: bool,
    purpose: Option<Purpose>,
}

impl Moment {
    fn of(scene: Scene<'_>, calendar: &Calendar) -> Self {
        let When { now, reported, .. } = scene.when;
        let local = calendar.local(now);
        let max_age = scene.place.device.as_ref().map(|d| d.max_age);
        let live = scene.why.grant.as_ref().filter(|(from, until, _)| *from <= now && now < *until);
        Self {
            weekday: local.weekday,
            minute: local.minute,
            fresh: reported.zip(max_age).is_some_and(|(at, max_age)| now < at + max_age),
            granted: live.is_some(),
            purpose: live.map(|(_, _, purpose)| *purpose).or(scene.why.stated),
        }
    }
}

fn bool(held: bool) -> Slot {
    Slot::Is(Value::Bool(held))
}

fn long(n: i64) -> Slot {
    Slot::Is(Value::Long(n))
}

fn text(sym: Option<Sym>) -> Slot {
    sym.map_or(Slot::Absent, |sym| Slot::Is(Value::Text(sym)))
}

fn auth(n: usize, who: &Who, when: When) -> Slot {
    match n {
        0 => bool(who.mfa),
        1 => bool(who.phishing_resistant),
        2 => long(i64::try_from(when.now.since(when.proven).secs()).unwrap_or(i64::MAX)),
        _ => Slot::Absent,
    }
}

fn plain(n: usize, what: &What, when: When, moment: &Moment) -> Slot {
    match n {
        0 => text(Some(what.method)),
        1 => text(Some(what.path)),
        2 => long(when.now.millis()),
        3 => long(moment.weekday),
        4 => long(moment.minute),
        5 => bool(moment.granted),
        6 => text(moment.purpose.map(|p| p.purpose)),
        7 => text(moment.purpose.and_then(|p| p.ticket)),
        _ => Slot::Absent,
    }
}

fn device(n: usize, place: &Place, moment: &Moment) -> Slot {
    let Some(device) = &place.device else { return bool(false) };
    match n {
        0 => bool(true),
        1 => bool(device.managed),
        2 => bool(moment.fresh && device.complies),
        _ => n.checked_sub(3).and_then(|n| device.passed.get(n)).map_or(Slot::Absent, |p| bool(moment.fresh && *p)),
    }
}

fn net(n: usize, place: &Place) -> Slot {
    match n {
        0 => Slot::Is(Value::Ip(Net::one(place.ip))),
        1 => text(Some(place.zone)),
        2 => text(place.country),
        _ => Slot::Absent,
    }
}
