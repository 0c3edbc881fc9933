//! Which rules can speak about a request: by resource or one of its ancestors, then by action, then by principal.

use super::request::Asked;
use super::value::EntityId;

/// No entity: the rule speaks of every one.
const ANY: u32 = u32::MAX;
/// Up to here a list is walked; longer ones are searched for each ancestor of the principal.
const WALK: usize = 32;

/// What a rule is found by; `None` is every entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub resource: Option<EntityId>,
    pub action: Option<EntityId>,
    pub principal: Option<EntityId>,
    pub rule: u32,
}

/// Lists of rules by resource and action, each sorted by principal. Immutable once built.
#[derive(Default)]
pub(crate) struct Index {
    /// By entity number: which of `shelves`, plus one; zero is none.
    by_resource: Vec<u32>,
    any: (u32, u32),
    shelves: Vec<(u32, u32)>,
    lists: Vec<List>,
    entries: Vec<Entry>,
}

struct List {
    action: u32,
    start: u32,
    end: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    principal: u32,
    rule: u32,
}

/// What the three are in, each sorted and without itself.
#[derive(Clone, Copy)]
pub(crate) struct Above<'a> {
    pub principal: &'a [EntityId],
    pub action: &'a [EntityId],
    pub resource: &'a [EntityId],
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than four milliards of rules")
}

impl Index {
    pub(crate) fn build(mut keys: Vec<Key>) -> Self {
        let raw = |entity: Option<EntityId>| entity.map_or(ANY, |e| e.0);
        keys.sort_unstable_by_key(|k| (raw(k.resource), raw(k.action), raw(k.principal), k.rule));
        let mut index = Self::default();
        for shelf in keys.chunk_by(|a, b| a.resource == b.resource) {
            let first = number(index.lists.len());
            for list in shelf.chunk_by(|a, b| a.action == b.action) {
                let start = number(index.entries.len());
                index.entries.extend(list.iter().map(|k| Entry { principal: raw(k.principal), rule: k.rule }));
                let end = number(index.entries.len());
                index.lists.push(List { action: raw(list[0].action), start, end });
            }
            let range = (first, number(index.lists.len()));
            match shelf[0].resource {
                None => index.any = range,
                Some(resource) => {
                    index.shelves.push(range);
                    let at = resource.0 as usize;
                    if index.by_resource.len() <= at {
                        index.by_resource.resize(at + 1, 0);
                    }
                    index.by_resource[at] = number(index.shelves.len());
                }
            }
        }
        index.entries.shrink_to_fit();
        index
    }

    /// Every key that it was built from, in no particular order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let named = |raw: u32| (raw != ANY).then_some(EntityId(raw));
        let of_resource = (0_u32..).zip(&self.by_resource).filter_map(move |(resource, at)| {
            let shelf = self.shelves.get((*at as usize).checked_sub(1)?)?;
            Some((Some(EntityId(resource)), *shelf))
        });
        std::iter::once((None, self.any)).chain(of_resource).flat_map(move |(resource, (first, end))| {
            self.lists[first as usize..end as usize].iter().flat_map(move |list| {
                let entries = self.entries[list.start as usize..list.end as usize].iter();
                entries.map(move |e| Key {
                    resource,
                    action: named(list.action),
                    principal: named(e.principal),
                    rule: e.rule,
                })
            })
        })
    }

    /// Calls `visit` with every rule whose anchors fit, until it says no. A rule that names several actions can come twice.
    /// Says whether all were visited.
    pub(crate) fn walk(&self, asked: Asked, above: Above<'_>, visit: &mut impl FnMut(u32) -> bool) -> bool {
        let own = Some(asked.resource);
        let chain = own.into_iter().chain(above.resource.iter().copied());
        let shelves = chain.filter_map(|resource| {
            let at = self.by_resource.get(resource.0 as usize)?.checked_sub(1)?;
            self.shelves.get(at as usize)
        });
        for (first, end) in std::iter::once(&self.any).chain(shelves) {
            for list in &self.lists[*first as usize..*end as usize] {
                let fits = list.action == ANY
                    || list.action == asked.action.0
                    || above.action.binary_search(&EntityId(list.action)).is_ok();
                if fits
                    && !walk_list(&self.entries[list.start as usize..list.end as usize], asked, above.principal, visit)
                {
                    return false;
                }
            }
        }
        true
    }
}

fn walk_list(entries: &[Entry], asked: Asked, groups: &[EntityId], visit: &mut impl FnMut(u32) -> bool) -> bool {
    if entries.len() > WALK {
        let own = [ANY, asked.principal.0].into_iter();
        for principal in own.chain(groups.iter().map(|g| g.0)) {
            let from = entries.partition_point(|e| e.principal < principal);
            let same = entries[from..].iter().take_while(|e| e.principal == principal);
            for entry in same {
                if !visit(entry.rule) {
                    return false;
                }
            }
        }
        return true;
    }
    // Entries of one principal stand together, so each principal is looked up once.
    let mut last = (ANY, true);
    for entry in entries {
        if entry.principal != last.0 {
            let named = || groups.binary_search(&EntityId(entry.principal)).is_ok();
            let fits = entry.principal == ANY || entry.principal == asked.principal.0 || named();
            last = (entry.principal, fits);
        }
        if last.1 && !visit(entry.rule) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn above(edges: &[(u32, Vec<u32>)], of: u32) -> Vec<EntityId> {
        let mut found: Vec<EntityId> =
            edges.iter().filter(|(e, _)| *e == of).flat_map(|(_, up)| up.iter().copied()).map(EntityId).collect();
        found.retain(|e| e.0 != of);
        found.sort_unstable();
        found.dedup();
        found
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_scan_finds(
            edges in prop::collection::vec((0_u32..12, prop::collection::vec(0_u32..12, 0..4)), 0..12),
            keys in prop::collection::vec((prop::option::of(0_u32..12), prop::option::of(0_u32..3), prop::option::of(0_u32..12)), 0..120),
            asked in (0_u32..14, 0_u32..4, 0_u32..14),
        ) {
            let id = |n: Option<u32>| n.map(EntityId);
            let keys: Vec<Key> = keys.iter().zip(0..)
                .map(|((r, a, p), rule)| Key { resource: id(*r), action: id(*a), principal: id(*p), rule }).collect();
            let asked = Asked { principal: EntityId(asked.0), action: EntityId(asked.1), resource: EntityId(asked.2) };
            let [principal, action, resource] =
                [asked.principal, asked.action, asked.resource].map(|e| above(&edges, e.0));
            let fits = |anchor: Option<EntityId>, of: EntityId, up: &[EntityId]| {
                anchor.is_none_or(|a| a == of || up.contains(&a))
            };
            let scan: Vec<u32> = keys.iter().filter(|k| {
                fits(k.resource, asked.resource, &resource)
                    && fits(k.action, asked.action, &action)
                    && fits(k.principal, asked.principal, &principal)
            }).map(|k| k.rule).collect();
            let mut found = Vec::new();
            let mut visit = |rule| {
                found.push(rule);
                true
            };
            let up = Above { principal: &principal, action: &action, resource: &resource };
            let whole = Index::build(keys).walk(asked, up, &mut visit);
            prop_assert!(whole);
            found.sort_unstable();
            prop_assert_eq!(found, scan);
        }
    }
}
