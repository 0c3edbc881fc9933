//! An ask in the numbers of the engine: the five Ws as the schema spells them, without one text left to compare.

use safeconduct_model::{Action, Ask, Principal};

use crate::engine::names::{Known, Names, Strange};
use crate::engine::request::{Asked, Facts, Slot};
use crate::engine::value::{EntityId, Net, Sym, Value};
use crate::engine::world::Row;
use crate::engine::{Engine, Prepared};
use crate::facts;

/// The names that every ask needs, numbered once for a snapshot.
pub(crate) struct Lens {
    person: Sym,
    workload: Sym,
    group: Sym,
    actions: [EntityId; Action::ALL.len()],
    record: Record,
}

/// The names of the context, in the order of [`Lens::fill`].
struct Record {
    auth: [Sym; 4],
    plain: [Sym; 8],
    device: [Sym; 9],
    net: [Sym; 4],
}

const AUTH: [&str; 4] = ["auth", "mfa", "phishing_resistant", "age"];
const PLAIN: [&str; 8] = ["method", "path", "time", "weekday", "minute", "granted", "purpose", "ticket"];
const DEVICE: [&str; 9] = [
    "device",
    "known",
    "managed",
    "compliant",
    "disk_encrypted",
    "endpoint_protection",
    "os_current",
    "firewall",
    "screen_lock",
];
const NET: [&str; 4] = ["net", "ip", "zone", "country"];

/// Where one path below the context gets its value from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Auth(usize),
    Plain(usize),
    Device(usize),
    Net(usize),
    /// A record as a whole, or a name that the schema does not know.
    Walk,
}

impl Lens {
    /// Numbers the names, before anything is compiled.
    pub(crate) fn new(names: &mut dyn Names) -> Self {
        Self {
            person: names.sym("Person"),
            workload: names.sym("Workload"),
            group: names.sym("Group"),
            actions: Action::ALL.map(|action| names.entity("Action", action.name())),
            record: Record {
                auth: AUTH.map(|n| names.sym(n)),
                plain: PLAIN.map(|n| names.sym(n)),
                device: DEVICE.map(|n| names.sym(n)),
                net: NET.map(|n| names.sym(n)),
            },
        }
    }

    /// Where the paths that the rules read get their values from.
    pub(crate) fn sources(&self, engine: &Engine) -> Vec<Source> {
        let inside = |names: &[Sym], name: Sym| names.iter().skip(1).position(|n| *n == name);
        let record = &self.record;
        let source = |path: &[Sym]| match path {
            [name] => record.plain.iter().position(|n| n == name).map(Source::Plain),
            [head, name] if *head == record.auth[0] => inside(&record.auth, *name).map(Source::Auth),
            [head, name] if *head == record.device[0] => inside(&record.device, *name).map(Source::Device),
            [head, name] if *head == record.net[0] => inside(&record.net, *name).map(Source::Net),
            _ => None,
        };
        engine.paths().iter().map(|path| source(path).unwrap_or(Source::Walk)).collect()
    }

    fn action(&self, action: Action) -> EntityId {
        let at = Action::ALL.iter().position(|a| *a == action).expect("`ALL` names every action");
        self.actions[at]
    }
}

/// An ask, numbered; its facts are those of one instant.
pub(crate) struct View<'s> {
    prepared: Prepared<'s>,
    lens: &'s Lens,
    sources: &'s [Source],
    whole: bool,
}

impl<'s> View<'s> {
    /// Numbers an ask about an application; nothing if nobody asks.
    pub(crate) fn of(
        engine: &'s Engine,
        lens: &'s Lens,
        sources: &'s [Source],
        ask: &Ask,
        app: EntityId,
    ) -> Option<Self> {
        let known = engine.names();
        let mut strange = Strange::behind(known);
        let (kind, id) = match &ask.who.principal {
            Principal::Person(id) => (lens.person, id.as_str()),
            Principal::Workload(id) => (lens.workload, id.as_str()),
            Principal::Nobody => return None,
        };
        let principal = strange.entity(known, kind, id);
        let asked = Asked { principal, action: lens.action(ask.what.action), resource: app };
        // A group that no rule names changes nothing.
        let groups = ask.who.groups.iter().filter_map(|g| known.find_entity(lens.group, g.as_str()));
        let mut ancestors: Box<[EntityId]> = groups.collect();
        ancestors.sort_unstable();
        let mut facts = Facts::new(asked, Value::Record(std::sync::Arc::default()), strange);
        facts.own.push((principal, Row { ancestors, ..Row::default() }));
        let whole = engine.reads_whole_context() || sources.iter().any(|s| matches!(s, Source::Walk));
        Some(Self { prepared: Prepared::of(engine, asked, facts), lens, sources, whole })
    }

