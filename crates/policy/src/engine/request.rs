//! What one request says, in the numbers of an engine. Filled once; after that it is decided any number of times.

use super::names::Strange;
use super::value::{EntityId, Sym, Value, field};
use super::world::Row;

/// The three entities of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub principal: EntityId,
    pub action: EntityId,
    pub resource: EntityId,
}

/// What stands at one path below the context that some rule reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Is(Value),
    /// Nothing has that name.
    Absent,
    /// On the way there is something that has no attributes at all.
    Wrong,
}

impl Slot {
    /// The value, if there is one.
    pub(crate) fn value(self) -> Option<Value> {
        if let Self::Is(value) = self { Some(value) } else { None }
    }
}

/// Everything that a request says.
pub(crate) struct Facts {
    pub principal: Value,
    pub action: Value,
    pub resource: Value,
    pub context: Value,
    /// By the number of the path in the program.
    pub slots: Vec<Slot>,
    /// What the request itself states of principal and resource, beside what is known of them.
    pub overlay: Option<Box<Overlay>>,
    /// What the request itself says of an entity, instead of what the snapshot says.
    pub own: Vec<(EntityId, Row)>,
    /// The names that only this request knows.
    pub strange: Strange,
}

/// Attributes that a request states of its principal and of its resource, as records. They go before the stored ones.
#[derive(Default)]
pub(crate) struct Overlay {
    pub principal: Option<Value>,
    pub resource: Option<Value>,
}

impl Facts {
    /// An attribute that the request itself states of an entity.
    pub(crate) fn stated(&self, entity: EntityId, name: Sym) -> Option<&Value> {
        let overlay = self.overlay.as_deref()?;
        let of = |side: &Value| *side == Value::Entity(entity);
        let sides = [(&self.principal, &overlay.principal), (&self.resource, &overlay.resource)];
        sides.into_iter().filter(|(side, _)| of(side)).find_map(|(_, stated)| match stated {
            Some(Value::Record(fields)) => field(fields, name),
            _ => None,
        })
    }

    /// The three entities and nothing else.
    pub(crate) fn new(asked: Asked, context: Value, strange: Strange) -> Self {
        Self {
            principal: Value::Entity(asked.principal),
            action: Value::Entity(asked.action),
            resource: Value::Entity(asked.resource),
            context,
            slots: Vec::new(),
            overlay: None,
            own: Vec::new(),
            strange,
        }
    }

    pub(crate) fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)
    }

    pub(crate) fn own(&self, entity: EntityId) -> Option<&Row> {
        self.own.iter().find(|(of, _)| *of == entity).map(|(_, row)| row)
    }
}
