//! The portal host: sign-in, everybody's own page, the console, the JSON API. Also the reserved paths on the hosts of
//! applications. One place decides which room answers, who the visitor is, and whether policy lets the visitor in.

pub(crate) mod admin;
pub(crate) mod ceremonies;
pub(crate) mod console_access;
pub(crate) mod pages;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body as AxumBody;
use axum::response::{IntoResponse, Redirect};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use safeconduct_access::Visitor;
use safeconduct_api::{Client, Cookie};
use safeconduct_authn::one_time::{Digest, Purpose, Token};
use safeconduct_authn::return_to::ReturnTo;
use safeconduct_gateway::{Body, ClientCertificate, PortalRequest, full};
use safeconduct_model::{DeviceId, Duration, Host, Reason, RequestId};
use tower::ServiceExt;

use crate::house::{House, new_token, session_hash};
use crate::locks::Somebody;
use crate::sign_in::encode;

tokio::task_local! {
    /// From where the request comes that is being answered.
    pub(crate) static CLIENT: Client;
    /// The device whose certificate the client showed.
    pub(crate) static SHOWN_DEVICE: Option<DeviceId>;
}

/// What is asked, without the body: plain data that may be looked at while something else is waited for.
#[derive(Clone)]
pub(crate) struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub cookie: Option<String>,
    pub arrival: Option<String>,
    pub id: RequestId,
    pub host: Host,
    pub ip: IpAddr,
    pub certificate: Option<ClientCertificate>,
}

impl Asked {
    fn of(request: &PortalRequest) -> Self {
        let uri = request.request.uri();
        Self {
            method: request.request.method().clone(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            cookie: Cookie::read(request.request.headers(), Cookie::SESSION),
            arrival: Cookie::read(request.request.headers(), Cookie::ARRIVAL),
            id: request.id.clone(),
            host: request.host.clone(),
            ip: request.peer.ip(),
            certificate: request.certificate.clone(),
        }
    }

    /// The path with the query, as it was asked.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

/// How long a browser may take to sign in, once it set out from the host of an application.
const ARRIVAL: Duration = Duration::from_mins(30);
/// Where a session arrives on a host.
const ARRIVE: &str = "/.safeconduct/arrive";

/// The rooms of the portal host.
#[derive(Clone)]
pub(crate) struct Portal {
    house: Arc<House>,
    console: axum::Router,
    ceremonies: axum::Router,
    admin: axum::Router,
    programs: axum::Router,
}

/// Which room answers a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// JSON for everyone: ceremonies, reports, keys.
    Ceremonies,
    /// Forms and JSON for programs that sign in, and their tokens.
    Programs,
    /// JSON for operators.
    Admin,
    /// Pages for operators.
    Console,
    /// Pages for everyone.
    Pages,
    /// On to where a sign-in was wanted.
    Continue,
}

fn room(method: &Method, path: &str) -> Room {
    let exact =
        ["/.well-known/jwks.json", "/api/v1/posture", "/api/v1/whoami", "/me/devices/enrol", "/device/challenge"];
    let below = ["/sign-in/passkey/", "/sign-in/oidc/", "/step-up/passkey/"];
    let programs = path == "/.well-known/oauth-authorization-server"
        || (path.starts_with("/oauth/") && path != "/oauth/authorize");
    let registering = path == "/me/passkeys/begin" || path == "/me/passkeys/finish";
    let proving = path == "/device/prove" && method == Method::POST;
    if exact.contains(&path) || below.iter().any(|p| path.starts_with(p)) || registering || proving {
        Room::Ceremonies
    } else if programs {
        Room::Programs
    } else if path.starts_with("/api/") {
        Room::Admin
    } else if path == "/console" || path.starts_with("/console/") {
        Room::Console
    } else if path == "/continue" {
        Room::Continue
    } else {
        Room::Pages
    }
}

impl Portal {
    pub(crate) fn new(house: &Arc<House>) -> Self {
        Self {
            house: Arc::clone(house),
            console: safeconduct_console::router(Arc::new(crate::rooms::Rooms::new(Arc::clone(house)))),
            ceremonies: safeconduct_api::portal(Arc::new(ceremonies::Desk(Arc::clone(house)))),
            admin: safeconduct_api::admin(Arc::new(admin::Desk(Arc::clone(house)))),
            programs: safeconduct_api::oauth(Arc::new(crate::programs::Desk(Arc::clone(house)))),
        }
    }

    /// Answers a request of the gateway.
    pub(crate) fn answer(&self, request: PortalRequest) -> BoxFuture<'static, Response<Body>> {
        let portal = self.clone();
        async move {
            let client = Client { ip: request.peer.ip(), request: request.id.clone() };
            let shown = request.certificate.as_ref().and_then(|c| portal.house.device_shown(c));
            let asked = Asked::of(&request);
            // The console is an application too, so the portal is told by its host.
            let answer = if portal.house.current().config.settings.portal == asked.host {
                portal.on_portal_host(asked, request.request, client.clone()).boxed()
            } else {
                portal.on_application_host(asked).boxed()
            };
            CLIENT.scope(client, SHOWN_DEVICE.scope(shown, answer)).await
        }
        .boxed()
    }

