//! Revisions are counted across restarts: the same texts keep their number, other texts get the next one.

use anyhow::{Context, Result};
use safeconduct_config::Texts;
use safeconduct_model::Timestamp;
use safeconduct_store::{Control, DocChange};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const KIND: &str = "snapshot";
const ID: &str = "current";

/// The last revision, and the texts that it was built from.
#[derive(Serialize, Deserialize)]
struct Numbered {
    revision: u64,
    texts: String,
}

/// The number of these texts, kept.
pub(crate) async fn number(control: &Control, texts: &Texts, now: Timestamp) -> Result<u64> {
    let last: Option<Numbered> = match control.get(KIND, ID).await? {
        Some(doc) => Some(serde_json::from_value(doc.body).context("the kept revision is not readable")?),
        None => None,
    };
    let digest = digest(texts);
    match last {
        Some(last) if last.texts == digest => Ok(last.revision),
        last => {
            let revision = last.map_or(1, |l| l.revision + 1);
            keep(control, revision, texts, now).await?;
            Ok(revision)
        }
    }
}

/// Keeps the number of texts that bind from now on.
pub(crate) async fn keep(control: &Control, revision: u64, texts: &Texts, now: Timestamp) -> Result<()> {
    let body = serde_json::to_value(Numbered { revision, texts: digest(texts) })?;
    let change = DocChange { kind: KIND.to_owned(), id: ID.to_owned(), body: Some(body) };
    control.append(None, &[change], now).await?;
    Ok(())
}

fn digest(texts: &Texts) -> String {
    let mut hash = Sha256::new();
    let files = [&texts.main].into_iter().chain(&texts.estate).chain(&texts.policies).chain(&texts.tests);
    let files = files.chain(&texts.stores).chain(&texts.clients);
    for text in files {
        for part in [&text.file, &text.text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
