//! What one request says, in the numbers of an engine. Filled once; after that it is decided any number of times.

use super::names::Strange;
use super::value::{EntityId, Value};
use super::world::Row;

/// The three entities of a request.
#[derive(Clone, Copy)]
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
    /// What the request itself says of an entity, instead of what the snapshot says.
    pub own: Vec<(EntityId, Row)>,
    /// The names that only this request knows.
    pub strange: Strange,
}

impl Facts {
    /// The three entities and nothing else.
    pub(crate) fn new(asked: Asked, context: Value, strange: Strange) -> Self {
        Self {
            principal: Value::Entity(asked.principal),
            action: Value::Entity(asked.action),
            resource: Value::Entity(asked.resource),
            context,
            slots: Vec::new(),
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
