//! A compiled engine for any Cedar policy set, beside Cedar as its oracle.
//!
//! Policies are compiled from Cedar's public syntax tree into one arena of shared, constant-folded nodes; entities, attribute
//! names and texts become numbers; an index by resource, action and principal finds the candidates. What the compiler does not
//! cover is evaluated by Cedar, rule by rule, and counted in [`Metrics::fallbacks`].
//!
//! ```
//! use safeconduct_policy::engine::{Cedar, Engine, Entities, Mode, Request, Rules, Scratch};
//!
//! let mut rules = Rules::default();
//! rules.add_text(r#"permit(principal in Group::"staff", action, resource) when { context.minute < 1080 };"#)?;
//! let entities = Entities::parse(r#"[
//!     {"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": [{"type": "Group", "id": "staff"}]}
//! ]"#, None)?;
//! let request = Request::from_json(&serde_json::json!({
//!     "principal": {"type": "User", "id": "ann"}, "action": {"type": "Action", "id": "read"},
//!     "resource": {"type": "App", "id": "wiki"}, "context": {"minute": 600},
//! }), None)?;
//!
//! let engine = Engine::compile(&rules, &entities)?;
//! let prepared = engine.prepare(&request)?;
//! let mut scratch = Scratch::default();
//! let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
//! let answer = prepared.answer(outcome, &scratch);
//! assert_eq!((answer.decision, answer.determining), ("allow", vec!["policy0".to_owned()]));
//! assert_eq!(prepared.answer(outcome, &scratch), Cedar::new(rules, entities).answer(&request));
//! # Ok::<(), safeconduct_policy::engine::Unreadable>(())
//! ```

mod builder;
mod decide;
mod entities;
pub(crate) mod eval;
pub(crate) mod ext;
pub(crate) mod index;
pub(crate) mod names;
pub(crate) mod parse;
pub(crate) mod program;
pub(crate) mod request;
mod search;
pub(crate) mod term;
pub(crate) mod value;
pub(crate) mod world;

pub use crate::cedar::sets::{Cedar, Entities, Request, Rules, Schema, Unreadable};
pub use builder::Builder;
pub(crate) use builder::Fits;
pub use decide::{Answer, Engine, Metrics, Mode, Outcome, Prepared, Scratch};
pub use search::{Directory, Found, Quest, Sought};

/// The value of a compiled constant expression.
pub(crate) fn constant(program: &program::Program, land: &world::Land, at: program::At) -> Option<value::Value> {
    eval::Frame::constant(program, land).value(at).ok()
}
