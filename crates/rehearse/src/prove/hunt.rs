//! The hunt for one request: regions to start from, regions to stay out of, and the engine's word at the end.

use std::collections::BTreeSet;

use safeconduct_policy::Rule;

use super::compile::Env;
use super::outcome::{Effort, Unproven};
use super::pattern::TooComplex;
use super::region::Region;
use super::search::{Cover, Search};
use super::witness::{Moment, World, realise};

/// How many requests that rest on a condition outside the fragment are put to the engine before the hunt gives up.
const MAX_TRIES: usize = 64;

/// A hunt over several places.
pub(crate) struct Hunt<'w> {
    world: World<'w>,
    /// What stood in the way so far.
    pub(crate) unproven: BTreeSet<Unproven>,
    pub(crate) effort: Effort,
    tries: usize,
}

/// Says whether the engine confirms a request.
pub(crate) type Confirm<'c> = &'c dyn Fn(&Moment) -> bool;

impl<'w> Hunt<'w> {
    pub(crate) fn new(world: World<'w>) -> Self {
        Self { world, unproven: BTreeSet::new(), effort: Effort::default(), tries: 0 }
    }

    /// A confirmed request in `start` and outside `covers`. Where the answer is not certain, that is remembered against
    /// `rule`.
    pub(crate) fn run(
        &mut self,
        rule: &Rule,
        start: &Region,
        covers: &[Cover<'_>],
        env: Env<'_>,
        confirm: Confirm<'_>,
    ) -> Option<Moment> {
        let mut search = Search::new(covers);
        let (world, tries) = (self.world, &mut self.tries);
        let mut doubts: BTreeSet<String> = BTreeSet::new();
        let found = search.outside(start, &mut |region| {
            let Some(moment) = realise(region, env, world)? else { return Ok(None) };
            let opaque: Vec<String> = region.opaque().map(|t| format!("`{t}` is outside the fragment")).collect();
            if *tries >= MAX_TRIES {
                return Err(TooComplex);
            }
            if confirm(&moment) {
                return Ok(Some(moment));
            }
            *tries += 1;
            if opaque.is_empty() {
                // The prover and the engine disagree: that is a fault of the prover, and nothing is claimed.
                doubts.insert(format!("the engine does not confirm the request that was found at {}", moment.now));
            } else {
                doubts.extend(opaque);
            }
            Ok(None)
        });
        self.effort.steps += search.steps;
        match found {
            Ok(Some(moment)) => return Some(moment),
            Ok(None) => {}
            Err(TooComplex) => {
                doubts.insert("too complex to be searched through".to_owned());
            }
        }
        self.unproven.extend(doubts.into_iter().map(|why| Unproven::of(rule, why)));
        None
    }

    pub(crate) fn doubt(&mut self, rule: &Rule, why: &str) {
        self.unproven.insert(Unproven::of(rule, why));
    }
}
