//! OpenID AuthZEN Authorization API 1.0: evaluation, evaluations, search, discovery.

#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::HeaderMap;
use safeconduct_config::Surface;
use safeconduct_policy::engine::Sought;
use serde_json::{Value, json};

use crate::point::{ByProgram, DecisionPoint, Point, object};
use crate::{ApiError, Asker, Proof};
use wire::Asked;
pub use wire::{Batch, MAX_EVALUATIONS, Until};

/// Endpoints by their key in the metadata.
const ENDPOINTS: [(&str, &str); 5] = [
    ("access_evaluation_endpoint", "/access/v1/evaluation"),
    ("access_evaluations_endpoint", "/access/v1/evaluations"),
    ("search_subject_endpoint", "/access/v1/search/subject"),
    ("search_resource_endpoint", "/access/v1/search/resource"),
    ("search_action_endpoint", "/access/v1/search/action"),
];
const DISCOVERY: &str = "/.well-known/authzen-configuration";

type Named = Option<Path<String>>;
type Answered = Result<axum::Json<Value>, ApiError>;

pub(crate) fn routes() -> Router<Arc<dyn DecisionPoint>> {
    let mut router = Router::new();
    for base in ["", "/stores/{store}"] {
        let at = |path: &str| format!("{base}{path}");
        router = router
            .route(&at("/access/v1/evaluation"), post(evaluation))
            .route(&at("/access/v1/evaluations"), post(evaluations))
            .route(&at("/access/v1/search/subject"), post(subjects))
            .route(&at("/access/v1/search/resource"), post(resources))
            .route(&at("/access/v1/search/action"), post(actions))
            .route(&format!("{DISCOVERY}{base}"), get(discovery));
    }
    router
}

fn admit(point: &dyn DecisionPoint, proof: &Proof, surface: Surface, store: &Named) -> Result<Asker, ApiError> {
    point.admit(proof, surface, store.as_ref().map(|Path(name)| name.as_str()))
}

async fn evaluation(
    State(point): Point,
    store: Named,
    ByProgram(proof): ByProgram,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let asker = admit(&*point, &proof, Surface::Evaluate, &store)?;
    let ask = wire::evaluation(&object(&headers, &body)?)?;
    one(&*point, &asker, ask).await
}

async fn one(point: &dyn DecisionPoint, asker: &Asker, ask: safeconduct_policy::store::Evaluation) -> Answered {
    let decisions = point.evaluate(asker, Batch { items: vec![Ok(ask)], until: Until::All }).await?;
    decisions.first().map(|d| axum::Json(wire::decision(d))).ok_or_else(ApiError::internal)
}

async fn evaluations(
    State(point): Point,
    store: Named,
    ByProgram(proof): ByProgram,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let asker = admit(&*point, &proof, Surface::Evaluate, &store)?;
    match wire::evaluations(&object(&headers, &body)?)? {
        Asked::One(ask) => one(&*point, &asker, *ask).await,
        Asked::Several(batch) => {
            let decisions = point.evaluate(&asker, batch).await?;
            let told: Vec<Value> = decisions.iter().map(wire::decision).collect();
            Ok(axum::Json(json!({ "evaluations": told })))
        }
    }
}

async fn subjects(point: Point, store: Named, proof: ByProgram, headers: HeaderMap, body: Bytes) -> Answered {
    search(point, store, proof, headers, body, Sought::Principal).await
}

async fn resources(point: Point, store: Named, proof: ByProgram, headers: HeaderMap, body: Bytes) -> Answered {
    search(point, store, proof, headers, body, Sought::Resource).await
}

async fn actions(point: Point, store: Named, proof: ByProgram, headers: HeaderMap, body: Bytes) -> Answered {
    search(point, store, proof, headers, body, Sought::Action).await
}

async fn search(
    State(point): Point,
    store: Named,
    ByProgram(proof): ByProgram,
    headers: HeaderMap,
    body: Bytes,
    sought: Sought,
) -> Answered {
    let asker = admit(&*point, &proof, Surface::Search, &store)?;
    let seek = wire::search(&object(&headers, &body)?, sought)?;
    let page = point.search(&asker, seek.clone()).await?;
    Ok(axum::Json(wire::results(&seek, &page)))
}

/// The metadata document. It is the same for everyone, and says nothing that a client could not try.
async fn discovery(State(point): Point, store: Named) -> Answered {
    let name = store.as_ref().map(|Path(name)| name.as_str());
    let origin = point.origin_of(name).ok_or_else(|| ApiError::not_found("There is no such decision point."))?;
    let base = name.map_or_else(|| origin.clone(), |name| format!("{origin}/stores/{name}"));
    let mut document = serde_json::Map::from_iter([("policy_decision_point".to_owned(), json!(base))]);
    document.extend(ENDPOINTS.map(|(key, path)| (key.to_owned(), json!(format!("{base}{path}")))));
    Ok(axum::Json(Value::Object(document)))
}