    /// `/.safeconduct/…` on the host of an application: where sessions arrive, and the style sheet of denial pages.
    async fn on_application_host(self, asked: Asked) -> Response<Body> {
        if asked.path == ARRIVE {
            return self.arrive(asked).await;
        }
        match asked.path.strip_prefix("/.safeconduct/assets/") {
            Some(name) => {
                let inner = Request::builder().uri(format!("/assets/{name}")).body(AxumBody::empty());
                let inner = inner.unwrap_or_else(|_| Request::new(AxumBody::empty()));
                unwrapped(self.console.oneshot(inner).await)
            }
            None => problem(&self.house, StatusCode::NOT_FOUND, Reason::UnknownApplication, &asked.id),
        }
    }

    /// A session arrives on the host of an application: its code is traded for a secret of this host, in the browser that
    /// asked for it here. A browser without a code gets a word of its own first, and asks for one with it.
    async fn arrive(self, asked: Asked) -> Response<Body> {
        let code = parameter(&asked.query, "code");
        let back = self.house.return_to(&parameter(&asked.query, "to").unwrap_or_default());
        // An address without an origin is a path of the portal.
        let origin = back.origin().unwrap_or(&self.house.origin);
        let here = origin.strip_prefix("https://").and_then(|h| h.split(':').next()) == Some(asked.host.as_str());
        let bad = || problem(&self.house, StatusCode::BAD_REQUEST, Reason::BadRequest, &asked.id);
        if !here {
            return bad();
        }
        let Some(code) = code else { return self.ask_for_arrival(&asked, &back, false) };
        let Ok(code) = code.parse::<Token>() else { return bad() };
        let browser = asked.arrival.as_deref().and_then(|secret| secret.parse::<Token>().ok());
        match self.house.receive_session(&code, &asked.host, browser.as_ref()).await {
            Ok(token) => {
                let cookies = [Cookie::new(Cookie::SESSION, token.reveal(), None), Cookie::forget(Cookie::ARRIVAL)];
                sent_on(back.as_str(), &cookies)
            }
            // The code was used, is too old, or was meant for another browser: begin again, once.
            Err(_) if parameter(&asked.query, "retry").is_none() => self.ask_for_arrival(&asked, &back, true),
            Err(_) => bad(),
        }
    }

    /// Sends a browser to the portal with a word that only it knows in full: the portal gets the digest, and the code that it
    /// sends back is good for this browser alone (RFC 6749, section 10.12).
    fn ask_for_arrival(&self, asked: &Asked, back: &ReturnTo, retry: bool) -> Response<Body> {
        let Ok(secret) = new_token() else {
            return problem(&self.house, StatusCode::SERVICE_UNAVAILABLE, Reason::LimitReached, &asked.id);
        };
        let browser = secret.digest(Purpose::Arrival).to_hex();
        let retry = if retry { "&retry=1" } else { "" };
        let to = format!("{}/sign-in?return={}&browser={browser}{retry}", self.house.origin, encode(back.as_str()));
        sent_on(&to, &[Cookie::new(Cookie::ARRIVAL, secret.reveal(), Some(ARRIVAL))])
    }

    async fn on_portal_host(self, asked: Asked, request: Request<Body>, client: Client) -> Response<Body> {
        if asked.path == ARRIVE {
            return self.arrive(asked).await;
        }
        let room = room(&asked.method, &asked.path);
        let mut visitor = self.visitor(&asked);
        if matches!(room, Room::Console | Room::Admin) {
            match console_access::decide(&self.house, &asked).await {
                Ok(()) => {
                    if let Some(v) = visitor.as_mut() {
                        v.operator = true;
                    }
                }
                Err(denied) => return denied,
            }
        }
        // Whoever is signed in already goes on at once: one sign-in for every application.
        // Unless they want to sign in anew, as who steps up with a password does.
        let anew = parameter(&asked.query, "again").is_some();
        let goes_on = room == Room::Continue || (asked.path == "/sign-in" && asked.method == Method::GET && !anew);
        if goes_on {
            if let Some(v) = &visitor {
                return self.go_on(v, &asked);
            }
            if room == Room::Continue {
                return boxed(Redirect::to(&format!("/sign-in?{}", asked.query)).into_response());
            }
        }
        let mut inner = request.map(AxumBody::new);
        inner.extensions_mut().insert(client);
        if let Some(visitor) = &visitor {
            inner.extensions_mut().insert(visitor.clone());
        }
        let router = match room {
            Room::Ceremonies => self.ceremonies,
            Room::Programs => self.programs,
            Room::Admin => self.admin,
            Room::Console | Room::Pages | Room::Continue => self.console,
        };
        match router.oneshot(inner).await {
            Ok(answer) => stream::guarded(&self.house, visitor.as_ref(), asked.ip, answer),
            Err(never) => match never {},
        }
    }

