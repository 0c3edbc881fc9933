//! `policy show`, `test`, `propose`, `rehearse`, `publish`. The proofs stand in `prove`, the lints in `lint`.

use std::path::Path;

use anyhow::{Context, Result};
use http::Method;
use safeconduct_config::{Text, Texts};
use safeconduct_model::{AppId, Duration, Fault, Principal};
use safeconduct_rehearse::{ProposeError, Settings, difference};
use safeconduct_server::clock;
use safeconduct_server::files::{self, Built};
use safeconduct_server::proposals;
use serde_json::{Value, json};

use crate::commands::{Offline, bundle, coverage, data, folder, offline};
use crate::local::{Local, Refused};
use crate::out::{self, Answer, aside, put, say};

/// The longest window that can be asked for.
const MAX_WINDOW_DAYS: u64 = 3_660;

pub(crate) fn show(config: &Path, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let rules = offline.current.snapshot.rules();
    if json {
        let rows: Vec<_> = rules
            .iter()
            .map(|r| json!({ "id": r.id, "sentence": r.five_ws().sentence(), "file": r.file, "line": r.line, "cedar": r.text }))
            .collect();
        out::json(&rows)?;
        return Ok(Answer::Done);
    }
    for rule in rules {
        say(format!("{}  ({}:{})\n    {}", rule.id, rule.file, rule.line, rule.five_ws().sentence()));
    }
    Ok(Answer::Done)
}

pub(crate) fn test(config: &Path, coverage: bool, json: bool) -> Result<Answer> {
    // A configuration is read only if its tests hold, so the faults are the answer.
    match Offline::read(config) {
        Ok(offline) if coverage => coverage::tell(&offline, json),
        Ok(offline) => {
            let passed = offline.current.fixtures.len();
            if json {
                out::json(&json!({ "passed": passed, "failed": [] }))?;
            } else {
                say(format!("{passed} passed, 0 failed"));
            }
            Ok(Answer::Done)
        }
        Err(faults) if faults.iter().all(|f| f.what.starts_with("test `")) => {
            if json {
                let failed: Vec<_> = faults.iter().map(ToString::to_string).collect();
                out::json(&json!({ "failed": failed }))?;
                return Ok(Answer::No);
            }
            for fault in &faults {
                say(fault.to_string());
            }
            say(format!("{} failed", faults.len()));
            Ok(Answer::No)
        }
        Err(faults) => Ok(Answer::BadInput(faults)),
    }
}

/// From what a proposal is written, and whether it may widen.
#[derive(clap::Args)]
pub(crate) struct Mining {
    /// Write rules from so many days before the last use; what lies before them serves the seasonal guard.
    #[arg(long, value_name = "DAYS", default_value_t = safeconduct_rehearse::WINDOW_DAYS)]
    window: u64,
    /// The proposal may permit what the rules of now deny.
    #[arg(long)]
    widen: bool,
    /// The use of this person is no evidence, and no rule lets the person in. May be given several times.
    #[arg(long, value_name = "PERSON")]
    flagged: Vec<safeconduct_model::PersonId>,
}

impl Mining {
    fn settings(&self) -> Settings {
        Settings {
            window: Duration::from_days(self.window.clamp(1, MAX_WINDOW_DAYS)),
            widen: self.widen,
            flagged: self.flagged.iter().cloned().map(Principal::Person).collect(),
            ..Settings::default()
        }
    }
}

