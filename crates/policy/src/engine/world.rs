//! The entities of a snapshot, by number: kind, ancestors, attributes, tags.

use super::names::Known;
use super::value::{EntityId, Sym, Value, field};

/// Fields of an entity, sorted by name.
type Fields = Box<[(Sym, Value)]>;

/// What is known of one entity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Sorted, transitive, without the entity itself.
    pub ancestors: Box<[EntityId]>,
    pub attributes: Fields,
    pub tags: Fields,
}

/// Every entity of the store. A number without a row is an entity that something names and nothing describes.
#[derive(Default)]
pub(crate) struct World {
    rows: Vec<Option<Row>>,
}

impl World {
    pub(crate) fn put(&mut self, entity: EntityId, mut row: Row) {
        row.ancestors.sort_unstable();
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

    fn row(&self, entity: EntityId) -> Option<&Row> {
        self.rows.get(entity.0 as usize)?.as_ref()
    }

    pub(crate) fn ancestors(&self, entity: EntityId) -> &[EntityId] {
        self.row(entity).map_or(&[], |row| &row.ancestors)
    }

    pub(crate) fn is_in(&self, entity: EntityId, other: EntityId) -> bool {
        entity == other || self.ancestors(entity).binary_search(&other).is_ok()
    }

    pub(crate) fn attribute(&self, entity: EntityId, name: Sym) -> Option<&Value> {
        field(&self.row(entity)?.attributes, name)
    }

    pub(crate) fn tag(&self, entity: EntityId, name: Sym) -> Option<&Value> {
        field(&self.row(entity)?.tags, name)
    }
}

/// The entities and the names they are numbered by.
#[derive(Default)]
pub(crate) struct Land {
    pub names: Known,
    pub world: World,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_without_a_row_is_in_itself_and_in_nothing_else() {
        let mut world = World::default();
        let ancestors = Box::new([EntityId(9), EntityId(4)]);
        world.put(EntityId(3), Row { ancestors, ..Row::default() });
        assert!(world.is_in(EntityId(3), EntityId(3)) && world.is_in(EntityId(3), EntityId(9)));
        assert!(world.is_in(EntityId(7), EntityId(7)) && !world.is_in(EntityId(7), EntityId(9)));
        assert!(!world.is_in(EntityId(3), EntityId(5)) && world.attribute(EntityId(1), Sym(0)).is_none());
        assert_eq!(world.len(), 1);
    }
}
