//! The least privilege that writes itself: from observed use of one application to a readable rule set.
//!
//! 1. [`observe`]: what got through, as small records, and what is flagged or was denied beside it.
//! 2. [`cover`]: for each kind of use the smallest set of groups that holds the users with little over-grant.
//! 3. [`conditions`]: what held for all uses of such a group.
//! 4. [`write`]: Cedar text and fixtures.
//! 5. [`propose`]: the figures, and everything that was left out.

mod conditions;
mod cover;
mod fixtures;
mod observe;
mod propose;
mod report;
mod write;

pub use conditions::Conditions;
pub use observe::{MAX_USES, Observed};
pub use propose::{
    Directory, Draft, Figures, LeftOut, LeftOutBecause, Proposal, ProposeError, ProposedRule, Settings, Target, propose,
};
