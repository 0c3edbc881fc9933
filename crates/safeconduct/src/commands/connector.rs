//! `connector`: the end beside the applications; and on the gateway its tokens, the list, revocation.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use http::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use safeconduct_config::{ConnectorFile, GatewayAddress, Text};
use safeconduct_connector::JoinToken;
use safeconduct_connector::site::{Connector, Settings};
use safeconduct_model::{ConnectorId, ConnectorName, Fault, SiteId};
use safeconduct_server::clock;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::commands::data;
use crate::local::Local;
use crate::out::{self, Answer, say, table};

/// Where a connector is told what it needs.
#[derive(Args)]
pub(crate) struct Run {
    /// The file of the connector.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["gateway", "site", "name", "state"])]
    config: Option<PathBuf>,
    /// An address of the gateway, as https://host or https://host:port. May be given several times.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    gateway: Vec<GatewayAddress>,
    /// The token to join with; needed once. `-` reads it from standard input, where no list of processes shows it.
    // A token may begin with a dash.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    join: Option<String>,
    /// The site that it stands at.
    #[arg(long, required_unless_present = "config")]
    site: Option<SiteId>,
    /// Its name there; the name of this machine unless given.
    #[arg(long)]
    name: Option<ConnectorId>,
    /// Authorities that count for applications over TLS, beside the public ones: certificates in PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    upstream_ca: Option<PathBuf>,
    /// The folder of its key and certificate.
    #[arg(long, default_value = "connector-state")]
    state: PathBuf,
}

/// What is done on the gateway.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Makes a token that lets one connector join a site, once and within an hour. The server must be running.
    Token {
        /// The site.
        site: SiteId,
        #[command(flatten)]
        config: crate::Config,
    },
    /// Connectors, their links and what they carry.
    List {
        #[command(flatten)]
        config: crate::Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lets a connector in no more, and ends its links at once.
    Revoke {
        /// Which one, as SITE/NAME.
        connector: ConnectorName,
        #[command(flatten)]
        config: crate::Config,
    },
}

pub(crate) async fn on_the_gateway(verb: Verb) -> Result<Answer> {
    match verb {
        Verb::Token { site, config } => token(&config.config, &site).await,
        Verb::List { config, json } => list(&config.config, json).await,
        Verb::Revoke { connector, config } => revoke(&config.config, &connector).await,
    }
}

async fn token(config: &Path, site: &SiteId) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let made = server.ask(Method::POST, &format!("/api/v1/sites/{site}/connector-token"), None).await?;
    say(made["token"].as_str().unwrap_or_default());
    Ok(Answer::Done)
}

async fn list(config: &Path, json: bool) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let rows = server.ask(Method::GET, "/api/v1/connectors", None).await?;
    if json {
        out::json(&rows)?;
        return Ok(Answer::Done);
    }
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut lines = Vec::new();
    for row in rows.as_array().into_iter().flatten() {
        let applications: Vec<String> = row["applications"].as_array().into_iter().flatten().map(text).collect();
        let links = row["links"].as_array().map(Vec::as_slice).unwrap_or_default();
        let state = match (row["revoked"].is_null(), links) {
            (false, _) => "revoked".to_owned(),
            (true, []) => "away".to_owned(),
            (true, [link, ..]) if link["leaves"] == true => "leaves".to_owned(),
            (true, links) => format!("{} linked", links.len()),
        };
        let streams: u64 = links.iter().filter_map(|l| l["streams"].as_u64()).sum();
        let first = |key: &str| links.first().map_or_else(|| "-".to_owned(), |l| text(&l[key]));
        lines.push(vec![
            text(&row["connector"]),
            state,
            first("version"),
            first("from"),
            first("since"),
            streams.to_string(),
            applications.join(" "),
        ]);
    }
    table(&["CONNECTOR", "STATE", "VERSION", "FROM", "SINCE", "STREAMS", "APPLICATIONS"], &lines);
    Ok(Answer::Done)
}

async fn revoke(config: &Path, connector: &ConnectorName) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let answer = server.ask(Method::POST, &format!("/api/v1/connectors/{connector}/revoke"), None).await?;
    let cut = answer["links_cut"].as_u64().unwrap_or_default();
    say(format!("{connector} is revoked; links that ended with it: {cut}"));
    Ok(Answer::Done)
}

/// Runs the end beside the applications, until it is asked to stop.
pub(crate) async fn run(asked: Run) -> Result<Answer> {
    let settings = match settings(asked)? {
        Ok(settings) => settings,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    let name = settings.name.clone();
    let connector = Connector::start(settings).await?;
    say(format!("{name} runs; its certificate holds until {}", connector.until()));
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut running = std::pin::pin!(connector.run(stop.clone()));
    tokio::select! {
        () = running.as_mut() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    say("leaving: streams that run may end, new ones go elsewhere");
    stop.cancel();
    tokio::select! {
        () = running => {}
        // Whoever asks twice does not want to wait.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    say("left");
    Ok(Answer::Done)
}

fn settings(asked: Run) -> Result<Result<Settings, Vec<Fault>>> {
    let (gateways, site, name, state, join_file, only, ca_file) = match &asked.config {
        None => {
            let site = asked.site.context("--site is needed")?;
            (asked.gateway, site, asked.name, asked.state, None, None, asked.upstream_ca)
        }
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let file = match ConnectorFile::check(&Text { file: path.display().to_string(), text }) {
                Ok(file) => file,
                Err(faults) => return Ok(Err(faults)),
            };
            let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
            let state = beside(&file.state);
            let (join_file, ca_file) = (file.join_file.as_deref().map(beside), file.ca_file.as_deref().map(beside));
            (file.gateways, file.site, file.name, state, join_file, file.only, ca_file)
        }
    };
    let name = match name {
        Some(name) => name,
        None => own_name()?,
    };
    let token = match (asked.join.as_deref(), join_file) {
        (Some("-"), _) => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("cannot read the token from standard input")?;
            Some(line)
        }
        (Some(token), _) => Some(token.to_owned()),
        // It is needed once, and may be removed afterwards.
        (None, Some(file)) if file.exists() => {
            Some(std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?)
        }
        (None, _) => None,
    };
    let join = match token.map(|token| token.parse::<JoinToken>()).transpose() {
        Ok(join) => join,
        Err(error) => {
            let remedy = "make one with `safeconduct connector token SITE` on the gateway";
            return Ok(Err(vec![Fault::new("--join", 0, error.to_string(), remedy)]));
        }
    };
    Ok(Ok(Settings {
        gateways,
        name: ConnectorName { site, name },
        state,
        join,
        only,
        authorities: ca_file.map(|file| authorities(&file)).transpose()?.unwrap_or_default(),
        clock: clock::system,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tell: |line| say(line),
    }))
}

/// The certificates of a file. One that holds none is a mistake.
fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.with_context(|| format!("cannot read the authorities in {}", file.display()))?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate", file.display());
    Ok(found)
}

/// The name of this machine, as far as it can be one of a connector.
fn own_name() -> Result<ConnectorId> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").context("this machine has no name; use --name")?;
    let name = name.trim().to_ascii_lowercase();
    name.parse().with_context(|| format!("`{name}` is no name for a connector; give one with --name"))
}
