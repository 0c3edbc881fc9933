//! Is there a point of a region that none of many other regions holds? The heart of every proof.
//!
//! The search never builds what is left over. It picks the region that leaves the fewest ways out, takes each way out in
//! turn, and gives up a way as soon as some region holds all of it. Where a fact that depends on no other has a value that
//! none of the regions asks for, that value is the best choice and the only one that is tried.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::TooComplex;
use super::region::{Dim, Lies, Region, Set};
use super::witness::{Moment, flags_fit};

/// How many steps one question may take.
pub(crate) const MAX_STEPS: usize = 200_000;
/// How deep the search may go.
const MAX_DEPTH: usize = 400;

/// A region that takes points away, and the rule that it comes from.
pub(crate) struct Cover<'c> {
    pub(crate) rule: usize,
    pub(crate) region: &'c Region,
}

/// The search and what it learned.
pub(crate) struct Search<'c> {
    covers: &'c [Cover<'c>],
    /// How many steps were taken.
    pub(crate) steps: usize,
    /// The rules that took points away.
    pub(crate) used: BTreeSet<usize>,
}

impl<'c> Search<'c> {
    pub(crate) fn new(covers: &'c [Cover<'c>]) -> Self {
        Self { covers, steps: 0, used: BTreeSet::new() }
    }

    /// A point of `start` outside every cover, for which `accept` makes a request; `None` if there is none.
    pub(crate) fn outside(
        &mut self,
        start: &Region,
        accept: &mut dyn FnMut(&Region) -> Result<Option<Moment>, TooComplex>,
    ) -> Result<Option<Moment>, TooComplex> {
        let live: Vec<usize> = (0..self.covers.len()).collect();
        self.step(start.clone(), live, 0, accept)
    }

    fn step(
        &mut self,
        mut region: Region,
        mut live: Vec<usize>,
        depth: usize,
        accept: &mut dyn FnMut(&Region) -> Result<Option<Moment>, TooComplex>,
    ) -> Result<Option<Moment>, TooComplex> {
        let (at, open) = loop {
            self.steps += 1;
            if self.steps > MAX_STEPS || depth > MAX_DEPTH {
                return Err(TooComplex);
            }
            if !flags_fit(&region) {
                return Ok(None);
            }
            let mut narrowest: Option<(usize, Vec<Dim>)> = None;
            let mut still = Vec::with_capacity(live.len());
            for at in live {
                match region.against(self.covers[at].region)? {
                    Lies::Apart => {}
                    Lies::Inside => {
                        self.used.insert(self.covers[at].rule);
                        return Ok(None);
                    }
                    Lies::Across(open) => {
                        still.push(at);
                        if narrowest.as_ref().is_none_or(|(_, least)| open.len() < least.len()) {
                            narrowest = Some((at, open));
                        }
                    }
                }
            }
            let Some(found) = narrowest else { return accept(&region) };
            live = still;
            match self.free(&region, &live)? {
                Some(freer) => region = freer,
                None => break found,
            }
        };
        self.used.insert(self.covers[at].rule);
        // Each way out of the cover: some fact lies outside, and those before it lie inside.
        let cover = self.covers[at].region;
        let mut inside = region;
        for dim in open {
            let Some(set) = cover.get(&dim) else { continue };
            for piece in inside.set(&dim).without(set)? {
                if let Some(out) = inside.with(&dim, &piece)?
                    && let Some(found) = self.step(out, live.clone(), depth + 1, accept)?
                {
                    return Ok(Some(found));
                }
            }
            match inside.with(&dim, set)? {
                Some(narrower) => inside = narrower,
                None => break,
            }
        }
        Ok(None)
    }

    /// The part of the region in which an independent fact has a value that no cover asks for, if there is one.
    fn free(&self, region: &Region, live: &[usize]) -> Result<Option<Region>, TooComplex> {
        let mut asked: BTreeMap<&Dim, Vec<&Set>> = BTreeMap::new();
        // Whom a canary binds depends on who asks, so with one in play the asker is no free choice.
        let regions = || live.iter().map(|at| self.covers[*at].region).chain([region]);
        let canary = regions().any(|r| r.sets().any(|(dim, _)| matches!(dim, Dim::Canary(..))));
        let free = |dim: &Dim| dim.is_independent() && !(canary && *dim == Dim::Id);
        for at in live {
            for (dim, set) in self.covers[*at].region.sets().filter(|(dim, _)| free(dim)) {
                let sets = asked.entry(dim).or_default();
                if !sets.contains(&set) {
                    sets.push(set);
                }
            }
        }
        'dims: for (dim, sets) in asked {
            let mut left = region.set(dim);
            for set in sets {
                let mut rest = left.without(set)?;
                match rest.pop() {
                    Some(only) if rest.is_empty() => left = only,
                    _ => continue 'dims,
                }
            }
            return region.with(dim, &left);
        }
        Ok(None)
    }
}
