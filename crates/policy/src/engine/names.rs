//! Texts and entities as numbers. What a snapshot knows is numbered once; what only a request knows is numbered behind it.

use std::collections::HashMap;
use std::sync::Arc;

use super::value::{EntityId, Sym};

/// Something that gives numbers to names.
pub(crate) trait Names {
    /// The number of a text.
    fn sym(&mut self, text: &str) -> Sym;
    /// The number of an entity.
    fn entity(&mut self, kind: &str, id: &str) -> EntityId;
}

/// The names of a snapshot.
#[derive(Default)]
pub(crate) struct Known {
    texts: Vec<Arc<str>>,
    by_text: HashMap<Arc<str>, Sym>,
    entities: Vec<(Sym, Sym)>,
    by_entity: HashMap<(Sym, Sym), EntityId>,
}

/// A number for the next item. More names than numbers do not fit into memory.
fn number(len: usize) -> u32 {
    u32::try_from(len).ok().filter(|n| *n < u32::MAX).expect("fewer than four milliards of names")
}

impl Names for Known {
    fn sym(&mut self, text: &str) -> Sym {
        if let Some(known) = self.by_text.get(text) {
            return *known;
        }
        let (sym, text) = (Sym(number(self.texts.len())), Arc::<str>::from(text));
        self.texts.push(text.clone());
        self.by_text.insert(text, sym);
        sym
    }

    fn entity(&mut self, kind: &str, id: &str) -> EntityId {
        let key = (self.sym(kind), self.sym(id));
        if let Some(known) = self.by_entity.get(&key) {
            return *known;
        }
        let entity = EntityId(number(self.entities.len()));
        self.entities.push(key);
        self.by_entity.insert(key, entity);
        entity
    }
}

impl Known {
    /// The number of a text that is known already.
    pub(crate) fn find(&self, text: &str) -> Option<Sym> {
        self.by_text.get(text).copied()
    }

    /// The number of an entity that is known already.
    pub(crate) fn find_entity(&self, kind: Sym, id: &str) -> Option<EntityId> {
        self.by_entity.get(&(kind, self.find(id)?)).copied()
    }

    pub(crate) fn text(&self, sym: Sym) -> Option<&str> {
        self.texts.get(sym.0 as usize).map(AsRef::as_ref)
    }

    pub(crate) fn kind(&self, entity: EntityId) -> Option<Sym> {
        self.entities.get(entity.0 as usize).map(|(kind, _)| *kind)
    }
}

/// The names that only one request knows, numbered behind those of the snapshot.
#[derive(Default)]
pub(crate) struct Strange {
    first_text: usize,
    first_entity: usize,
    texts: Vec<Box<str>>,
    entities: Vec<(Sym, Sym)>,
}

impl Strange {
    /// No names yet, behind those of a snapshot.
    pub(crate) fn behind(known: &Known) -> Self {
        Self { first_text: known.texts.len(), first_entity: known.entities.len(), ..Self::default() }
    }

    /// The number of a text. For few texts: what is not known is looked for one by one.
    pub(crate) fn sym(&mut self, known: &Known, text: &str) -> Sym {
        if let Some(sym) = known.find(text) {
            return sym;
        }
        let at = self.texts.iter().position(|t| **t == *text).unwrap_or_else(|| {
            self.texts.push(text.into());
            self.texts.len() - 1
        });
        Sym(number(self.first_text + at))
    }

    /// The number of an entity. For few entities, like [`Strange::sym`].
    pub(crate) fn entity(&mut self, known: &Known, kind: Sym, id: &str) -> EntityId {
        if let Some(entity) = known.find_entity(kind, id) {
            return entity;
        }
        let key = (kind, self.sym(known, id));
        let at = self.entities.iter().position(|e| *e == key).unwrap_or_else(|| {
            self.entities.push(key);
            self.entities.len() - 1
        });
        EntityId(number(self.first_entity + at))
    }

    pub(crate) fn text(&self, sym: Sym) -> Option<&str> {
        self.texts.get((sym.0 as usize).checked_sub(self.first_text)?).map(AsRef::as_ref)
    }

    pub(crate) fn kind(&self, entity: EntityId) -> Option<Sym> {
        self.entities.get((entity.0 as usize).checked_sub(self.first_entity)?).map(|(kind, _)| *kind)
    }
}

/// Names of a request while it is prepared.
pub(crate) struct Behind<'k> {
    known: &'k Known,
    by_text: HashMap<Box<str>, Sym>,
    by_entity: HashMap<(Sym, Sym), EntityId>,
    strange: Strange,
}

impl<'k> Behind<'k> {
    pub(crate) fn new(known: &'k Known) -> Self {
        Self { known, by_text: HashMap::new(), by_entity: HashMap::new(), strange: Strange::behind(known) }
    }

    pub(crate) fn finish(self) -> Strange {
        self.strange
    }
}

impl Names for Behind<'_> {
    fn sym(&mut self, text: &str) -> Sym {
        if let Some(known) = self.known.by_text.get(text).or_else(|| self.by_text.get(text)) {
            return *known;
        }
        let sym = Sym(number(self.strange.first_text + self.strange.texts.len()));
        self.strange.texts.push(text.into());
        self.by_text.insert(text.into(), sym);
        sym
    }

    fn entity(&mut self, kind: &str, id: &str) -> EntityId {
        let key = (self.sym(kind), self.sym(id));
        if let Some(known) = self.known.by_entity.get(&key).or_else(|| self.by_entity.get(&key)) {
            return *known;
        }
        let entity = EntityId(number(self.strange.first_entity + self.strange.entities.len()));
        self.strange.entities.push(key);
        self.by_entity.insert(key, entity);
        entity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shares_known_names_and_numbers_its_own_behind_them() {
        let mut known = Known::default();
        let ann = known.entity("User", "ann");
        let mut behind = Behind::new(&known);
        assert_eq!(behind.entity("User", "ann"), ann);
        let bob = behind.entity("User", "bob");
        assert_eq!((behind.entity("User", "bob"), bob.0), (bob, 1));
        let (user, text) = (behind.sym("User"), behind.sym("bob"));
        let strange = behind.finish();
        assert_eq!((strange.kind(bob), strange.text(text)), (Some(user), Some("bob")));
        assert_eq!((known.kind(bob), known.text(text), strange.kind(ann)), (None, None, None));
    }
}
