//! Pages and actions of operators.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use safeconduct_model::Reason;

use super::Shared;
use super::guard::{Checked, Operator, page, trouble};
use crate::parts::rows;
use crate::parts::table::{Export, Table};
use crate::view::{Answered, Done, Frame, LockForm, LockPlaced, MapQuery, WatchQuery};
use crate::{Trouble, pages, parts};

type Shares = State<Shared>;

/// Verdicts on one page.
const WATCH_ROWS: u32 = 60;
/// The longest span of the map, in days.
const MAX_MAP_DAYS: u32 = 400;

fn shown(shared: &Shared, answer: Result<Markup, Trouble>) -> Response {
    match answer {
        Ok(markup) => page(StatusCode::OK, markup),
        Err(e) => trouble(shared, e),
    }
}

fn table<T>(frame: &Frame, table: &Table<'_, T>, markup: impl FnOnce() -> Markup) -> Response {
    match Export::asked(frame, table) {
        None => page(StatusCode::OK, markup()),
        Some(Export::Json(rows)) => Json(rows).into_response(),
        Some(Export::Csv(text)) => {
            let name = format!("attachment; filename=\"{}.csv\"", table.caption.replace(' ', "-"));
            ([(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)], text).into_response()
        }
    }
}

fn done(shared: &Shared, frame: &Frame, answer: Result<Done, Trouble>) -> Response {
    shown(shared, answer.map(|d| pages::done::page(frame, &d)))
}

/// An id from the address; what is no id names nothing.
macro_rules! id {
    ($shared:expr, $text:expr) => {
        match $text.parse() {
            Ok(id) => id,
            Err(_) => return trouble(&$shared, Trouble::NotFound),
        }
    };
}
pub(crate) use id;

pub(crate) async fn overview(State(s): Shares, Operator(f, by): Operator) -> Response {
    shown(&s, s.backend.overview(&by).await.map(|v| pages::overview::page(&f, &v)))
}

pub(crate) async fn protect(State(s): Shares, Operator(f, by): Operator) -> Response {
    match s.backend.protect(&by).await {
        Ok(v) => table(&f, &pages::protect::table(&v), || pages::protect::page(&f, &v)),
        Err(e) => trouble(&s, e),
    }
}

/// The part of the map that the address asks for.
fn map_query(frame: &Frame) -> MapQuery {
    let days = frame.param("days").and_then(|d| d.parse().ok()).unwrap_or(MapQuery::default().days);
    MapQuery {
        app: frame.param("app").map(str::to_owned),
        group: frame.param("group").map(str::to_owned),
        days: days.clamp(1, MAX_MAP_DAYS),
    }
}

