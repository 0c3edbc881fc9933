//! `policy bundle`, `bundle verify`, `key new`: policies that a trusted key signed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use safeconduct_config::{Config, Texts};
use safeconduct_ledger::open_bundle;
use safeconduct_model::Fault;
use safeconduct_server::{files, signed};
use serde_json::json;

use crate::commands::policy::{ask_to_publish, candidate, tell};
use crate::commands::{Offline, folder, offline};
use crate::local::Local;
use crate::out::{self, Answer, say};

/// Where the signing key is looked for, below the data folder, if none is named.
const KEY: &str = "keys/policy.key";

/// What to sign, and with what.
#[derive(clap::Args)]
pub(crate) struct Make {
    /// A folder with *.cedar and perhaps tests/*.toml, instead of the policies of the configuration.
    dir: Option<PathBuf>,
    /// The folder with safeconduct.toml, or the file itself.
    #[arg(long, value_name = "DIR", default_value = ".")]
    config: PathBuf,
    /// The bundle, made anew.
    #[arg(long, value_name = "FILE", required = true)]
    out: Option<PathBuf>,
    /// The key that signs; keys/policy.key in the data folder if it is not given.
    #[arg(long, value_name = "KEYFILE")]
    key: Option<PathBuf>,
    /// The revision of the bundle; one more than the last one here if it is not given.
    #[arg(long)]
    revision: Option<u64>,
    /// The least revision that may come after it; its own if it is not given.
    #[arg(long)]
    minimum: Option<u64>,
}

pub(crate) fn make(make: &Make) -> Result<Answer> {
    let offline = offline!(&make.config);
    let out = make.out.as_ref().context("--out is required")?;
    let texts = match &make.dir {
        None => offline.current.texts.clone(),
        Some(dir) => match candidate(&offline.current.texts, dir) {
            Ok(built) => built.texts,
            Err(faults) => return Ok(Answer::BadInput(faults)),
        },
    };
    let key = make.key.clone().unwrap_or_else(|| offline.data().join(KEY));
    let bundle = sign(&offline, &texts, &key, make.revision, make.minimum)?;
    files::write_whole(out, &bundle).with_context(|| format!("cannot write {}", out.display()))?;
    let public = signed::read_key(&key)?.public();
    let revision = revision_of(bundle.as_bytes()).unwrap_or_default();
    let count = texts.policies.len() + texts.tests.len();
    say(format!("{}: revision {revision}, {count} files, signed by {}", out.display(), signed::short(&public)));
    Ok(Answer::Done)
}

/// Signs policies that passed every check.
pub(super) fn sign(
    offline: &Offline,
    texts: &Texts,
    key: &Path,
    revision: Option<u64>,
    minimum: Option<u64>,
) -> Result<String> {
    let key = signed::read_key(key)?;
    let bound = std::fs::read(offline.dir.join(signed::BUNDLE)).ok().and_then(|bytes| revision_of(&bytes));
    let revision = revision.unwrap_or_else(|| bound.map_or(1, |n| n.saturating_add(1)));
    let minimum = minimum.unwrap_or(revision);
    let contents = signed::contents(&texts.policies, &texts.tests, revision, minimum);
    key.seal(&contents).context("these texts make no bundle")
}

/// The revision that a bundle claims, whoever signed it: a suggestion for the next one, nothing more.
fn revision_of(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines().take(3).find_map(|l| l.strip_prefix("revision ")?.parse().ok())
}

/// Publishes a bundle, through the server if one runs. What lies in `policies/` now is not asked: it may be what the bundle
/// shall put right.
pub(super) async fn publish(config: &Path, file: &Path) -> Result<Answer> {
    let dir = folder(config);
    let read = files::read(&dir).and_then(|texts| Config::check(&texts).map(|c| (texts, c.settings)));
    let (now, settings) = match read {
        Ok(read) => read,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    if let Some(mut server) = Local::try_connect(&dir.join(&settings.data)).await? {
        let path = std::fs::canonicalize(file).with_context(|| format!("cannot find {}", file.display()))?;
        return Ok(tell(ask_to_publish(&mut server, &json!({ "bundle": path })).await?));
    }
    // What bound last is known to the server alone; it refuses an older bundle at its next start.
    let (bundle, text) = match signed::open(file, &file.display().to_string(), &settings.trusted_keys, None) {
        Ok(opened) => opened,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    let (policies, tests) = signed::texts(&bundle);
    let built = match files::build(Texts { policies, tests, ..now }, 2) {
        Ok(built) => built,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    let there =
        |e: std::io::Error| Fault::new(signed::BUNDLE, 0, format!("cannot be written: {e}"), "check the folder");
    let written = files::write_whole(&dir.join(signed::BUNDLE), &text).map_err(there);
    let written = written.and_then(|()| files::replace_policies(&dir, &built.texts.policies, &built.texts.tests));
    if let Err(fault) = written {
        return Ok(Answer::BadInput(vec![fault]));
    }
    say("written; no server runs here, so it binds at the next start");
    Ok(Answer::Done)
}

pub(crate) fn verify(file: &Path, key: &str, json: bool) -> Result<Answer> {
    let key = signed::public_key(key)?;
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let bundle = match open_bundle(&bytes, &[key]) {
        Ok(bundle) => bundle,
        Err(fault) => {
            say(format!("{} {fault}; {}", file.display(), fault.remedy()));
            return Ok(Answer::No);
        }
    };
    let c = bundle.contents();
    let fits = c.schema == signed::schema();
    if json {
        let files: Vec<_> = c.files.iter().map(|f| json!({ "file": f.name, "bytes": f.text.len() })).collect();
        out::json(&json!({ "revision": c.revision, "minimum": c.minimum, "schema_fits": fits, "files": files }))?;
    } else {
        let next = c.minimum.max(c.revision.saturating_add(1));
        say(format!("signed by {}, revision {}; the next one needs {next} at least", signed::short(&key), c.revision));
        for f in &c.files {
            say(format!("  {}  {} bytes", f.name, f.text.len()));
        }
        if !fits {
            say("it is for another policy schema than the one of this program");
        }
    }
    Ok(if fits { Answer::Done } else { Answer::No })
}

pub(crate) fn new_key(file: &Path) -> Result<Answer> {
    ensure!(!file.as_os_str().is_empty(), "name the file of the key");
    let public = signed::new_key(file)?;
    say(format!("{} holds the key; keep it away from the servers that verify", file.display()));
    say(format!("[policy]\ntrusted_keys = [\"{public}\"]"));
    Ok(Answer::Done)
}
