//! The routes for everyone: signing in, devices, reports.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use safeconduct_model::{DeviceId, Method, PersonId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{finish, no_method, no_route};
use crate::guard::{SignedInVisitor, meant, same_site};
use crate::request::{Asked, Json, Jws, MAX_BODY_BYTES};
use crate::{ApiError, Begun, Callback, Ceremonies, Client, Cookie, DeviceEnrolment, DeviceProof, OidcBegun, SignedIn};

type Backend = State<Arc<dyn Ceremonies>>;

/// The routes of the portal's host. Requests carry [`Client`], and [`Visitor`](safeconduct_access::Visitor) if signed in.
pub fn portal(backend: Arc<dyn Ceremonies>) -> Router {
    Router::new()
        .route("/sign-in/passkey/begin", post(begin_sign_in))
        .route("/sign-in/passkey/finish", post(finish_sign_in))
        .route("/sign-in/oidc/{provider}", get(begin_oidc))
        .route("/sign-in/oidc/{provider}/callback", get(finish_oidc))
        .route("/step-up/passkey/begin", post(begin_step_up))
        .route("/step-up/passkey/finish", post(finish_step_up))
        .route("/me/passkeys/begin", post(begin_registration))
        .route("/me/passkeys/finish", post(finish_registration))
        .route("/me/devices/enrol", post(enrol_device))
        .route("/device/challenge", post(device_challenge))
        .route("/device/prove", post(prove_device))
        .route("/api/v1/posture", post(posture))
        .route("/api/v1/whoami", get(whoami))
        .route("/.well-known/jwks.json", get(jwks))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(finish))
        .with_state(backend)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginSignIn {
    person: Option<String>,
    #[serde(rename = "return", default)]
    return_to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Return {
    #[serde(rename = "return", default)]
    return_to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    ceremony: String,
    credential: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct BeginOidc {
    #[serde(rename = "return", default)]
    return_to: String,
}

async fn begin_sign_in(
    State(backend): Backend,
    client: Client,
    headers: HeaderMap,
    Json(asked): Json<BeginSignIn>,
) -> Result<axum::Json<Begun>, ApiError> {
    same_site(&headers, backend.origin())?;
    backend.begin_sign_in(&client, asked.person, asked.return_to).await.map(axum::Json)
}

async fn finish_sign_in(
    State(backend): Backend,
    client: Client,
    headers: HeaderMap,
    Json(asked): Json<Finish>,
) -> Result<Response, ApiError> {
    same_site(&headers, backend.origin())?;
    backend.finish_sign_in(&client, asked.ceremony, asked.credential).await.and_then(|done| located(&done))
}

async fn begin_step_up(
    State(backend): Backend,
    client: Client,
    SignedInVisitor(visitor): SignedInVisitor,
    headers: HeaderMap,
    Json(asked): Json<Return>,
) -> Result<axum::Json<Begun>, ApiError> {
    meant(&headers, backend.origin(), &visitor)?;
    backend.begin_step_up(&client, &visitor, asked.return_to).await.map(axum::Json)
}

async fn finish_step_up(
    State(backend): Backend,
    client: Client,
    SignedInVisitor(visitor): SignedInVisitor,
    headers: HeaderMap,
    Json(asked): Json<Finish>,
) -> Result<Response, ApiError> {
    meant(&headers, backend.origin(), &visitor)?;
    backend.finish_step_up(&client, &visitor, asked.ceremony, asked.credential).await.and_then(|done| located(&done))
}

async fn begin_registration(
    State(backend): Backend,
    client: Client,
    SignedInVisitor(visitor): SignedInVisitor,
    headers: HeaderMap,
    Json(asked): Json<Named>,
) -> Result<axum::Json<Begun>, ApiError> {
    meant(&headers, backend.origin(), &visitor)?;
    backend.begin_registration(&client, &visitor, asked.name).await.map(axum::Json)
}

async fn finish_registration(
    State(backend): Backend,
    client: Client,
    SignedInVisitor(visitor): SignedInVisitor,
    headers: HeaderMap,
    Json(asked): Json<Finish>,
) -> Result<Response, ApiError> {
    meant(&headers, backend.origin(), &visitor)?;
    backend
        .finish_registration(&client, &visitor, asked.ceremony, asked.credential)
        .await
        .and_then(|done| located(&done))
}

async fn device_challenge(
    State(backend): Backend,
    client: Client,
    visitor: Option<SignedInVisitor>,
    headers: HeaderMap,
) -> Result<axum::Json<Value>, ApiError> {
    let visitor = visitor.map(|SignedInVisitor(visitor)| visitor);
    match &visitor {
        Some(visitor) => meant(&headers, backend.origin(), visitor)?,
        None => same_site(&headers, backend.origin())?,
    }
    let challenge = backend.device_challenge(&client, visitor.as_ref()).await?;
    Ok(axum::Json(json!({ "challenge": challenge })))
}

async fn prove_device(
    State(backend): Backend,
    client: Client,
    SignedInVisitor(visitor): SignedInVisitor,
    headers: HeaderMap,
    Asked(wanted): Asked<Return>,
    Json(proof): Json<DeviceProof>,
) -> Result<Response, ApiError> {
    meant(&headers, backend.origin(), &visitor)?;
    backend.prove_device(&client, &visitor, proof, wanted.return_to).await.and_then(|done| located(&done))
}

async fn enrol_device(
    State(backend): Backend,
    client: Client,
    SignedInVisitor(visitor): SignedInVisitor,
    headers: HeaderMap,
    Json(enrolment): Json<DeviceEnrolment>,
) -> Result<axum::Json<Value>, ApiError> {
    meant(&headers, backend.origin(), &visitor)?;
    let device = backend.enrol_device(&client, &visitor, enrolment).await?;
    Ok(axum::Json(json!({ "device": device })))
}

async fn begin_oidc(
    State(backend): Backend,
    client: Client,
    visitor: Option<SignedInVisitor>,
    Path(provider): Path<String>,
    Asked(asked): Asked<BeginOidc>,
) -> Result<Response, ApiError> {
    let visitor = visitor.map(|SignedInVisitor(visitor)| visitor);
    let OidcBegun { location, cookie } =
        backend.begin_oidc(&client, visitor.as_ref(), provider, asked.return_to).await?;
    redirect(&location, &[cookie])
}

async fn finish_oidc(
    State(backend): Backend,
    client: Client,
    visitor: Option<SignedInVisitor>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    Asked(callback): Asked<Callback>,
) -> Result<Response, ApiError> {
    let visitor = visitor.map(|SignedInVisitor(visitor)| visitor);
    let flow = Cookie::read(&headers, Cookie::FLOW);
    let done = backend.finish_oidc(&client, visitor.as_ref(), provider, callback, flow).await?;
    let mut cookies = done.cookies;
    cookies.push(Cookie::forget(Cookie::FLOW));
    redirect(&done.location, &cookies)
}

async fn posture(State(backend): Backend, client: Client, Jws(token): Jws) -> Result<StatusCode, ApiError> {
    backend.posture(&client, token).await.map(|()| StatusCode::NO_CONTENT)
}

async fn jwks(State(backend): Backend) -> axum::Json<Value> {
    axum::Json(backend.jwks())
}

#[derive(Serialize)]
struct WhoAmI {
    person: PersonId,
    name: String,
    session: SessionId,
    methods: Vec<Method>,
    at: Timestamp,
    until: Timestamp,
    device: Option<DeviceId>,
    operator: bool,
}

async fn whoami(SignedInVisitor(visitor): SignedInVisitor) -> axum::Json<WhoAmI> {
    axum::Json(WhoAmI {
        person: visitor.person,
        name: visitor.name,
        session: visitor.auth.session,
        methods: visitor.auth.methods.into_iter().collect(),
        at: visitor.auth.at,
        until: visitor.auth.until,
        device: visitor.device,
        operator: visitor.operator,
    })
}

/// The answer for the script of a page: where to go, and the cookies.
fn located(done: &SignedIn) -> Result<Response, ApiError> {
    let mut response = axum::Json(json!({ "location": done.location })).into_response();
    set_cookies(&mut response, &done.cookies)?;
    Ok(response)
}

fn redirect(location: &str, cookies: &[Cookie]) -> Result<Response, ApiError> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::from_str(location).map_err(|_| unwritable("location"))?;
    response.headers_mut().insert(header::LOCATION, location);
    set_cookies(&mut response, cookies)?;
    Ok(response)
}

fn set_cookies(response: &mut Response, cookies: &[Cookie]) -> Result<(), ApiError> {
    for cookie in cookies {
        let value = HeaderValue::from_str(&cookie.to_header()).map_err(|_| unwritable(cookie.name()))?;
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(())
}

fn unwritable(what: &str) -> ApiError {
    tracing::error!(what, "a header could not be written");
    ApiError::internal()
}
