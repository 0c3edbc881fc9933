//! The ledger: whole as it was written; and one flipped byte in a copy is found where it is.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use safeconduct_store::{Entries, LedgerKey, verify_ledger};

use super::Steps;

/// Verifies, flips, verifies.
pub(super) async fn play(data: &Path, steps: &mut Steps) {
    let (ledger, key) = (data.join("ledger"), data.join("keys/ledger.key"));
    let (at, of) = (ledger.clone(), key.clone());
    steps.step("the ledger verifies", async { blocking(move || whole(&at, &of)).await }).await;
    steps.step("one flipped byte in a copy is found", async { blocking(move || flipped(&ledger, &key)).await }).await;
}

async fn blocking(work: impl FnOnce() -> Result<String> + Send + 'static) -> Result<String> {
    tokio::task::spawn_blocking(work).await?
}

fn public(key: &Path) -> Result<[u8; 32]> {
    Ok(LedgerKey::load_public(&LedgerKey::public_path(key))?)
}

fn whole(ledger: &Path, key: &Path) -> Result<String> {
    let started = Instant::now();
    let report = verify_ledger(ledger, &public(key)?, None)?;
    if let Some(finding) = report.finding {
        anyhow::bail!("{finding}");
    }
    let rate = report.records * 1_000 / u64::try_from(started.elapsed().as_millis().max(1))?;
    Ok(format!("{} records, {} checkpoints, {rate} records per second", report.records, report.checkpoints))
}

/// Copies the ledger, flips one bit in the middle of a record, and looks whether the verifier names exactly that record.
fn flipped(ledger: &Path, key: &Path) -> Result<String> {
    let copy = tempfile::tempdir()?;
    for file in std::fs::read_dir(ledger)? {
        let file = file?;
        std::fs::copy(file.path(), copy.path().join(file.file_name()))?;
    }
    let total = Entries::from_seq(ledger, 0)?.count();
    let victim = Entries::from_seq(ledger, (total / 2) as u64)?.next().context("the ledger is empty")??;
    let segment = copy.path().join(format!("{:08}.seg", victim.position.segment));
    let mut bytes = std::fs::read(&segment)?;
    let at = usize::try_from(victim.position.offset + victim.len / 2)?;
    *bytes.get_mut(at).context("the record lies outside its segment")? ^= 1;
    std::fs::write(&segment, bytes)?;
    let report = verify_ledger(copy.path(), &public(key)?, None)?;
    let finding = report.finding.context("the flipped byte was not found")?;
    let right = finding.seq == victim.entry.seq && finding.offset == victim.position.offset;
    ensure!(right, "byte {at} of record {} was flipped, but the verifier says: {finding}", victim.entry.seq);
    Ok(finding.to_string())
}
