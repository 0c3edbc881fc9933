//! Pages and actions of end users, and sign-in.

use axum::extract::{Path, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;

use super::Shared;
use super::console::id;
use super::guard::{Anyone, Checked, Signed, page, problem, trouble};
use crate::parts::{layout, url};
use crate::view::{Frame, Hidden, Outcome, PasswordForm, PurposeForm, SetupForm};
use crate::{Trouble, pages};

type Shares = State<Shared>;

fn shown(shared: &Shared, answer: Result<Markup, Trouble>) -> Response {
    match answer {
        Ok(markup) => page(StatusCode::OK, markup),
        Err(e) => trouble(shared, e),
    }
}

/// Where to go on, as far as the backend vouches for it.
fn back(shared: &Shared, wanted: &str) -> String {
    let safe = shared.backend.safe_return(wanted);
    if url::is_plain(&safe) { safe } else { "/".to_owned() }
}

/// Goes on. A form must not be redirected to another host under our `form-action`, so such a step is a page that leads on.
fn onward(frame: &Frame, to: &str, cookies: &[String]) -> Response {
    let mut answer = if url::is_local(to) {
        Redirect::to(to).into_response()
    } else if url::is_plain(to) {
        page(StatusCode::OK, layout::onward(&frame.assets, to))
    } else {
        Redirect::to("/").into_response()
    };
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            answer.headers_mut().append(SET_COOKIE, value);
        }
    }
    answer
}

pub(crate) async fn nothing(State(s): Shares) -> Response {
    problem(&s, StatusCode::NOT_FOUND, None)
}

pub(crate) async fn home(State(s): Shares, Signed(f, by): Signed) -> Response {
    shown(&s, s.backend.home(&by).await.map(|v| pages::me::home(&f, &v)))
}

pub(crate) async fn security(State(s): Shares, Signed(f, by): Signed) -> Response {
    shown(&s, s.backend.security(&by).await.map(|v| pages::me::security(&f, &v, None)))
}

/// Goes on, or shows the page of sign-in methods again with the error.
async fn secured(
    s: &Shared,
    f: &Frame,
    by: &safeconduct_access::Visitor,
    outcome: Result<Outcome, Trouble>,
) -> Response {
    match outcome {
        Ok(Outcome::Redirect { to, cookies }) => onward(f, &to, &cookies),
        Ok(Outcome::Again { error }) => match s.backend.security(by).await {
            Ok(v) => {
                let frame = Frame { path: "/me/security".into(), ..f.clone() };
                page(StatusCode::UNPROCESSABLE_ENTITY, pages::me::security(&frame, &v, Some(&error)))
            }
            Err(e) => trouble(s, e),
        },
        Err(e) => trouble(s, e),
    }
}

pub(crate) async fn set_password(State(s): Shares, Signed(f, by): Signed, mut form: Checked) -> Response {
    let password = Hidden::new(form.take("password"));
    let outcome = s.backend.set_password(&by, &password).await;
    secured(&s, &f, &by, outcome).await
}

pub(crate) async fn totp_begin(State(s): Shares, Signed(f, by): Signed, _form: Checked) -> Response {
    let outcome = s.backend.totp_begin(&by).await;
    secured(&s, &f, &by, outcome).await
}

pub(crate) async fn totp_finish(State(s): Shares, Signed(f, by): Signed, mut form: Checked) -> Response {
    let code = Hidden::new(form.take("code"));
    let outcome = s.backend.totp_finish(&by, &code).await;
    secured(&s, &f, &by, outcome).await
}

pub(crate) async fn totp_remove(State(s): Shares, Signed(f, by): Signed, _form: Checked) -> Response {
    let outcome = s.backend.totp_remove(&by).await;
    secured(&s, &f, &by, outcome).await
}

pub(crate) async fn passkey_remove(
    State(s): Shares,
    Signed(f, by): Signed,
    Path(id): Path<String>,
    _form: Checked,
) -> Response {
    let outcome = s.backend.passkey_remove(&by, &id).await;
    secured(&s, &f, &by, outcome).await
}

pub(crate) async fn devices(State(s): Shares, Signed(f, by): Signed) -> Response {
    shown(&s, s.backend.my_devices(&by).await.map(|v| pages::me::devices(&f, &v)))
}

pub(crate) async fn end_session(
    State(s): Shares,
    Signed(f, by): Signed,
    Path(id): Path<String>,
    _form: Checked,
) -> Response {
    let id = id!(s, id);
    let outcome = s.backend.end_my_session(&by, &id).await;
    secured(&s, &f, &by, outcome).await
}

