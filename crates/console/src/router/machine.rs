//! Pages on which a visitor lets a machine or a program in.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::Shared;
use super::guard::{Checked, Signed, page, problem, trouble};
use crate::parts::{layout, url};
use crate::view::{Frame, MachineAsked, Outcome};
use crate::{Trouble, pages};

type Shares = State<Shared>;

/// The parameters of a program that are handed on; anything else is dropped.
const PARAMETERS: [&str; 8] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "state",
    "machine",
];

const UNKNOWN: &str = "No machine waits under this code. It may have expired: start again on that machine.";

pub(crate) async fn by_code(State(s): Shares, Signed(f, by): Signed) -> Response {
    match f.param("answered") {
        Some(answer) => return page(StatusCode::OK, pages::machine::answered(&f, answer == "yes")),
        None if f.param("user_code").is_none() => return page(StatusCode::OK, pages::machine::code(&f, "", None)),
        None => {}
    }
    let typed = f.param("user_code").unwrap_or_default().to_owned();
    let asked = MachineAsked::Code(typed.clone());
    match s.backend.machine(&by, &asked).await {
        Ok(view) => page(StatusCode::OK, pages::machine::ask(&f, &view, &asked)),
        Err(Trouble::NotFound) => {
            page(StatusCode::UNPROCESSABLE_ENTITY, pages::machine::code(&f, &typed, Some(UNKNOWN)))
        }
        Err(Trouble::Refused { reason }) => {
            page(StatusCode::TOO_MANY_REQUESTS, pages::machine::code(&f, "", Some(&reason)))
        }
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn answer_code(State(s): Shares, Signed(f, by): Signed, mut form: Checked) -> Response {
    let asked = MachineAsked::Code(form.take("user_code"));
    let outcome = s.backend.answer_machine(&by, &asked, form.take("answer") == "yes").await;
    match outcome {
        Ok(Outcome::Again { error }) => {
            page(StatusCode::UNPROCESSABLE_ENTITY, pages::machine::code(&f, "", Some(&error)))
        }
        outcome => done(&s, &f, outcome),
    }
}

pub(crate) async fn by_browser(State(s): Shares, Signed(f, by): Signed) -> Response {
    let known = |name: &str| PARAMETERS.contains(&name);
    let fields: Vec<(String, String)> = f.query.iter().filter(|(k, _)| known(k)).cloned().collect();
    let asked = MachineAsked::Browser(fields);
    match s.backend.machine(&by, &asked).await {
        Ok(view) => page(StatusCode::OK, pages::machine::ask(&f, &view, &asked)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn answer_browser(State(s): Shares, Signed(f, by): Signed, mut form: Checked) -> Response {
    let yes = form.take("answer") == "yes";
    let mut fields = Vec::new();
    for name in PARAMETERS {
        let value = form.take(name);
        if !value.is_empty() {
            fields.push((name.to_owned(), value));
        }
    }
    let outcome = s.backend.answer_machine(&by, &MachineAsked::Browser(fields), yes).await;
    done(&s, &f, outcome)
}

/// Goes on. The browser comes back to a port of its own machine by a page that leads there: a form may not.
fn done(s: &Shared, frame: &Frame, outcome: Result<Outcome, Trouble>) -> Response {
    match outcome {
        Ok(Outcome::Redirect { to, .. }) if url::is_local(&to) => Redirect::to(&to).into_response(),
        Ok(Outcome::Redirect { to, .. }) if url::is_plain(&to) => {
            page(StatusCode::OK, layout::onward(&frame.assets, &to))
        }
        Ok(Outcome::Redirect { .. }) => Redirect::to("/").into_response(),
        Ok(Outcome::Again { error }) => problem(s, StatusCode::UNPROCESSABLE_ENTITY, Some(error)),
        Err(e) => trouble(s, e),
    }
}
