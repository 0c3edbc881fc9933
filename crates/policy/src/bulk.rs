//! Many asks about one snapshot, fast: histories repeat their people, places and reasons, so each part is numbered once and
//! an ask is four numbers and an instant.

use safeconduct_model::{self as model, Action, Application, Ask, Principal, Reason, Timestamp};

use crate::engine::Prepared;
use crate::engine::names::Behind;
use crate::explain::{self, Present};
use crate::numbered::{Place, Scene, What, When, Who, Why};
use crate::snapshot::{Answered, App, Snapshot, Spoken};

/// Decides many asks with one snapshot. What it says is what [`Snapshot::opinion`] says.
pub struct Bulk<'s> {
    snapshot: &'s Snapshot,
    prepared: Prepared<'s>,
    names: Behind<'s>,
    whos: Vec<(Principal, Option<Who>)>,
    whats: Vec<(Option<&'s App>, Action, What)>,
    places: Vec<(bool, Place)>,
    whys: Vec<(model::Why, Why)>,
    spoken: Spoken,
}

/// An ask by the numbers that [`Bulk`] gave its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who asks; [`Bulk::who`].
    pub who: u32,
    /// For what; [`Bulk::what`].
    pub what: u32,
    /// From where; [`Bulk::place`].
    pub place: u32,
    /// What for; [`Bulk::why`].
    pub why: u32,
    /// When the identity was proven, and until when it stands; `None` if it was not.
    pub auth: Option<(Timestamp, Timestamp)>,
    /// When the device reported.
    pub reported: Option<Timestamp>,
    /// The instant of the decision.
    pub now: Timestamp,
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than four milliards of parts")
}

impl<'s> Bulk<'s> {
    /// Begins with no parts.
    #[must_use]
    pub fn new(snapshot: &'s Snapshot) -> Self {
        let names = Behind::new(snapshot.engine().names());
        let prepared = Prepared::empty(snapshot.engine(), Behind::new(snapshot.engine().names()).finish());
        Self {
            snapshot,
            prepared,
            names,
            whos: Vec::new(),
            whats: Vec::new(),
            places: Vec::new(),
            whys: Vec::new(),
            spoken: Spoken::default(),
        }
    }

    /// Numbers who asks; the instants of the proof come with each ask.
    pub fn who(&mut self, who: &model::Who) -> u32 {
        let part = self.snapshot.lens().who(who, self.snapshot.engine().names(), &mut self.names);
        self.whos.push((who.principal.clone(), part));
        number(self.whos.len() - 1)
    }

    /// Numbers what is asked for.
    pub fn what(&mut self, what: &model::What) -> u32 {
        let part = self.snapshot.lens().what(what, &mut self.names);
        self.whats.push((self.snapshot.app(&what.app), what.action, part));
        number(self.whats.len() - 1)
    }

    /// Numbers where it comes from; the instant of the device's report comes with each ask.
    pub fn place(&mut self, place: &model::Place) -> u32 {
        self.places.push((place.device.is_some(), Place::of(place, &mut self.names)));
        number(self.places.len() - 1)
    }

    /// Numbers what it is for.
    pub fn why(&mut self, why: &model::Why) -> u32 {
        self.whys.push((why.clone(), Why::of(why, &mut self.names)));
        number(self.whys.len() - 1)
    }

    /// Numbers all parts of an ask.
    pub fn line(&mut self, ask: &Ask, now: Timestamp) -> Line {
        Line {
            who: self.who(&ask.who),
            what: self.what(&ask.what),
            place: self.place(&ask.place),
            why: self.why(&ask.why),
            auth: ask.who.auth.as_ref().map(|auth| (auth.at, auth.until)),
            reported: ask.place.device.as_ref().and_then(|d| d.reported),
            now,
        }
    }

    /// The application that a part asks for, if there is one.
    #[must_use]
    pub fn application(&self, what: u32) -> Option<&'s Application> {
        self.whats.get(what as usize).and_then(|(app, ..)| app.map(|app| app.application.as_ref()))
    }

    /// Decides: nothing is a permit, a reason is a denial. A number that was never given denies.
    pub fn refuses(&mut self, line: &Line) -> Option<Reason> {
        let [who, what, place, why] = [line.who, line.what, line.place, line.why].map(|n| n as usize);
        let (Some((principal, who)), Some((app, action, what)), Some((device, place)), Some((told, why))) =
            (self.whos.get(who), self.whats.get(what), self.places.get(place), self.whys.get(why))
        else {
            return Some(Reason::SignInRequired);
        };
        let Some(app) = app else { return Some(Reason::UnknownApplication) };
        let (Some(who), Some((proven, _))) = (who, line.auth.filter(|(_, until)| line.now < *until)) else {
            return Some(Reason::SignInRequired);
        };
        let when = When { now: line.now, proven, reported: line.reported };
        self.snapshot.fill(&mut self.prepared, app.entity, Scene { who, what, place, why, when });
        // The names of all parts stand behind one another; the request borrows them while it is decided.
        self.names.swap(&mut self.prepared.facts_mut().strange);
        let prepared = &self.prepared;
        let answered = self.snapshot.hear(prepared, principal, &mut self.spoken);
        let present = || Present { purpose: told.purpose(line.now).is_some(), device: *device };
        let refused = match answered {
            Answered::Permits => None,
            Answered::Fails => Some(Reason::EvaluationError),
            Answered::Forbids => {
                let forbids = self.spoken.rules.forbids.iter().map(|n| self.snapshot.kept(*n));
                Some(explain::reason(&explain::lifts(forbids, prepared, present())).unwrap_or(Reason::Forbidden))
            }
            Answered::Silent => {
                let nearest = explain::nearest(self.snapshot, app, prepared, who.principal, *action, present());
                Some(nearest.and_then(|misses| explain::reason(&misses)).unwrap_or(Reason::NoRule))
            }
        };
        self.names.swap(&mut self.prepared.facts_mut().strange);
        refused
    }
}
