//! The least privilege that writes itself: from observed use of one application to a readable rule set.
//!
//! 1. [`observe`]: what got through, as small records, and what is flagged or was denied beside it.
//! 2. [`cover`]: for each kind of use the smallest set of groups that holds the users with little over-grant.
//! 3. [`conditions`]: what held for all uses of such a group.
//! 4. [`write`]: Cedar text and fixtures.
//! 5. [`propose`]: the whole, with [`measure`]d figures and everything that was [`left_out`].
//!
//! Three guards stand beside it. [`within`]: the proposal only narrows, by construction and by a check on its text, unless a
//! person asks for more. [`season`]: what recurs each month, quarter or year is not cut because the window did not see it.
//! [`reliable`]: a group whose members use it on the whole, but not in some significant part, is narrowed.

mod conditions;
mod cover;
mod draft;
mod fixtures;
mod left_out;
mod measure;
mod observe;
mod propose;
mod reliable;
mod report;
mod season;
mod today;
mod within;
mod write;

pub use conditions::Conditions;
pub use draft::{Draft, Target};
pub use left_out::{LeftOut, LeftOutBecause};
pub use measure::{Figures, Measured, Split, weight};
pub use observe::{MAX_USES, Observed};
pub use propose::{
    Baseline, Directory, LEAST_WINDOW_DAYS, MIN_RELIABILITY, Narrowing, Proposal, ProposeError, ProposedRule, Settings,
    WINDOW_DAYS, propose, propose_within,
};
pub use reliable::Reliability;
pub use season::{Kept, Period, Season};
pub use today::{BREAK_GLASS, Today, is_exceptional, is_superseded};
pub use within::Within;
#[cfg(test)]
pub(crate) use within::is_below_now;
