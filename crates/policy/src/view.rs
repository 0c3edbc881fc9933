//! One ask, numbered; its facts are those of one instant.

use safeconduct_model::{Ask, Timestamp};

use crate::engine::Prepared;
use crate::engine::names::Few;
use crate::engine::value::EntityId;
use crate::numbered::{Place, Scene, What, When, Who, Why};
use crate::snapshot::Snapshot;

/// One ask, numbered.
pub(crate) struct View<'s> {
    prepared: Prepared<'s>,
    snapshot: &'s Snapshot,
    app: EntityId,
    who: Who,
    what: What,
    place: Place,
    why: Why,
}

impl<'s> View<'s> {
    /// Numbers an ask about an application; nothing if nobody asks.
    pub(crate) fn of(snapshot: &'s Snapshot, ask: &Ask, app: EntityId) -> Option<Self> {
        let known = snapshot.engine().names();
        let mut names = Few::behind(known);
        let lens = snapshot.lens();
        let who = lens.who(&ask.who, known, &mut names)?;
        let what = lens.what(&ask.what, &mut names);
        let (place, why) = (Place::of(&ask.place, &mut names), Why::of(&ask.why, &mut names));
        let prepared = Prepared::empty(snapshot.engine(), names.finish());
        Some(Self { prepared, snapshot, app, who, what, place, why })
    }

    /// Who asks.
    pub(crate) fn principal(&self) -> EntityId {
        self.who.principal
    }

    /// The view at one instant. The ask is the one that was numbered; what the clock changes in it may have moved.
    pub(crate) fn at(&mut self, ask: &Ask, now: Timestamp) -> &Prepared<'s> {
        let when = When {
            now,
            proven: ask.who.auth.as_ref().map_or(now, |a| a.at),
            reported: ask.place.device.as_ref().and_then(|d| d.reported),
        };
        let Self { who, what, place, why, .. } = self;
        let scene = Scene { who, what, place, why, when };
        self.snapshot.fill(&mut self.prepared, self.app, scene);
        &self.prepared
    }
}