pub(crate) fn propose(config: &Path, app: &AppId, mining: &Mining, out: Option<&Path>, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    if offline.current.snapshot.application(app).is_none() {
        let known: Vec<String> = offline.current.config.estate.applications.keys().map(ToString::to_string).collect();
        let remedy = format!("there are: {}", known.join(", "));
        return Ok(Answer::BadInput(vec![Fault::new(
            "policy propose",
            0,
            format!("there is no application `{app}`"),
            remedy,
        )]));
    }
    let written = proposals::write(&offline.current, &offline.ledger(), app, &mining.settings());
    let proposal = match written {
        Ok(proposal) => proposal,
        // It was understood, and the answer is no.
        Err(error) => match error.downcast_ref::<ProposeError>() {
            Some(why) => {
                say(format!("{why}."));
                return Ok(Answer::No);
            }
            None => return Err(error),
        },
    };
    let now = clock::system();
    let proof = match proposals::proof(&offline.current, app, &proposal.cedar, &proposal.fixtures, now) {
        Ok(proof) => proof,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    if let Some(folder) = out {
        let texts = proposals::with_proposal(&offline.current, app, &proposal.cedar, &proposal.fixtures);
        write_candidate(folder, &texts)?;
        aside(format!("the candidate is in {0}; next: safeconduct policy rehearse {0}", folder.display()));
    }
    if json {
        let mut whole = serde_json::to_value(&proposal)?;
        if let Some(fields) = whole.as_object_mut() {
            fields.insert("proof".to_owned(), serde_json::to_value(&proof)?);
        }
        out::json(&whole)?;
    } else {
        put(proposal.report());
        put(proposals::proof_in_words(&proof));
    }
    Ok(Answer::Done)
}

fn write_candidate(folder: &Path, texts: &Texts) -> Result<()> {
    anyhow::ensure!(!folder.exists(), "{} exists already; name a new folder", folder.display());
    let inside = |text: &Text| text.file.strip_prefix("policies/").map(|name| folder.join(name));
    for text in texts.policies.iter().chain(&texts.tests) {
        let path = inside(text).context("a policy stands outside policies/")?;
        files::write_whole(&path, &text.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The configuration as it would be with the policies of a folder, checked whole.
pub(super) fn candidate(now: &Texts, dir: &Path) -> Result<Built, Vec<Fault>> {
    let (policies, tests) = files::read_candidate(dir)?;
    let mut texts = now.clone();
    texts.policies = policies;
    if !tests.is_empty() {
        texts.tests = tests;
    }
    files::build(texts, 2)
}

pub(crate) fn rehearse(config: &Path, dir: &Path, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let built = match candidate(&offline.current.texts, dir) {
        Ok(built) => built,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    let current = &offline.current.snapshot;
    let mut progress = |read: u64| aside(format!("{read} records"));
    let rehearsal = proposals::replay(current, &built.snapshot, &offline.ledger(), &mut progress)?;
    if json {
        out::json(&rehearsal)?;
    } else {
        put(difference(current, &built.snapshot).report());
        put(rehearsal.report());
    }
    Ok(if rehearsal.changes_nothing() { Answer::Done } else { Answer::No })
}

pub(crate) async fn publish(config: &Path, from: &Path, sign: Option<&Path>, revision: Option<u64>) -> Result<Answer> {
    if from.is_file() {
        return bundle::publish(config, from).await;
    }
    if sign.is_none()
        && let Some(server) = Local::try_connect(&data!(config)).await?
    {
        return publish_there(server, config, from).await;
    }
    let offline = offline!(config);
    let built = match candidate(&offline.current.texts, from) {
        Ok(built) => built,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    put(difference(&offline.current.snapshot, &built.snapshot).report());
    if let Some(key) = sign {
        let signed = bundle::sign(&offline, &built.texts, key, revision, None)?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let file = folder.path().join("policies.bundle");
        files::write_whole(&file, &signed).context("cannot write the bundle")?;
        return bundle::publish(config, &file).await;
    }
    if !offline.current.config.settings.trusted_keys.is_empty() {
        let what = "[policy] trusted_keys lets only signed policies bind";
        let remedy = "sign it: `safeconduct policy publish DIR --sign KEYFILE`";
        return Ok(Answer::BadInput(vec![Fault::new(from.display().to_string(), 0, what, remedy)]));
    }
    if let Err(fault) = files::replace_policies(&offline.dir, &built.texts.policies, &built.texts.tests) {
        return Ok(Answer::BadInput(vec![fault]));
    }
    say("written; no server runs here, so it binds at the next start");
    Ok(Answer::Done)
}

/// Publishes through the server that runs here, which reads and checks the folder itself.
async fn publish_there(mut server: Local, config: &Path, from: &Path) -> Result<Answer> {
    let directory = std::fs::canonicalize(from).with_context(|| format!("cannot find {}", from.display()))?;
    let published = ask_to_publish(&mut server, &json!({ "directory": directory })).await?;
    // The server told every fault. Where they are the folder's own, they are bad input like any other.
    if published.is_err()
        && let Err(faults) = files::read(&folder(config)).and_then(|now| candidate(&now, from))
        && faults.iter().all(|fault| fault.file.starts_with("policies/"))
    {
        return Ok(Answer::BadInput(faults));
    }
    Ok(tell(published))
}

/// What the server says to a publication: what binds, or why nothing does.
pub(super) type Published = Result<Value, String>;

/// Asks the server that runs here to publish.
pub(super) async fn ask_to_publish(server: &mut Local, body: &Value) -> Result<Published> {
    match server.ask(Method::POST, "/api/v1/policy/publish", Some(body)).await {
        Ok(binds) => Ok(Ok(binds)),
        Err(error) => error.downcast::<Refused>().map(|refused| Err(refused.words)),
    }
}

/// Says it.
pub(super) fn tell(published: Published) -> Answer {
    match published {
        Ok(binds) => {
            put(binds["difference"].as_str().unwrap_or_default());
            say(format!("revision {} binds now", binds["revision"]));
            Answer::Done
        }
        Err(words) => {
            say(words);
            Answer::No
        }
    }
}
