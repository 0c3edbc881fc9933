//! Search: who may, what may one, which actions. From the permits' anchors backwards to candidates, each verified by
//! [`Prepared::decide`]; a row that was not verified is never returned.

use std::collections::{BTreeSet, HashMap};

use super::decide::{Engine, Mode, Outcome, Prepared, Scratch};
use super::index::Key;
use super::value::{EntityId, Sym, Value};

/// Which side of a request is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Who may do this?
    Principal,
    /// What may be done?
    Action,
    /// To what may it be done?
    Resource,
}

/// What is sought, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Quest<'q> {
    /// Which side; what stands there in the request does not matter.
    pub sought: Sought,
    /// The type that the results have.
    pub kind: &'q str,
    /// Only ids behind this one; ids are ordered by their bytes.
    pub after: Option<&'q str>,
    /// At most so many results.
    pub limit: usize,
    /// At most so many candidates are looked at, so that one question cannot hold a thread for long.
    pub looks: usize,
}

/// A page of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The ids, in order.
    pub ids: Vec<String>,
    /// Where to go on, if candidates are left.
    pub next: Option<String>,
}

/// The entities of one engine by type, who is below whom, and its permits by what they are anchored at.
pub struct Directory {
    /// Every entity that the engine knows, described or only named, by type and in the order of ids.
    by_kind: HashMap<Sym, Vec<EntityId>>,
    below: HashMap<EntityId, Vec<EntityId>>,
    permits: Vec<Key>,
    by_resource: HashMap<Option<EntityId>, Vec<u32>>,
    by_principal: HashMap<Option<EntityId>, Vec<u32>>,
}

/// What a question may be answered with.
enum Candidates {
    /// Every entity of the type.
    All,
    Some(BTreeSet<EntityId>),
}

impl Directory {
    /// Walks over an engine once. It fits this engine only.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        let (names, world) = (&engine.land.names, &engine.land.world);
        let mut by_kind: HashMap<Sym, Vec<EntityId>> = HashMap::new();
        let mut below: HashMap<EntityId, Vec<EntityId>> = HashMap::new();
        for (entity, kind) in names.entities() {
            by_kind.entry(kind).or_default().push(entity);
            for above in world.ancestors(entity) {
                below.entry(*above).or_default().push(entity);
            }
        }
        for entities in by_kind.values_mut() {
            entities.sort_unstable_by_key(|e| names.id(*e));
        }
        let permits: Vec<Key> = engine.permits.keys().collect();
        let mut by_resource: HashMap<_, Vec<u32>> = HashMap::new();
        let mut by_principal: HashMap<_, Vec<u32>> = HashMap::new();
        for (key, at) in permits.iter().zip(0_u32..) {
            by_resource.entry(key.resource).or_default().push(at);
            by_principal.entry(key.principal).or_default().push(at);
        }
        Self { by_kind, below, permits, by_resource, by_principal }
    }
}

impl Engine {
    /// The ids of one type for which a request is permitted without an error, in order. `prepared` is of this engine, and
    /// `directory` too.
    pub fn search(&self, directory: &Directory, prepared: &mut Prepared<'_>, quest: Quest<'_>) -> Found {
        let names = &self.land.names;
        let Some(all) = names.known(quest.kind).and_then(|kind| directory.by_kind.get(&kind)) else {
            return Found::default();
        };
        let start = quest.after.map_or(0, |after| all.partition_point(|e| names.id(*e) <= Some(after)));
        let ordered = all.get(start..).unwrap_or_default();
        let candidates = self.candidates(directory, prepared, quest.sought);
        let may = |entity: &EntityId| match &candidates {
            Candidates::All => true,
            Candidates::Some(some) => some.contains(entity),
        };
        let (mut found, mut looks, mut scratch) = (Found::default(), 0, Scratch::default());
        let mut last = None;
        for entity in ordered.iter().copied().filter(may) {
            if found.ids.len() == quest.limit || looks == quest.looks {
                found.next = last.and_then(|e| names.id(e)).map(str::to_owned);
                return found;
            }
            looks += 1;
            last = Some(entity);
            let Some(id) = names.id(entity) else { continue };
            if prepared.turn(quest.sought, entity, quest.kind, id) && prepared.permits(&mut scratch) {
                found.ids.push(id.to_owned());
            }
        }
        found
    }

