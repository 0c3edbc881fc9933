//! AuthZEN 1.0 as JSON: requests read strictly where they matter, unknown members ignored.

use safeconduct_policy::engine::Sought;
use safeconduct_policy::store::{Decision, Deed, Evaluation, Page, Seek, Thing};
use serde_json::{Map, Value, json};

use crate::ApiError;

/// The most evaluations of one batch.
pub const MAX_EVALUATIONS: usize = 256;

type Object = Map<String, Value>;

/// Questions that came together; one that is not readable stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The questions in order.
    pub items: Vec<Result<Evaluation, String>>,
    /// Until when to go on.
    pub until: Until,
}

/// When a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When all are answered.
    All,
    /// At the first no.
    FirstDeny,
    /// At the first yes.
    FirstPermit,
}

impl Until {
    /// Whether an answer ends the batch.
    #[must_use]
    pub fn ends(self, permitted: bool) -> bool {
        match self {
            Self::All => false,
            Self::FirstDeny => !permitted,
            Self::FirstPermit => permitted,
        }
    }
}

/// What came to the endpoint for several evaluations.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One, since none were listed.
    One(Box<Evaluation>),
    Several(Batch),
}

fn bad(words: impl Into<String>) -> ApiError {
    ApiError::bad_request(words)
}

/// One evaluation.
pub(crate) fn evaluation(body: &Object) -> Result<Evaluation, ApiError> {
    read(body, &Object::new()).map_err(bad)
}

/// One evaluation, or several with what they share.
pub(crate) fn evaluations(body: &Object) -> Result<Asked, ApiError> {
    let items = match body.get("evaluations").filter(|v| !v.is_null()) {
        None => &[][..],
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => return Err(bad("`evaluations` must be a list.")),
    };
    if items.is_empty() {
        return evaluation(body).map(|one| Asked::One(Box::new(one)));
    }
    if items.len() > MAX_EVALUATIONS {
        return Err(bad(format!(
            "`evaluations` may hold {MAX_EVALUATIONS} at most; send the rest in another request."
        )));
    }
    let options = members(body, "options").map_err(bad)?;
    let until = match options.and_then(|o| o.get("evaluations_semantic")).filter(|v| !v.is_null()) {
        None => Until::All,
        Some(Value::String(word)) if word == "execute_all" => Until::All,
        Some(Value::String(word)) if word == "deny_on_first_deny" => Until::FirstDeny,
        Some(Value::String(word)) if word == "permit_on_first_permit" => Until::FirstPermit,
        Some(_) => {
            let words = "execute_all, deny_on_first_deny or permit_on_first_permit";
            return Err(bad(format!("`options.evaluations_semantic` must be {words}.")));
        }
    };
    let one = |item: &Value| match item {
        Value::Object(item) => read(item, body),
        _ => Err("An evaluation must be an object.".to_owned()),
    };
    Ok(Asked::Several(Batch { items: items.iter().map(one).collect(), until }))
}

/// An evaluation whose parts come whole from the item, else whole from what the items share.
fn read(item: &Object, shared: &Object) -> Result<Evaluation, String> {
    let of = |name: &str| if item.get(name).is_some_and(|v| !v.is_null()) { item } else { shared };
    Ok(Evaluation {
        subject: thing(of("subject"), "subject", true)?,
        action: deed(of("action"))?,
        resource: thing(of("resource"), "resource", true)?,
        context: members(of("context"), "context")?.cloned().unwrap_or_default(),
    })
}

/// A search for one side.
pub(crate) fn search(body: &Object, sought: Sought) -> Result<Seek, ApiError> {
    let ask = Evaluation {
        subject: thing(body, "subject", sought != Sought::Principal).map_err(bad)?,
        action: if sought == Sought::Action { Deed::default() } else { deed(body).map_err(bad)? },
        resource: thing(body, "resource", sought != Sought::Resource).map_err(bad)?,
        context: members(body, "context").map_err(bad)?.cloned().unwrap_or_default(),
    };
    let page = members(body, "page").map_err(bad)?;
    let member = |name: &str| page.and_then(|p| p.get(name)).filter(|v| !v.is_null());
    let token = match member("token") {
        None => None,
        Some(Value::String(token)) => Some(token.clone()),
        Some(_) => return Err(bad("`page.token` must be a text.")),
    };
    let limit = match member("limit") {
        None => None,
        Some(limit) => match limit.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0) {
            Some(limit) => Some(limit),
            None => return Err(bad("`page.limit` must be a whole number from 1.")),
        },
    };
    Ok(Seek { sought, ask, token, limit })
}

fn members<'b>(body: &'b Object, name: &str) -> Result<Option<&'b Object>, String> {
    match body.get(name).filter(|v| !v.is_null()) {
        None => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(format!("`{name}` must be an object.")),
    }
}

fn text(of: &Object, name: &str, path: &str) -> Result<String, String> {
    match of.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::String(_)) => Err(format!("`{path}.{name}` is empty.")),
        Some(Value::Null) | None => Err(format!("`{path}.{name}` is missing.")),
        Some(_) => Err(format!("`{path}.{name}` must be a text.")),
    }
}

fn properties(of: &Object, path: &str) -> Result<Object, String> {
    let found = members(of, "properties").map_err(|_| format!("`{path}.properties` must be an object."))?;
    Ok(found.cloned().unwrap_or_default())
}

/// A subject or a resource. Where it is sought, an id is ignored.
fn thing(body: &Object, name: &str, with_id: bool) -> Result<Thing, String> {
    let of = members(body, name)?.ok_or_else(|| format!("`{name}` is missing."))?;
    let id = if with_id { text(of, "id", name)? } else { String::new() };
    Ok(Thing { kind: text(of, "type", name)?, id, properties: properties(of, name)? })
}

fn deed(body: &Object) -> Result<Deed, String> {
    let of = members(body, "action")?.ok_or("`action` is missing.")?;
    Ok(Deed { name: text(of, "name", "action")?, properties: properties(of, "action")? })
}

/// A decision. A yes says no more; a no says why.
pub(crate) fn decision(decision: &Decision) -> Value {
    let Some(reason) = decision.reason else { return json!({ "decision": decision.permitted }) };
    let user = decision.for_user.as_deref().unwrap_or(reason.words());
    json!({
        "decision": decision.permitted,
        "context": { "reason": reason, "reason_user": { "en": user }, "reason_admin": { "en": decision.detail } },
    })
}

/// A page of results, with what is said of the page first.
pub(crate) fn results(seek: &Seek, page: &Page) -> Value {
    let row = |id: &str| match seek.sought {
        Sought::Principal => json!({ "type": seek.ask.subject.kind, "id": id }),
        Sought::Resource => json!({ "type": seek.ask.resource.kind, "id": id }),
        Sought::Action => json!({ "name": id }),
    };
    let rows: Vec<Value> = page.rows.iter().map(|r| row(&r.id)).collect();
    let next = page.next.as_deref().unwrap_or_default();
    json!({ "page": { "next_token": next, "count": rows.len() }, "results": rows })
}
