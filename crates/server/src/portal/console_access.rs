//! Who may operate Safeconduct is decided like everything else: by policy, with a record.

use std::net::IpAddr;
use std::time::Instant;

use http::{HeaderValue, Method, Response, StatusCode, header};
use safeconduct_access::Session;
use safeconduct_config::CONSOLE;
use safeconduct_gateway::{Body, CookieToken, Credentials, DenialPage, Identity, empty, full};
use safeconduct_model::{Action, AppId, Ask, Place, Reason, Record, RequestId, Timestamp, What};
use safeconduct_policy::Verdict;

use crate::house::House;
use crate::portal::{Asked, page, pages, problem};
use crate::sign_in::encode;

fn console() -> AppId {
    CONSOLE.parse().expect("a fixed id is valid")
}

/// Decides and records a request to the console. The error is the answer to give instead.
pub(crate) async fn decide(house: &House, asked: &Asked) -> Result<(), Response<Body>> {
    let now = house.now();
    let app = console();
    let credentials = Credentials {
        cookie: asked.cookie.as_deref().map(CookieToken::new),
        token: None,
        certificate: asked.certificate.clone(),
        peer: asked.ip,
        host: asked.host.clone(),
    };
    let identity = house.who_is(&credentials, &app, now);
    let current = house.current();
    let Some(application) = current.snapshot.application(&app) else {
        return Err(problem(house, StatusCode::NOT_FOUND, Reason::UnknownApplication, &asked.id));
    };
    let action = application.action(asked.method.as_str(), &asked.path, false);
    let ask = ask(asked.id.clone(), identity, action, asked.method.as_str(), &asked.path, asked.ip);
    let started = Instant::now();
    let verdict = current.snapshot.decide(&ask, now);
    let took_us = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
    let record = Record::Access(Box::new(verdict.record(&ask, now, application.mode, took_us)));
    let written = match house.record(record) {
        Ok(receipt) => receipt.written().await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        tracing::warn!(%error, "the console is closed: its use cannot be recorded");
        return Err(problem(house, StatusCode::SERVICE_UNAVAILABLE, Reason::RecordUnavailable, &asked.id));
    }
    match verdict {
        Verdict::Permit(_) => Ok(()),
        Verdict::Denial(denial) => {
            let back = format!("{}{}", house.origin, asked.target());
            if asked.path.starts_with("/api/") {
                return Err(json(denial.reason, &asked.id));
            }
            if denial.reason == Reason::SignInRequired && asked.method == Method::GET {
                return Err(sign_in(&format!("/sign-in?return={}", encode(&back))));
            }
            let told = DenialPage {
                request: asked.id.clone(),
                at: now,
                app: application.clone(),
                person: ask.who.principal.person().cloned(),
                method: asked.method.to_string(),
                path: asked.path.clone(),
                return_to: back,
                reason: denial.reason,
                failing: denial.failing,
                remedies: denial.remedies,
                rules: denial.grounds.rules,
            };
            Err(page(StatusCode::FORBIDDEN, pages::denial(house, &told)))
        }
    }
}

/// Whether policy would let this session look at the console. For the link on pages; nothing is opened by it.
pub(crate) fn may_look(house: &House, session: &Session, ip: IpAddr, now: Timestamp) -> bool {
    let identity = house.identity_of(session, &console(), ip, now);
    let request = "look".parse().expect("a fixed id is valid");
    house.current().snapshot.decide(&ask(request, identity, Action::Read, "GET", "/console", ip), now).is_permit()
}

fn ask(request: RequestId, identity: Identity, action: Action, method: &str, path: &str, ip: IpAddr) -> Ask {
    let Identity { who, device, why, lock, network, country } = identity;
    let what = What { app: console(), action, method: method.to_owned(), path: path.to_owned() };
    Ask { request, who, what, place: Place { ip, network, country, device }, why, lock }
}

fn sign_in(location: &str) -> Response<Body> {
    let mut answer = Response::new(empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(value) = HeaderValue::from_str(location) {
        answer.headers_mut().insert(header::LOCATION, value);
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn json(reason: Reason, request: &RequestId) -> Response<Body> {
    let told = serde_json::json!({ "error": { "code": reason.code(), "words": reason.words(), "request": request } });
    let mut answer = Response::new(full(told.to_string()));
    *answer.status_mut() =
        if reason == Reason::SignInRequired { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
