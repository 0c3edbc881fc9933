//! `watch tail`, `sessions`, `cut`, `health`.

use std::path::Path;

use anyhow::Result;
use http::{Method, StatusCode};
use safeconduct_model::{Entry, Record, Said, SessionId, Timestamp};
use serde_json::Value;

use crate::commands::data;
use crate::local::{Local, Refused};
use crate::out::{self, Answer, say, table};

pub(crate) async fn tail(config: &Path, json: bool) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let each = |line: &str| {
        if json {
            say(line);
        } else if let Ok(entry) = serde_json::from_str::<Entry>(line)
            && let Some(text) = sentence(&entry)
        {
            say(text);
        }
        true
    };
    server.follow("/api/v1/events", each).await?;
    Ok(Answer::Done)
}

/// A record as one line; `None` for what is of no interest while watching.
fn sentence(entry: &Entry) -> Option<String> {
    let at = entry.at;
    Some(match &entry.record {
        Record::Access(a) => {
            let answer = match (a.reason(), a.passed()) {
                (None, _) => "allowed".to_owned(),
                (Some(reason), true) => format!("would be denied ({reason})"),
                (Some(reason), false) => format!("denied ({reason})"),
            };
            let what = &a.ask.what;
            format!("{at}  {answer:<28} {} {} {} {}", a.ask.who.principal, what.action, what.app, what.path)
        }
        Record::Refusal(r) => format!("{at}  refused ({})  {} {}", r.reason, r.ip, r.detail),
        Record::Cut(c) => {
            let carried = c.bytes.map(|b| format!(", {} bytes up and {} down", b.up, b.down)).unwrap_or_default();
            format!("{at}  cut  {} {} after {}{carried}", c.principal, c.app, c.lasted)
        }
        Record::Session(s) => format!("{at}  session {:?}  {} {}", s.event, s.person, s.session),
        Record::Change(c) => format!("{at}  {} {} by {} {}", c.verb, c.object, c.by, c.detail),
        Record::Question(q) => {
            let answer = match q.said {
                Said::Permit => "allowed".to_owned(),
                Said::Deny { reason } => format!("denied ({reason})"),
                Said::Found { results } => format!("found {results}"),
            };
            format!(
                "{at}  {answer:<28} {} {} {} in {}, asked by {}",
                q.subject, q.action, q.resource, q.store, q.client
            )
        }
        Record::System(_) => return None,
    })
}

pub(crate) async fn sessions(config: &Path, json: bool) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let answer = server.ask(Method::GET, "/api/v1/sessions", None).await?;
    if json {
        out::json(&answer)?;
        return Ok(Answer::Done);
    }
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let instant = |v: &Value| v.as_i64().map_or_else(|| "-".to_owned(), |ms| Timestamp::from_millis(ms).to_string());
    let row = |s: &Value| {
        vec![
            text(&s["session"]),
            text(&s["person"]),
            s["machine"].as_str().map_or_else(|| text(&s["device"]), |m| format!("command line on {m}")),
            instant(&s["since"]),
            s["connections"].to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.as_array().into_iter().flatten().map(row).collect();
    table(&["SESSION", "PERSON", "DEVICE", "SINCE", "LIVE"], &rows);
    Ok(Answer::Done)
}

pub(crate) async fn cut(config: &Path, session: &SessionId) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    match server.ask(Method::POST, &format!("/api/v1/sessions/{session}/cut"), None).await {
        Ok(answer) => {
            say(format!("ended; {} live connections were cut", answer["connections_cut"]));
            Ok(Answer::Done)
        }
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == StatusCode::NOT_FOUND => {
                say(&refused.words);
                Ok(Answer::No)
            }
            _ => Err(error),
        },
    }
}

pub(crate) async fn health(config: &Path, json: bool) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let answer = server.ask(Method::GET, "/api/v1/health", None).await?;
    if json {
        out::json(&answer)?;
    } else {
        for (part, words) in answer["parts"].as_object().into_iter().flatten() {
            say(format!("{part:<20} {}", words.as_str().unwrap_or_default()));
        }
    }
    Ok(if answer["healthy"] == Value::Bool(true) { Answer::Done } else { Answer::No })
}
