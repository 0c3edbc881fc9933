//! `lock`: shut somebody or something out at once, look, lift.

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use safeconduct_model::{
    AppId, ConnectorName, DeviceId, Duration, GrantId, GroupId, Lock, LockId, LockMessage, LockTarget, PersonId,
    SessionId, SiteId, Timestamp, WorkloadId,
};
use safeconduct_server::clock;
use serde_json::{Value, json};

use crate::commands::data;
use crate::local::{Local, Refused};
use crate::out::{self, Answer, say, table};

/// What is done with locks. The server must be running.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Locks somebody or something: from this instant it is denied, and what is live and rests on it is cut.
    Add {
        #[command(flatten)]
        on: On,
        /// What whoever is refused is told: why, and whom to call.
        #[arg(long)]
        message: LockMessage,
        /// How long it holds, as in 8h or 7d; until it is lifted unless given.
        #[arg(long = "for", value_name = "TIME")]
        lasts: Option<Duration>,
        /// Also if the target is not known here, or nobody is left who can operate the console.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        config: crate::Config,
    },
    /// The locks in force.
    List {
        #[command(flatten)]
        config: crate::Config,
        /// Also those that ended of late.
        #[arg(long)]
        all: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lifts a lock: from this instant everything is decided as before it.
    Lift {
        /// Which one.
        lock: LockId,
        #[command(flatten)]
        config: crate::Config,
    },
}

/// What a lock is on: one of these.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct On {
    /// A person, on every device and in every session.
    #[arg(long, value_name = "ID")]
    person: Option<PersonId>,
    /// Everybody in a group, directly or through another group.
    #[arg(long, value_name = "ID")]
    group: Option<GroupId>,
    /// A device, whoever uses it.
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// One session.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// A grant: what was given for its sake alone ends.
    #[arg(long, value_name = "ID")]
    grant: Option<GrantId>,
    /// A workload.
    #[arg(long, value_name = "ID")]
    workload: Option<WorkloadId>,
    /// An application, for everybody.
    #[arg(long, value_name = "ID")]
    application: Option<AppId>,
    /// A site: its connectors and every application behind them.
    #[arg(long, value_name = "ID")]
    site: Option<SiteId>,
    /// A connector.
    #[arg(long, value_name = "SITE/NAME")]
    connector: Option<ConnectorName>,
}

impl On {
    fn target(self) -> Option<LockTarget> {
        let Self { person, group, device, session, grant, workload, application, site, connector } = self;
        person
            .map(LockTarget::Person)
            .or_else(|| group.map(LockTarget::Group))
            .or_else(|| device.map(LockTarget::Device))
            .or_else(|| session.map(LockTarget::Session))
            .or_else(|| grant.map(LockTarget::Grant))
            .or_else(|| workload.map(LockTarget::Workload))
            .or_else(|| application.map(LockTarget::Application))
            .or_else(|| site.map(LockTarget::Site))
            .or_else(|| connector.map(LockTarget::Connector))
    }
}

pub(crate) async fn run(verb: Verb) -> Result<Answer> {
    match verb {
        Verb::Add { on, message, lasts, force, config } => {
            let target = on.target().ok_or_else(|| anyhow::anyhow!("nothing is named that is to be locked"))?;
            let seconds = lasts.map(|d| d.millis().div_ceil(1_000));
            let body = json!({ "target": target, "message": message, "seconds": seconds, "force": force });
            add(&config.config, &body).await
        }
        Verb::List { config, all, json } => list(&config.config, all, json).await,
        Verb::Lift { lock, config } => lift(&config.config, &lock).await,
    }
}

async fn add(config: &Path, body: &Value) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let lock = match server.ask(Method::POST, "/api/v1/locks", Some(body)).await {
        Ok(placed) => serde_json::from_value::<Lock>(placed)?,
        Err(error) => return no(error),
    };
    let end = lock.until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
    say(format!("{} is locked {end}; lift it with `safeconduct lock lift {}`", lock.target, lock.id));
    Ok(Answer::Done)
}

async fn list(config: &Path, all: bool, json: bool) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let answer = server.ask(Method::GET, "/api/v1/locks", None).await?;
    let now = clock::system();
    let mut locks: Vec<Lock> = serde_json::from_value(answer)?;
    locks.retain(|lock| all || lock.is_in_force(now));
    locks.sort_by_key(|lock| std::cmp::Reverse(lock.placed));
    if json {
        out::json(&locks)?;
        return Ok(Answer::Done);
    }
    let row = |lock: &Lock| {
        let end = match lock.until {
            Some(until) if lock.is_in_force(now) => until.to_string(),
            Some(until) => format!("ended {until}"),
            None => "when it is lifted".to_owned(),
        };
        let placed: Timestamp = lock.placed;
        vec![
            lock.id.to_string(),
            lock.target.to_string(),
            end,
            lock.by.clone(),
            placed.to_string(),
            lock.message.to_string(),
        ]
    };
    table(&["LOCK", "ON", "ENDS", "BY", "PLACED", "MESSAGE"], &locks.iter().map(row).collect::<Vec<_>>());
    Ok(Answer::Done)
}

async fn lift(config: &Path, lock: &LockId) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    match server.ask(Method::POST, &format!("/api/v1/locks/{lock}/lift"), None).await {
        Ok(lifted) => {
            let lifted: Lock = serde_json::from_value(lifted)?;
            say(format!("{} is no longer locked by {lock}", lifted.target));
            Ok(Answer::Done)
        }
        Err(error) => no(error),
    }
}

/// What the server refuses is an answer, what it could not do is an error.
fn no(error: anyhow::Error) -> Result<Answer> {
    match error.downcast_ref::<Refused>() {
        Some(refused) if matches!(refused.status, StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY) => {
            say(&refused.words);
            Ok(Answer::No)
        }
        _ => Err(error),
    }
}
