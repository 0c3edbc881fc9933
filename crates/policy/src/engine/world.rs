//! The entities of a snapshot, by number: kind, ancestors, attributes, tags.

use std::sync::Arc;

use super::names::Known;
use super::value::{EntityId, Sym, Value};

/// Fields of an entity, sorted by name.
type Fields = Box<[(Sym, Value)]>;

/// What is known of one entity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Sorted, transitive, without the entity itself.
    pub ancestors: Arc<[EntityId]>,
    pub attributes: Fields,
    pub tags: Fields,
}

/// Every entity of the store. A number without a row is an entity that something names and nothing describes.
#[derive(Default)]
pub(crate) struct World {
    rows: Vec<Option<Row>>,
}

impl World {
    /// The ancestors must be sorted.
    pub(crate) fn put(&mut self, entity: EntityId, mut row: Row) {
        debug_assert!(row.ancestors.is_sorted(), "ancestors are searched by halves");
        row.attributes.sort_unstable_by_key(|(name, _)| *name);
        row.tags.sort_unstable_by_key(|(name, _)| *name);
        let at = entity.0 as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, None);
        }
        self.rows[at] = Some(row);
    }

    /// How many entities are described.
    pub(crate) fn len(&self) -> usize {
        self.rows.iter().flatten().count()
    }

    pub(crate) fn row(&self, entity: EntityId) -> Option<&Row> {
        self.rows.get(entity.0 as usize)?.as_ref()
    }
}

impl World {
    /// Sorted, transitive, without the entity itself.
    pub(crate) fn ancestors(&self, entity: EntityId) -> &[EntityId] {
        self.row(entity).map_or(&[], |row| &row.ancestors)
    }

    pub(crate) fn is_in(&self, entity: EntityId, other: EntityId) -> bool {
        entity == other || self.ancestors(entity).binary_search(&other).is_ok()
    }
}

/// The entities and the names they are numbered by.
#[derive(Default)]
pub(crate) struct Land {
    pub names: Known,
    pub world: World,
}
