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

/// Something that gives numbers to the names of requests, whose types are numbered already.
pub(crate) trait Number {
    /// The number of a text.
    fn sym(&mut self, text: &str) -> Sym;
    /// The number of an entity.
    fn entity(&mut self, kind: Sym, id: &str) -> EntityId;
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

    /// The id of an entity, without its type.
    pub(crate) fn id(&self, entity: EntityId) -> Option<&str> {
        self.entities.get(entity.0 as usize).and_then(|(_, id)| self.text(*id))
    }

    /// The number of a text that is known.
    pub(crate) fn known(&self, text: &str) -> Option<Sym> {
        self.by_text.get(text).copied()
    }

    /// Every entity that is known, described or only named.
    pub(crate) fn entities(&self) -> impl Iterator<Item = (EntityId, Sym)> + '_ {
        (0_u32..).zip(&self.entities).map(|(number, (kind, _))| (EntityId(number), *kind))
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

    pub(crate) fn text(&self, sym: Sym) -> Option<&str> {
        self.texts.get((sym.0 as usize).checked_sub(self.first_text)?).map(AsRef::as_ref)
    }

    pub(crate) fn kind(&self, entity: EntityId) -> Option<Sym> {
        self.entities.get((entity.0 as usize).checked_sub(self.first_entity)?).map(|(kind, _)| *kind)
    }
}

/// Few names of a request: what is not known is looked for one by one.
pub(crate) struct Few<'k> {
    known: &'k Known,
    strange: Strange,
}

impl<'k> Few<'k> {
    pub(crate) fn behind(known: &'k Known) -> Self {
        Self { known, strange: Strange::behind(known) }
    }

    pub(crate) fn finish(self) -> Strange {
        self.strange
    }
}

impl Number for Few<'_> {
    fn sym(&mut self, text: &str) -> Sym {
        if let Some(sym) = self.known.find(text) {
            return sym;
        }
        let strange = &mut self.strange;
        let at = strange.texts.iter().position(|t| **t == *text).unwrap_or_else(|| {
            strange.texts.push(text.into());
            strange.texts.len() - 1
        });
        Sym(number(strange.first_text + at))
    }

    fn entity(&mut self, kind: Sym, id: &str) -> EntityId {
        if let Some(entity) = self.known.find_entity(kind, id) {
            return entity;
        }
        let key = (kind, self.sym(id));
        let strange = &mut self.strange;
        let at = strange.entities.iter().position(|e| *e == key).unwrap_or_else(|| {
            strange.entities.push(key);
            strange.entities.len() - 1
        });
        EntityId(number(strange.first_entity + at))
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

    /// The names so far, to be put back with the next call.
    pub(crate) fn swap(&mut self, strange: &mut Strange) {
        std::mem::swap(&mut self.strange, strange);
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
        let kind = Names::sym(self, kind);
        Number::entity(self, kind, id)
    }
}

impl Number for Behind<'_> {
    fn sym(&mut self, text: &str) -> Sym {
        Names::sym(self, text)
    }

    fn entity(&mut self, kind: Sym, id: &str) -> EntityId {
        let key = (kind, Names::sym(self, id));
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
        assert_eq!(Names::entity(&mut behind, "User", "ann"), ann);
        let bob = Names::entity(&mut behind, "User", "bob");
        assert_eq!((Names::entity(&mut behind, "User", "bob"), bob.0), (bob, 1));
        let (user, text) = (Names::sym(&mut behind, "User"), Names::sym(&mut behind, "bob"));
        let strange = behind.finish();
        assert_eq!((strange.kind(bob), strange.text(text)), (Some(user), Some("bob")));
        assert_eq!((known.kind(bob), known.text(text), strange.kind(ann)), (None, None, None));
    }
}