pub(crate) async fn sign_in(State(s): Shares, Anyone(f): Anyone) -> Response {
    let to = back(&s, f.param("return").unwrap_or("/"));
    shown(&s, s.backend.sign_in().await.map(|v| pages::sign_in::page(&f, &v, &to, "", None)))
}

pub(crate) async fn sign_in_password(State(s): Shares, Anyone(f): Anyone, mut form: Checked) -> Response {
    let form = PasswordForm {
        person: form.take("person"),
        password: Hidden::new(form.take("password")),
        totp: Hidden::new(form.take("totp")),
        return_to: back(&s, &form.take("return")),
    };
    match s.backend.sign_in_password(&form).await {
        Ok(Outcome::Redirect { to, cookies }) => onward(&f, &to, &cookies),
        Ok(Outcome::Again { error }) => match s.backend.sign_in().await {
            Ok(v) => page(
                StatusCode::UNPROCESSABLE_ENTITY,
                pages::sign_in::page(&f, &v, &form.return_to, &form.person, Some(&error)),
            ),
            Err(e) => trouble(&s, e),
        },
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn sign_out(State(s): Shares, Signed(f, by): Signed, _form: Checked) -> Response {
    match s.backend.sign_out(&by).await {
        Ok(Outcome::Redirect { to, cookies }) => onward(&f, &to, &cookies),
        Ok(Outcome::Again { error }) => problem(&s, StatusCode::SERVICE_UNAVAILABLE, Some(error)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn signed_out(Anyone(f): Anyone) -> Response {
    page(StatusCode::OK, pages::sign_in::signed_out(&f))
}

pub(crate) async fn step_up(State(s): Shares, Signed(f, by): Signed) -> Response {
    let to = back(&s, f.param("return").unwrap_or("/"));
    shown(&s, s.backend.step_up(&by).await.map(|v| pages::sign_in::step_up(&f, &v, &to)))
}

/// The purposes of an application, or, where a request is named, why it was denied.
pub(crate) async fn why(State(s): Shares, Signed(f, by): Signed) -> Response {
    if let Some(request) = f.param("request") {
        return shown(&s, s.backend.explained(&by, request).await.map(|v| pages::denied(&v)));
    }
    let app = id!(s, f.param("app").unwrap_or_default());
    let to = back(&s, f.param("return").unwrap_or("/"));
    shown(&s, s.backend.why(&by, &app).await.map(|v| pages::me::why(&f, &v, &to, None)))
}

pub(crate) async fn state_purpose(State(s): Shares, Signed(f, by): Signed, mut form: Checked) -> Response {
    let form = PurposeForm {
        app: form.take("app"),
        purpose: form.take("purpose"),
        ticket: form.take("ticket"),
        return_to: back(&s, &form.take("return")),
    };
    let app = id!(s, form.app);
    match s.backend.state_purpose(&by, &form).await {
        Ok(Outcome::Redirect { to, cookies }) => onward(&f, &to, &cookies),
        Ok(Outcome::Again { error }) => match s.backend.why(&by, &app).await {
            Ok(v) => page(StatusCode::UNPROCESSABLE_ENTITY, pages::me::why(&f, &v, &form.return_to, Some(&error))),
            Err(e) => trouble(&s, e),
        },
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn setup(State(s): Shares, Anyone(f): Anyone, Path(token): Path<String>) -> Response {
    shown(&s, s.backend.setup(&token).await.map(|v| pages::sign_in::setup(&f, &v, &SetupForm::default(), None)))
}

pub(crate) async fn set_up(
    State(s): Shares,
    Anyone(f): Anyone,
    Path(token): Path<String>,
    mut form: Checked,
) -> Response {
    let form = SetupForm { person: form.take("person"), name: form.take("name") };
    match s.backend.set_up(&token, &form).await {
        Ok(Outcome::Redirect { to, cookies }) => onward(&f, &to, &cookies),
        Ok(Outcome::Again { error }) => match s.backend.setup(&token).await {
            Ok(v) => page(StatusCode::UNPROCESSABLE_ENTITY, pages::sign_in::setup(&f, &v, &form, Some(&error))),
            Err(e) => trouble(&s, e),
        },
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn prove(State(s): Shares, Signed(f, _): Signed) -> Response {
    let to = back(&s, f.param("return").unwrap_or("/"));
    page(StatusCode::OK, pages::sign_in::prove(&f, &to))
}
