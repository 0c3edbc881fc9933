//! Recorded verdicts, compact: people, places and reasons repeat, so each stands once and a verdict is a line of numbers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use safeconduct_model::{Access, Ask, Auth, Mode, Place, Reason, RuleId, Timestamp, What, Who, Why};
use safeconduct_policy::{Bulk, Line, Snapshot};

/// Verdicts of a ledger, ready to be decided again as often as one likes.
#[derive(Default)]
pub struct History {
    whos: Parts<Who>,
    whats: Parts<What>,
    places: Parts<Place>,
    whys: Parts<Why>,
    rules: Parts<Vec<RuleId>>,
    rows: Vec<Row>,
}

/// One recorded verdict.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub seq: u64,
    pub line: Line,
    /// Why policy said no; nothing if it said yes.
    pub refused: Option<Reason>,
    pub passed: bool,
    pub observed: bool,
    rules: u32,
}

/// Different values, numbered in the order in which they came.
struct Parts<T> {
    items: Vec<Arc<T>>,
    numbers: HashMap<Arc<T>, u32>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { items: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Eq + Hash> Parts<T> {
    fn number(&mut self, part: T) -> u32 {
        if let Some(number) = self.numbers.get(&part) {
            return *number;
        }
        let number = u32::try_from(self.items.len()).expect("fewer than four milliards of verdicts");
        let part = Arc::new(part);
        self.items.push(Arc::clone(&part));
        self.numbers.insert(part, number);
        number
    }

    fn get(&self, number: u32) -> &T {
        &self.items[number as usize]
    }
}

impl History {
    /// Adds a verdict; `seq` is its place in the ledger. What a lock denied says nothing about the rules, and is left out.
    pub fn push(&mut self, seq: u64, access: &Access) {
        if access.reason() == Some(Reason::Locked) {
            return;
        }
        let Ask { who, what, place, why, .. } = &access.ask;
        let auth = who.auth.as_ref();
        let line = Line {
            who: self.whos.number(timeless(who)),
            what: self.whats.number(what.clone()),
            place: self.places.number(Place {
                device: place.device.clone().map(|device| safeconduct_model::DeviceFacts { reported: None, ..device }),
                ..place.clone()
            }),
            why: self.whys.number(why.clone()),
            auth: auth.map(|auth| (auth.at, auth.until)),
            reported: place.device.as_ref().and_then(|device| device.reported),
            now: access.decided,
        };
        self.rows.push(Row {
            seq,
            line,
            refused: access.reason(),
            passed: access.passed(),
            observed: access.mode == Mode::Observe,
            rules: self.rules.number(access.rules.clone()),
        });
    }

    /// How many verdicts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A snapshot with the parts of this history numbered, so that its lines can be put to it.
    pub(crate) fn put_to<'s>(&self, snapshot: &'s Snapshot) -> Bulk<'s> {
        let mut bulk = Bulk::new(snapshot);
        for who in &self.whos.items {
            bulk.who(who);
        }
        for what in &self.whats.items {
            bulk.what(what);
        }
        for place in &self.places.items {
            bulk.place(place);
        }
        for why in &self.whys.items {
            bulk.why(why);
        }
        bulk
    }

    pub(crate) fn who(&self, row: &Row) -> &Who {
        self.whos.get(row.line.who)
    }

    pub(crate) fn whats(&self) -> impl Iterator<Item = &What> {
        self.whats.items.iter().map(AsRef::as_ref)
    }

    pub(crate) fn what(&self, row: &Row) -> &What {
        self.whats.get(row.line.what)
    }

    pub(crate) fn place(&self, row: &Row) -> &Place {
        self.places.get(row.line.place)
    }

    pub(crate) fn rules(&self, row: &Row) -> &[RuleId] {
        self.rules.get(row.rules)
    }

    /// The ask of a verdict as it was recorded, but for the names of session and request.
    pub(crate) fn ask(&self, row: &Row) -> Ask {
        let mut who = self.who(row).clone();
        if let (Some(auth), Some((at, until))) = (who.auth.as_mut(), row.line.auth) {
            (auth.at, auth.until) = (at, until);
        }
        let mut place = self.place(row).clone();
        if let Some(device) = place.device.as_mut() {
            device.reported = row.line.reported;
        }
        Ask {
            request: "replayed".parse().expect("a fixed id is valid"),
            who,
            what: self.what(row).clone(),
            place,
            why: self.whys.get(row.line.why).clone(),
            lock: None,
        }
    }
}

/// Who asked, without what differs from request to request.
fn timeless(who: &Who) -> Who {
    let auth = who.auth.as_ref().map(|auth| Auth {
        session: "replayed".parse().expect("a fixed id is valid"),
        methods: auth.methods.clone(),
        at: Timestamp::default(),
        until: Timestamp::MAX,
    });
    Who { principal: who.principal.clone(), groups: who.groups.clone(), auth }
}
