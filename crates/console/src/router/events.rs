//! Verdicts as they happen, by server-sent events: rows of data, never HTML.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use safeconduct_model::PersonId;
use serde_json::json;

use super::{Shared, console, guard};
use crate::view::{Link, VerdictRow};
use crate::{Events, parts};

/// How many streams one person may have open.
const MAX_STREAMS_PER_PERSON: usize = 8;
/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The open streams of each person.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<PersonId, usize>>>);

/// One open stream; closed when dropped.
struct Open {
    streams: Streams,
    person: PersonId,
}

impl Streams {
    fn open(&self, person: &PersonId) -> Option<Open> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let n = all.entry(person.clone()).or_default();
        if *n >= MAX_STREAMS_PER_PERSON {
            return None;
        }
        *n += 1;
        Some(Open { streams: self.clone(), person: person.clone() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = all.get_mut(&self.person) {
            *n -= 1;
            if *n == 0 {
                all.remove(&self.person);
            }
        }
    }
}

struct Rows {
    events: Events,
    _open: Open,
}

impl Stream for Rows {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(cx).map(|row| row.map(|r| Ok(event(&r))))
    }
}

fn event(row: &VerdictRow) -> Event {
    Event::default().event("verdict").id(row.seq.to_string()).data(data(row).to_string())
}

/// A row as the script shows it: each cell as text, each name with its address.
fn data(row: &VerdictRow) -> serde_json::Value {
    let name = |l: &Link| json!({"text": l.text, "href": l.href.as_deref().filter(|h| parts::url::is_plain(h))});
    json!({
        "seq": row.seq,
        "at": row.at.millis(),
        "exact": parts::time::exact(row.at),
        "answer": row.answered.name(),
        "who": name(&row.who),
        "app": name(&row.app),
        "action": row.action.map(|a| a.name()),
        "what": row.what,
        "device": row.device.as_ref().map(name),
        "reason": row.reason.map(|r| r.words().trim_end_matches('.')),
        "took": parts::time::micros(row.took_us),
    })
}

pub(crate) async fn stream(State(shared): State<Shared>, guard::Operator(frame, by): guard::Operator) -> Response {
    let Some(open) = shared.streams.open(&by.person) else {
        return (StatusCode::TOO_MANY_REQUESTS, "close another live page first\n").into_response();
    };
    match shared.backend.events(&by, &console::watch_query(&frame)).await {
        Err(e) => guard::trouble(&shared, e),
        Ok(events) => {
            let rows = Rows { events, _open: open };
            let mut answer = Sse::new(rows).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
            answer.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_a_bounded_number_of_streams() {
        let (streams, ada) = (Streams::default(), "ada".parse::<PersonId>().expect("id"));
        let mut open: Vec<_> = (0..MAX_STREAMS_PER_PERSON).filter_map(|_| streams.open(&ada)).collect();
        assert_eq!(open.len(), MAX_STREAMS_PER_PERSON);
        assert!(streams.open(&ada).is_none());
        assert!(streams.open(&"bo".parse().expect("id")).is_some(), "others are not affected");
        open.pop();
        assert!(streams.open(&ada).is_some(), "closing one makes room");
    }
}