    /// Everything that a permit may speak about, and perhaps more.
    fn candidates(&self, directory: &Directory, prepared: &Prepared<'_>, sought: Sought) -> Candidates {
        let (asked, world) = (prepared.asked, &self.land.world);
        let (fixed, rules) = match sought {
            Sought::Action => return Candidates::All,
            Sought::Principal => (asked.resource, &directory.by_resource),
            Sought::Resource => (asked.principal, &directory.by_principal),
        };
        let mut some = BTreeSet::new();
        let anchors = [None, Some(fixed)].into_iter().chain(world.ancestors(fixed).iter().copied().map(Some));
        for at in anchors.filter_map(|anchor| rules.get(&anchor)).flatten() {
            let Some(key) = directory.permits.get(*at as usize) else { continue };
            if key.action.is_some_and(|action| !world.is_in(asked.action, action)) {
                continue;
            }
            let anchor = if sought == Sought::Principal { key.principal } else { key.resource };
            let Some(anchor) = anchor else { return Candidates::All };
            if some.insert(anchor) {
                some.extend(directory.below.get(&anchor).into_iter().flatten());
            }
        }
        Candidates::Some(some)
    }
}

impl Prepared<'_> {
    /// Asks about another entity on one side. Says whether that can be asked.
    fn turn(&mut self, side: Sought, entity: EntityId, kind: &str, id: &str) -> bool {
        let slot = match side {
            Sought::Principal => {
                self.asked.principal = entity;
                self.facts.principal = Value::Entity(entity);
                0
            }
            Sought::Action => {
                self.asked.action = entity;
                self.facts.action = Value::Entity(entity);
                1
            }
            Sought::Resource => {
                self.asked.resource = entity;
                self.facts.resource = Value::Entity(entity);
                2
            }
        };
        self.refill();
        if let Some(original) = &self.original {
            self.original = original.turned(slot, kind, id);
            return self.original.is_some();
        }
        true
    }

    /// Whether it is permitted, and every rule about it could be evaluated.
    fn permits(&self, scratch: &mut Scratch) -> bool {
        self.decide(Mode::Exhaustive, scratch) == Outcome::Permit && scratch.is_clean()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::engine::{Cedar, Entities, Request, Rules};

    const PEOPLE: usize = 9;
    const THINGS: usize = 7;

    fn uid(kind: &str, n: usize) -> Json {
        json!({ "type": kind, "id": format!("{}{n}", kind.to_lowercase()) })
    }

    /// People in groups, things in folders; the numbers say who is below whom, and a cycle cannot arise.
    fn entities(parents: &[usize]) -> Entities {
        let mut all = Vec::new();
        for n in 0..PEOPLE {
            let (group, above) = (parents[n] % 4, parents[n + PEOPLE] % 4);
            let attrs = if n % 3 == 0 { json!({}) } else { json!({ "level": n % 3 }) };
            all.push(json!({ "uid": uid("User", n), "attrs": attrs, "parents": [uid("Group", group)] }));
            if n < 4 {
                let above: Vec<Json> = (above > n).then(|| uid("Group", above)).into_iter().collect();
                all.push(json!({ "uid": uid("Group", n), "attrs": {}, "parents": above }));
            }
        }
        for (n, parent) in parents.iter().enumerate().take(THINGS) {
            let folder = parent / 4 % 3;
            all.push(
                json!({ "uid": uid("Thing", n), "attrs": { "owner": { "__entity": uid("User", parent % PEOPLE) } },
                "parents": [uid("Folder", folder)] }),
            );
        }
        Entities::parse(&json!(all).to_string(), None).unwrap()
    }

    /// A rule by numbers: whom, what, to what, under which condition.
    fn rule((forbids, who, what, which, when): (bool, usize, usize, usize, usize)) -> String {
        let principal = match who % 8 {
            0 => "principal".to_owned(),
            1 => "principal is User".to_owned(),
            2 => format!("principal == User::\"user{}\"", who / 8 % PEOPLE),
            3 => "principal == User::\"stranger\"".to_owned(),
            n => format!("principal in Group::\"group{}\"", n % 4),
        };
        let action = ["action", "action == Action::\"a\"", "action in [Action::\"a\", Action::\"b\"]"][what % 3];
        let resource = match which % 6 {
            0 => "resource".to_owned(),
            1 => "resource is Thing".to_owned(),
            2 => format!("resource == Thing::\"thing{}\"", which / 6 % THINGS),
            n => format!("resource in Folder::\"folder{}\"", n % 3),
        };
        let condition = [
            "true",
            "principal has level && principal.level > 1",
            "resource has owner && resource.owner == principal",
            "principal.level == 1",
            "context.open",
        ][when % 5];
        let effect = if forbids { "forbid" } else { "permit" };
        format!("{effect}({principal}, {action}, {resource}) when {{ {condition} }};")
    }

    fn ask(sides: [Json; 3], stated: &Option<i64>) -> Request {
        let [principal, action, resource] = sides;
        let json =
            json!({ "principal": principal, "action": action, "resource": resource, "context": { "open": true } });
        let properties = stated.map(|level| json!({ "level": level }));
        Request::from_json(&json, None).unwrap().with_properties(properties, None).unwrap()
    }

    proptest! {
        #[test]
        fn search_finds_exactly_what_asking_one_by_one_finds(
            parents in prop::collection::vec(0_usize..12, 2 * PEOPLE),
            rules in prop::collection::vec((prop::bool::weighted(0.15), 0_usize..80, 0_usize..3, 0_usize..60, 0_usize..5), 0..9),
            side in 0_usize..3, person in 0_usize..PEOPLE + 2, thing in 0_usize..THINGS + 2, limit in 1_usize..5,
            stated in prop::option::of(0_i64..3),
        ) {
            let mut set = Rules::default();
            for numbers in rules {
                set.add_text(&rule(numbers)).unwrap();
            }
            let entities = entities(&parents);
            let engine = Engine::compile(&set, &entities).unwrap();
            let directory = Directory::of(&engine);
            let sides = [uid("User", person), json!({ "type": "Action", "id": "a" }), uid("Thing", thing)];
            let (sought, kind) = [(Sought::Principal, "User"), (Sought::Action, "Action"), (Sought::Resource, "Thing")][side];

            let cedar = Cedar::new(set, entities);
            let mut scan: Vec<String> = Vec::new();
            let of_kind = engine.land.names.entities().filter(|(_, k)| engine.land.names.known(kind) == Some(*k));
            for id in of_kind.filter_map(|(e, _)| engine.land.names.id(e)) {
                let mut sides = sides.clone();
                sides[side] = json!({ "type": kind, "id": id });
                let request = ask(sides, &stated);
                let mut scratch = Scratch::default();
                let prepared = engine.prepare(&request).unwrap();
                let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
                prop_assert_eq!(prepared.answer(outcome, &scratch), cedar.answer(&request));
                if outcome.allows() && scratch.is_clean() {
                    scan.push(id.to_owned());
                }
            }
            scan.sort_unstable();

            let (mut found, mut after) = (Vec::new(), None::<String>);
            loop {
                let mut prepared = engine.prepare(&ask(sides.clone(), &stated)).unwrap();
                let quest = Quest { sought, kind, after: after.as_deref(), limit, looks: 1_000 };
                let page = engine.search(&directory, &mut prepared, quest);
                prop_assert!(page.ids.len() <= limit);
                found.extend(page.ids);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(found, scan);
        }
    }

    #[test]
    fn nothing_is_missing_where_rules_have_no_anchor() {
        let mut rules = Rules::default();
        rules.add_text("permit(principal, action, resource);").unwrap();
        let engine = Engine::compile(&rules, &entities(&[0; 2 * PEOPLE])).unwrap();
        let directory = Directory::of(&engine);
        let sides =
            [uid("User", 0), json!({ "type": "Action", "id": "a" }), json!({ "type": "Thing", "id": "nowhere" })];
        let mut prepared = engine.prepare(&ask(sides, &None)).unwrap();
        let quest = Quest { sought: Sought::Principal, kind: "User", after: None, limit: 100, looks: 100 };
        assert_eq!(engine.search(&directory, &mut prepared, quest).ids.len(), PEOPLE);
        let unknown = Quest { kind: "Spaceship", ..quest };
        assert_eq!(engine.search(&directory, &mut prepared, unknown), Found::default());
    }

    #[test]
    fn a_page_ends_after_so_many_looks_and_the_next_one_goes_on() {
        let mut rules = Rules::default();
        rules.add_text(r#"permit(principal, action, resource) when { principal == User::"user8" };"#).unwrap();
        let engine = Engine::compile(&rules, &entities(&[0; 2 * PEOPLE])).unwrap();
        let directory = Directory::of(&engine);
        let sides = [uid("User", 0), json!({ "type": "Action", "id": "a" }), uid("Thing", 0)];
        let mut prepared = engine.prepare(&ask(sides, &None)).unwrap();
        let quest = Quest { sought: Sought::Principal, kind: "User", after: None, limit: 5, looks: 4 };
        let first = engine.search(&directory, &mut prepared, quest);
        assert_eq!((first.ids.len(), first.next.as_deref()), (0, Some("user3")));
        let second = engine.search(&directory, &mut prepared, Quest { after: Some("user3"), looks: 9, ..quest });
        assert_eq!((second.ids, second.next), (vec!["user8".to_owned()], None));
    }
}