    fn go_on(&self, visitor: &Visitor, asked: &Asked) -> Response<Body> {
        let back = self.house.return_to(&parameter(&asked.query, "return").unwrap_or_default());
        let browser = parameter(&asked.query, "browser").and_then(|digest| Digest::from_hex(&digest));
        match self.house.onward(&visitor.auth.session, &back, browser) {
            Ok(location) => {
                let retry =
                    parameter(&asked.query, "retry").is_some() && location.contains("/.safeconduct/arrive?code=");
                sent_on(&if retry { format!("{location}&retry=1") } else { location }, &[])
            }
            Err(error) => {
                tracing::warn!(%error, "a session could not be carried on");
                problem(&self.house, StatusCode::SERVICE_UNAVAILABLE, Reason::LimitReached, &asked.id)
            }
        }
    }

    /// The person behind the portal's cookie.
    fn visitor(&self, asked: &Asked) -> Option<Visitor> {
        let token: Token = asked.cookie.as_ref()?.parse().ok()?;
        let now = self.house.now();
        let session = {
            let mut sessions = self.house.sessions();
            sessions.find(&session_hash(&token), &asked.host, now).map(|(session, _)| session.clone())?
        };
        let current = self.house.current();
        let person = current.config.estate.people.get(&session.person).filter(|p| p.active)?;
        let shown = asked.certificate.as_ref().and_then(|c| self.house.device_shown(c));
        if !self.house.device_holds(&session, shown.as_ref()) {
            return None;
        }
        let groups = current.config.estate.groups_of(&session.person)?;
        let (device, session_id) = (session.device.as_ref().or(shown.as_ref()), Some(&session.id));
        let somebody = Somebody { person: &session.person, groups: &groups, session: session_id, device };
        if self.house.lock_on(&somebody, now).is_some() {
            return None;
        }
        let operator = console_access::may_look(&self.house, &session, asked.ip, now);
        Some(Visitor {
            person: session.person.clone(),
            name: person.name.clone(),
            auth: session.auth(),
            device: session.device.clone(),
            csrf: token.csrf(),
            operator,
        })
    }
}

fn unwrapped(answer: Result<Response<AxumBody>, std::convert::Infallible>) -> Response<Body> {
    match answer {
        Ok(answer) => boxed(answer),
        Err(never) => match never {},
    }
}

/// Sends a browser on, with cookies, and leaves no trace of the address.
fn sent_on(to: &str, cookies: &[Cookie]) -> Response<Body> {
    let mut answer = Redirect::to(to).into_response();
    for cookie in cookies.iter().filter_map(|cookie| HeaderValue::from_str(&cookie.to_header()).ok()) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    boxed(answer)
}

fn boxed(answer: Response<AxumBody>) -> Response<Body> {
    answer.map(safeconduct_gateway::boxed)
}

/// A page that says what went wrong, with the headers of every page of ours.
pub(crate) fn problem(
    house: &House,
    status: StatusCode,
    reason: Reason,
    id: &safeconduct_model::RequestId,
) -> Response<Body> {
    let told = safeconduct_gateway::Problem { request: id.clone(), status: status.as_u16(), reason, app: None };
    page(status, pages::problem(house, &told))
}

/// A page of ours.
pub(crate) fn page(status: StatusCode, html: String) -> Response<Body> {
    let mut answer = Response::new(full(html));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    safeconduct_console::protect(headers);
    answer
}

/// The first value of a parameter of a query, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(b) = rest.next() {
        bytes.push(match b {
            b'+' => b' ',
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_room() {
        for (method, path, expected) in [
            ("POST", "/sign-in/passkey/begin", Room::Ceremonies),
            ("GET", "/sign-in/oidc/corp/callback", Room::Ceremonies),
            ("POST", "/oauth/token", Room::Programs),
            ("GET", "/.well-known/oauth-authorization-server", Room::Programs),
            ("GET", "/oauth/authorize", Room::Pages),
            ("POST", "/activate", Room::Pages),
            ("GET", "/sign-in", Room::Pages),
            ("POST", "/sign-in/password", Room::Pages),
            ("GET", "/device/prove", Room::Pages),
            ("POST", "/device/prove", Room::Ceremonies),
            ("GET", "/console", Room::Console),
            ("GET", "/consolex", Room::Pages),
            ("POST", "/console/policy/propose", Room::Console),
            ("GET", "/api/v1/sessions", Room::Admin),
            ("GET", "/api/v1/whoami", Room::Ceremonies),
            ("POST", "/me/passkeys/abc/remove", Room::Pages),
        ] {
            let method = method.parse().expect("a method");
            assert_eq!(room(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn parameters_are_decoded_once() {
        assert_eq!(parameter("a=1&to=%2Fx%3Fy%3D1%252F", "to").as_deref(), Some("/x?y=1%2F"));
        assert_eq!(parameter("to=a+b", "to").as_deref(), Some("a b"));
        assert_eq!(parameter("to=%zz", "to"), None);
        assert_eq!(parameter("x=1", "to"), None);
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for text in ["/a b?c=d&e=f", "https://x:1/ä#%2F+"] {
            assert_eq!(parameter(&format!("to={}", encode(text)), "to").as_deref(), Some(text));
        }
    }
}
