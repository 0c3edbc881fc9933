//! Decision stores: the policies, schema and entities of one application, and questions about them.
//!
//! A store answers for any Cedar set that validates strictly against its own schema. Types are named by callers and found by a
//! simple rule: the configured name, else a type of the schema of exactly this name, else the same with its first letter in upper
//! case. Attributes that a question states go before the stored ones, for this question only; what the schema does not declare is
//! left out, since no valid rule can read it; what does not fit the schema denies, and the answer says what.
//!
//! ```
//! use safeconduct_policy::store::{Deed, Evaluation, Store, StoreTexts, Thing};
//! use safeconduct_policy::PolicyText;
//!
//! let text = |file: &str, text: &str| PolicyText { file: file.into(), text: text.into() };
//! let mut texts = StoreTexts::default();
//! texts.take(text("todo.cedarschema", "entity User; entity Todo = { owner?: User };
//!     action read appliesTo { principal: User, resource: Todo };"));
//! texts.take(text("todo.cedar", "permit(principal, action, resource)
//!     when { resource has owner && resource.owner == principal };"));
//! texts.take(text("entities.json", "[]"));
//! let store = Store::build("stores/todo", &texts).expect("it validates");
//!
//! let mut ask = Evaluation {
//!     subject: Thing::new("user", "ann"),
//!     action: Deed::new("read"),
//!     resource: Thing::new("todo", "1"),
//!     context: Default::default(),
//! };
//! assert!(!store.evaluate(&ask).permitted);
//! ask.resource.properties.insert("owner".into(), "ann".into());
//! assert!(store.evaluate(&ask).permitted);
//! ```

mod load;
mod search;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use safeconduct_model::{Fault, Reason};
use serde_json::{Map, Value as Json, json};

use crate::engine::{Directory, Engine, Mode, Outcome, Request, Scratch};
pub use load::StoreTexts;
pub use search::{MAX_PAGE, Page, Row, SearchRefused, Seek};
use shape::{Action, Shapes, fit};

/// A subject or a resource, as a caller names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// Its type.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Attributes that count for this question only.
    pub properties: Map<String, Json>,
}

/// An action, as a caller names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// Its name.
    pub name: String,
    /// Rules read them as `context.action`.
    pub properties: Map<String, Json>,
}

impl Thing {
    /// A thing of which nothing more is said.
    #[must_use]
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned(), properties: Map::new() }
    }
}

impl Deed {
    /// An action of which nothing more is said.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), properties: Map::new() }
    }
}

/// One question: may this subject do this to that resource?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Who.
    pub subject: Thing,
    /// Does what.
    pub action: Deed,
    /// To what.
    pub resource: Thing,
    /// Under which circumstances.
    pub context: Map<String, Json>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub permitted: bool,
    /// Why not; nothing for a yes.
    pub reason: Option<Reason>,
    /// For the person who asked: what the forbidding rule says in `@reason_user`, if it does.
    pub for_user: Option<String>,
    /// For whoever looks after the policy.
    pub detail: String,
    /// The rules that decided: their `@id`, or where they stand.
    pub rules: Vec<String>,
}

impl Decision {
    fn no(reason: Reason, detail: impl Into<String>) -> Self {
        Self { permitted: false, reason: Some(reason), for_user: None, detail: detail.into(), rules: Vec::new() }
    }
}

/// The policies of one application, compiled, with its entities.
pub struct Store {
    revision: String,
    shapes: Shapes,
    types: BTreeMap<String, String>,
    engine: Engine,
    directory: Directory,
    labels: Vec<Label>,
}

/// What a rule is called, and where it stands.
struct Label {
    name: String,
    reason: Option<String>,
    file: String,
    line: u32,
}

impl Store {
    /// Checks the files of `folder` and puts the store together, or tells every fault.
    ///
    /// # Errors
    /// If something is missing, or does not validate strictly against the schema.
    pub fn build(folder: &str, texts: &StoreTexts) -> Result<Self, Vec<Fault>> {
        load::build(folder, texts)
    }

