//! Kubernetes' authorization webhook: `SubjectAccessReview` (authorization.k8s.io/v1) over a decision store.
//!
//! A user is `user` with the properties `groups` and `uid`; a resource is `kubernetes_resource` with the id
//! `GROUP/RESOURCE/NAMESPACE/NAME` and its parts as properties; another path is `kubernetes_path` with the path as id; the verb is
//! the action. A permit allows; a forbidding rule, a rule that could not be evaluated or a question that the store does not
//! know denies for good; where no rule speaks there is no opinion, and the next authorizer is asked.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use http::HeaderMap;
use safeconduct_config::Surface;
use safeconduct_model::Reason;
use safeconduct_policy::store::{Decision, Deed, Evaluation, Thing};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::point::{ByProgram, DecisionPoint, Point, object};
use crate::{ApiError, Batch, Until};

const VERSION: &str = "authorization.k8s.io/v1";
const KIND: &str = "SubjectAccessReview";

pub(crate) fn routes() -> Router<Arc<dyn DecisionPoint>> {
    Router::new().route("/stores/{store}/subject-access-review", post(review))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    user: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    uid: String,
    resource_attributes: Option<Resource>,
    non_resource_attributes: Option<Other>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Resource {
    namespace: String,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Other {
    path: String,
    verb: String,
}

async fn review(
    State(point): Point,
    Path(store): Path<String>,
    ByProgram(proof): ByProgram,
    headers: HeaderMap,
    body: Bytes,
) -> Result<axum::Json<Value>, ApiError> {
    let asker = point.admit(&proof, Surface::Review, Some(&store))?;
    let mut body = object(&headers, &body)?;
    if body.get("apiVersion") != Some(&json!(VERSION)) || body.get("kind") != Some(&json!(KIND)) {
        return Err(ApiError::bad_request(format!("The body must be a {KIND} of {VERSION}.")));
    }
    let spec = body.remove("spec").unwrap_or_default();
    let spec: Spec = serde_json::from_value(spec).map_err(|e| ApiError::bad_request(format!("`spec`: {e}.")))?;
    let ask = evaluation(spec).map_err(ApiError::bad_request)?;
    let decisions = point.evaluate(&asker, Batch { items: vec![Ok(ask)], until: Until::All }).await?;
    let decision = decisions.first().ok_or_else(ApiError::internal)?;
    Ok(axum::Json(json!({ "apiVersion": VERSION, "kind": KIND, "status": status(decision) })))
}

fn evaluation(spec: Spec) -> Result<Evaluation, String> {
    if spec.user.is_empty() {
        return Err("`spec.user` is missing.".to_owned());
    }
    let mut subject = Thing::new("user", &spec.user);
    subject.properties.insert("groups".to_owned(), json!(spec.groups));
    subject.properties.insert("uid".to_owned(), json!(spec.uid));
    let (verb, resource) = match (spec.resource_attributes, spec.non_resource_attributes) {
        (Some(r), None) => {
            let id = format!("{}/{}/{}/{}", r.group, r.resource, r.namespace, r.name);
            let mut thing = Thing::new("kubernetes_resource", &id);
            for (name, value) in [
                ("namespace", r.namespace),
                ("group", r.group),
                ("version", r.version),
                ("resource", r.resource),
                ("subresource", r.subresource),
                ("name", r.name),
            ] {
                thing.properties.insert(name.to_owned(), Value::String(value));
            }
            (r.verb, thing)
        }
        (None, Some(o)) => (o.verb, Thing::new("kubernetes_path", &o.path)),
        _ => return Err("`spec` needs either resourceAttributes or nonResourceAttributes.".to_owned()),
    };
    if verb.is_empty() || resource.id.is_empty() {
        return Err("the verb or the path is missing.".to_owned());
    }
    Ok(Evaluation { subject, action: Deed::new(&verb), resource, context: Map::new() })
}

fn status(decision: &Decision) -> Value {
    match decision.reason {
        None if decision.permitted => json!({ "allowed": true, "reason": decision.detail }),
        // Nothing is said: the next authorizer is asked.
        Some(Reason::NoRule) => json!({ "allowed": false, "reason": decision.detail }),
        Some(Reason::Forbidden) => json!({ "allowed": false, "denied": true, "reason": decision.detail }),
        _ => json!({ "allowed": false, "denied": true, "evaluationError": decision.detail }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(permitted: bool, reason: Option<Reason>) -> Decision {
        Decision { permitted, reason, for_user: None, detail: "d".to_owned(), rules: Vec::new() }
    }

    #[test]
    fn silence_is_no_opinion_and_an_error_denies() {
        assert_eq!(status(&decision(true, None)), json!({ "allowed": true, "reason": "d" }));
        assert_eq!(status(&decision(false, Some(Reason::NoRule))), json!({ "allowed": false, "reason": "d" }));
        assert_eq!(status(&decision(false, Some(Reason::Forbidden)))["denied"], true);
        let error = status(&decision(false, Some(Reason::EvaluationError)));
        assert_eq!((&error["denied"], &error["evaluationError"]), (&json!(true), &json!("d")));
    }

    #[test]
    fn a_review_speaks_of_one_thing() {
        let read = |spec: Value| evaluation(serde_json::from_value(spec).unwrap());
        let pod = json!({ "user": "ann", "groups": ["dev"], "resourceAttributes": { "verb": "get", "resource": "pods", "namespace": "shop" } });
        let ask = read(pod.clone()).unwrap();
        assert_eq!((ask.action.name.as_str(), ask.resource.id.as_str()), ("get", "/pods/shop/"));
        assert_eq!(ask.subject.properties["groups"], json!(["dev"]));
        let path = json!({ "user": "ann", "nonResourceAttributes": { "verb": "get", "path": "/healthz" } });
        assert_eq!(read(path).unwrap().resource, Thing::new("kubernetes_path", "/healthz"));
        let mut both = pod;
        both["nonResourceAttributes"] = json!({ "verb": "get", "path": "/" });
        assert!(read(both).is_err() && read(json!({ "user": "ann" })).is_err() && read(json!({})).is_err());
    }
}