pub(crate) async fn map(State(s): Shares, Operator(f, by): Operator) -> Response {
    let query = map_query(&f);
    match s.backend.map(&by, &query).await {
        Ok(v) => {
            let rows = pages::map::rows(&v);
            table(&f, &pages::map::table(&rows), || pages::map::page(&f, &v, &query))
        }
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn policy(State(s): Shares, Operator(f, by): Operator) -> Response {
    shown(&s, s.backend.policy(&by).await.map(|v| pages::policy::page(&f, &v)))
}

pub(crate) async fn proposal(State(s): Shares, Operator(f, by): Operator, Path(id): Path<String>) -> Response {
    shown(&s, s.backend.proposal(&by, &id).await.map(|v| pages::proposal::page(&f, &v)))
}

pub(crate) async fn propose(State(s): Shares, Operator(_, by): Operator, mut form: Checked) -> Response {
    let app = id!(s, form.take("app"));
    match s.backend.propose(&by, &app).await {
        Ok(id) => Redirect::to(&format!("/console/policy/proposals/{}", parts::url::encode(&id))).into_response(),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn publish(
    State(s): Shares,
    Operator(f, by): Operator,
    Path(id): Path<String>,
    _form: Checked,
) -> Response {
    done(&s, &f, s.backend.publish(&by, &id).await)
}

pub(crate) async fn discard(
    State(s): Shares,
    Operator(f, by): Operator,
    Path(id): Path<String>,
    _form: Checked,
) -> Response {
    done(&s, &f, s.backend.discard(&by, &id).await)
}

/// The verdicts that the address asks for.
pub(crate) fn watch_query(frame: &Frame) -> WatchQuery {
    WatchQuery {
        app: frame.param("app").map(str::to_owned),
        person: frame.param("person").map(str::to_owned),
        device: frame.param("device").and_then(|d| d.parse().ok()),
        answered: frame.param("answer").and_then(Answered::from_name),
        reason: frame.param("reason").and_then(Reason::from_code),
        before: frame.param("before").and_then(|b| b.parse().ok()),
        limit: WATCH_ROWS,
    }
}

pub(crate) async fn watch(State(s): Shares, Operator(f, by): Operator) -> Response {
    match s.backend.watch(&by, &watch_query(&f)).await {
        Ok(v) => table(&f, &rows::verdicts(&v.verdicts, Markup::default()), || pages::watch::page(&f, &v)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn verdict(State(s): Shares, Operator(f, by): Operator, Path(seq): Path<String>) -> Response {
    let seq: u64 = id!(s, seq);
    let again = f.param("again").is_some();
    shown(&s, s.backend.verdict(&by, seq, again).await.map(|v| pages::verdict::page(&f, &v)))
}

pub(crate) async fn assess(State(s): Shares, Operator(f, by): Operator) -> Response {
    shown(&s, s.backend.assess(&by).await.map(|v| pages::assess::page(&f, &v)))
}

pub(crate) async fn apps(State(s): Shares, Operator(f, by): Operator) -> Response {
    match s.backend.apps(&by).await {
        Ok(v) => table(&f, &pages::apps::table(&v), || pages::apps::list(&f, &v)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn app(State(s): Shares, Operator(f, by): Operator, Path(id): Path<String>) -> Response {
    let id = id!(s, id);
    shown(&s, s.backend.app(&by, &id).await.map(|v| pages::apps::page(&f, &v)))
}

pub(crate) async fn people(State(s): Shares, Operator(f, by): Operator) -> Response {
    match s.backend.people(&by).await {
        Ok(v) => table(&f, &pages::people::table(&v), || pages::people::list(&f, &v)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn person(State(s): Shares, Operator(f, by): Operator, Path(id): Path<String>) -> Response {
    let id = id!(s, id);
    shown(&s, s.backend.person(&by, &id).await.map(|v| pages::people::page(&f, &v)))
}

pub(crate) async fn end_sessions(
    State(s): Shares,
    Operator(f, by): Operator,
    Path(id): Path<String>,
    _form: Checked,
) -> Response {
    let id = id!(s, id);
    done(&s, &f, s.backend.end_sessions(&by, &id).await)
}

pub(crate) async fn devices(State(s): Shares, Operator(f, by): Operator) -> Response {
    match s.backend.devices(&by).await {
        Ok(v) => table(&f, &rows::devices(&v), || pages::devices::list(&f, &v)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn device(State(s): Shares, Operator(f, by): Operator, Path(id): Path<String>) -> Response {
    let id = id!(s, id);
    shown(&s, s.backend.device(&by, &id).await.map(|v| pages::devices::page(&f, &v)))
}

pub(crate) async fn connectors(State(s): Shares, Operator(f, by): Operator) -> Response {
    match s.backend.connectors(&by).await {
        Ok(v) => table(&f, &pages::connectors::rows(&v), || pages::connectors::list(&f, &v)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn revoke_connector(
    State(s): Shares,
    Operator(f, by): Operator,
    Path((site, name)): Path<(String, String)>,
    _form: Checked,
) -> Response {
    let name = format!("{site}/{name}");
    let name = id!(s, name);
    done(&s, &f, s.backend.revoke_connector(&by, &name).await)
}

pub(crate) async fn locks(State(s): Shares, Operator(f, by): Operator) -> Response {
    let asked = |name: &str| f.param(name).unwrap_or_default().to_owned();
    let form = LockForm { kind: asked("kind"), name: asked("name"), ..LockForm::default() };
    match s.backend.locks(&by).await {
        Ok(v) => table(&f, &pages::locks::rows(&v), || pages::locks::page(&f, &v, &form, None)),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn place_lock(State(s): Shares, Operator(f, by): Operator, mut form: Checked) -> Response {
    let form = LockForm {
        kind: form.take("kind"),
        name: form.take("name"),
        message: form.take("message"),
        lasts: form.take("lasts"),
    };
    let placed = match s.backend.place_lock(&by, &form).await {
        Ok(LockPlaced::Done(what)) => return done(&s, &f, Ok(what)),
        Ok(LockPlaced::Again { error }) => s.backend.locks(&by).await.map(|all| (all, error)),
        Err(e) => Err(e),
    };
    match placed {
        Ok((all, error)) => page(StatusCode::UNPROCESSABLE_ENTITY, pages::locks::page(&f, &all, &form, Some(&error))),
        Err(e) => trouble(&s, e),
    }
}

pub(crate) async fn lift_lock(
    State(s): Shares,
    Operator(f, by): Operator,
    Path(id): Path<String>,
    _form: Checked,
) -> Response {
    let id = id!(s, id);
    done(&s, &f, s.backend.lift_lock(&by, &id).await)
}

pub(crate) async fn cut(
    State(s): Shares,
    Operator(f, by): Operator,
    Path(id): Path<String>,
    _form: Checked,
) -> Response {
    let id = id!(s, id);
    done(&s, &f, s.backend.cut_session(&by, &id).await)
}

pub(crate) async fn health(State(s): Shares, Operator(f, by): Operator) -> Response {
    shown(&s, s.backend.health(&by).await.map(|v| pages::health::page(&f, &v)))
}