    /// Names exactly this content: other files, another revision.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.labels.len()
    }

    /// Decides. Total: what does not fit the schema is denied, and so is what a rule could not be evaluated for.
    #[must_use]
    pub fn evaluate(&self, ask: &Evaluation) -> Decision {
        let request = match self.request(ask) {
            Ok(request) => request,
            Err(what) => return Decision::no(Reason::BadRequest, what),
        };
        let prepared = match self.engine.prepare(&request) {
            Ok(prepared) => prepared,
            Err(e) => return Decision::no(Reason::BadRequest, e.what),
        };
        let mut scratch = Scratch::default();
        let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
        let answer = prepared.answer(outcome, &scratch);
        let names =
            |ids: &[String]| ids.iter().filter_map(|id| self.label(id)).map(|l| l.name.clone()).collect::<Vec<_>>();
        if !answer.errors.is_empty() {
            let rules = names(&answer.errors);
            let detail = format!("these rules could not be evaluated: {}", rules.join(", "));
            return Decision { rules, ..Decision::no(Reason::EvaluationError, detail) };
        }
        let rules = names(&answer.determining);
        match outcome {
            Outcome::Permit => {
                let detail = format!("permitted by {}", rules.join(", "));
                Decision { permitted: true, reason: None, for_user: None, detail, rules }
            }
            Outcome::Forbid => {
                let for_user = answer.determining.iter().filter_map(|id| self.label(id)?.reason.clone()).next();
                let detail = format!("forbidden by {}", rules.join(", "));
                Decision { for_user, rules, ..Decision::no(Reason::Forbidden, detail) }
            }
            Outcome::NoMatch | Outcome::Error => Decision::no(Reason::NoRule, "no rule permits it"),
        }
    }

    fn label(&self, id: &str) -> Option<&Label> {
        self.labels.get(id.strip_prefix("policy")?.parse::<usize>().ok()?)
    }

    /// The entity type that a caller's type stands for.
    fn kind(&self, named: &str) -> Option<&str> {
        let mut capital = named.to_owned();
        if let Some(first) = capital.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let known = |name: &str| self.shapes.entity_name(name);
        match self.types.get(named) {
            Some(configured) => known(configured),
            None => known(named).or_else(|| known(&capital)),
        }
    }

    fn action(&self, name: &str) -> Option<&Action> {
        self.shapes.actions().iter().find(|a| a.id == name)
    }

    /// The question in the terms of the schema, or why it has none.
    fn request(&self, ask: &Evaluation) -> Result<Request, String> {
        let unknown = |side: &str, what: &str| format!("the schema knows no {side} `{what}`");
        let principal = self.kind(&ask.subject.kind).ok_or_else(|| unknown("subject type", &ask.subject.kind))?;
        let action = self.action(&ask.action.name).ok_or_else(|| unknown("action", &ask.action.name))?;
        let resource = self.kind(&ask.resource.kind).ok_or_else(|| unknown("resource type", &ask.resource.kind))?;
        if !action.principals.contains(principal) || !action.resources.contains(resource) {
            return Err(format!(
                "the schema does not let a `{}` {} a `{}`",
                ask.subject.kind, ask.action.name, ask.resource.kind
            ));
        }
        let mut context = ask.context.clone();
        // `context.action` is what is said of the action, and nothing else.
        context.remove("action");
        if !ask.action.properties.is_empty() {
            context.insert("action".to_owned(), Json::Object(ask.action.properties.clone()));
        }
        let context = fit(&action.context, &context, true, "context")?;
        let uid = |kind: &str, id: &str| json!({ "type": kind, "id": id });
        let request = Request::from_json(
            &json!({
                "principal": uid(principal, &ask.subject.id),
                "action": uid(&action.kind, &action.id),
                "resource": uid(resource, &ask.resource.id),
                "context": context,
            }),
            None,
        );
        let stated = |kind: &str, thing: &Thing, path: &str| -> Result<Option<Json>, String> {
            let Some(fields) = self.shapes.entity(kind) else { return Ok(None) };
            let fitted = fit(fields, &thing.properties, false, path)?;
            Ok(Some(fitted).filter(|f| f.as_object().is_some_and(|o| !o.is_empty())))
        };
        let principal = stated(principal, &ask.subject, "subject.properties")?;
        let resource = stated(resource, &ask.resource, "resource.properties")?;
        request.and_then(|r| r.with_properties(principal, resource)).map_err(|e| e.what)
    }
}