    /// The rules that may speak, by their numbers.
    pub(crate) fn candidates(&self, found: &mut Vec<u32>) {
        self.prepared.candidates(found);
    }

    /// The view at one instant.
    pub(crate) fn at(&mut self, facts: &facts::Facts) -> &Prepared<'s> {
        let (engine, numbered) = self.prepared.parts();
        let known = engine.names();
        if self.whole {
            numbered.context = self.lens.record(known, &mut numbered.strange, facts);
        }
        let mut slots = std::mem::take(&mut numbered.slots);
        slots.clear();
        for (source, path) in self.sources.iter().zip(engine.paths()) {
            slots.push(match source {
                Source::Auth(n) => auth(*n, facts),
                Source::Plain(n) => plain(*n, facts, &mut |text| numbered.strange.sym(known, text)),
                Source::Device(n) => facts.device.get(*n).map_or(Slot::Absent, |(_, held)| bool(*held)),
                Source::Net(n) => net(*n, facts, &mut |text| numbered.strange.sym(known, text)),
                Source::Walk => engine.walk(numbered, path),
            });
        }
        numbered.slots = slots;
        &self.prepared
    }
}

fn bool(held: bool) -> Slot {
    Slot::Is(Value::Bool(held))
}

fn long(n: i64) -> Slot {
    Slot::Is(Value::Long(n))
}

fn auth(n: usize, facts: &facts::Facts) -> Slot {
    match n {
        0 => bool(facts.mfa),
        1 => bool(facts.phishing_resistant),
        2 => long(facts.auth_age),
        _ => Slot::Absent,
    }
}

fn plain(n: usize, facts: &facts::Facts, sym: &mut dyn FnMut(&str) -> Sym) -> Slot {
    let mut text = |t: Option<&str>| t.map_or(Slot::Absent, |t| Slot::Is(Value::Text(sym(t))));
    match n {
        0 => text(Some(&facts.method)),
        1 => text(Some(&facts.path)),
        2 => long(facts.time),
        3 => long(facts.weekday),
        4 => long(facts.minute),
        5 => bool(facts.granted),
        6 => text(facts.purpose.as_deref()),
        7 => text(facts.ticket.as_deref()),
        _ => Slot::Absent,
    }
}

fn net(n: usize, facts: &facts::Facts, sym: &mut dyn FnMut(&str) -> Sym) -> Slot {
    let mut text = |t: Option<&str>| t.map_or(Slot::Absent, |t| Slot::Is(Value::Text(sym(t))));
    match n {
        0 => Slot::Is(Value::Ip(Net::one(facts.ip))),
        1 => text(Some(&facts.zone)),
        2 => text(facts.country.as_deref()),
        _ => Slot::Absent,
    }
}

impl Lens {
    /// The context as one record, for the rare rule that reads it as a whole.
    fn record(&self, known: &Known, strange: &mut Strange, facts: &facts::Facts) -> Value {
        let mut sym = |text: &str| strange.sym(known, text);
        let record = &self.record;
        let mut fields = Vec::new();
        let inner = |names: &[Sym], slots: &mut dyn FnMut(usize) -> Slot| {
            let named = names.iter().skip(1).enumerate();
            Value::record(named.filter_map(|(n, name)| slots(n).value().map(|v| (*name, v))).collect())
        };
        fields.push((record.auth[0], inner(&record.auth, &mut |n| auth(n, facts))));
        fields.push((record.net[0], inner(&record.net, &mut |n| net(n, facts, &mut sym))));
        let device = |n: usize| facts.device.get(n).map_or(Slot::Absent, |(_, held)| bool(*held));
        fields.push((record.device[0], inner(&record.device, &mut |n| device(n))));
        for (n, name) in record.plain.iter().enumerate() {
            fields.extend(plain(n, facts, &mut sym).value().map(|v| (*name, v)));
        }
        Value::record(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_facts_stand_in_the_order_of_their_names() {
        let text = r#"{"request":"r","who":{"principal":{"person":"ann"}},"what":{"app":"a","action":"read","method":"GET",
            "path":"/"},"place":{"ip":"10.0.0.1"}}"#;
        let ask: Ask = serde_json::from_str(text).expect("the text is an ask");
        let facts = facts::Facts::of(&ask, safeconduct_model::Timestamp::MAX, &jiff::tz::TimeZone::UTC);
        let names: Vec<&str> = facts.device.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, &DEVICE[1..]);
    }
}
