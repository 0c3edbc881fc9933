//! Signed policies: where the configuration names trusted keys, only what one of them signed binds. The bundle lies beside the
//! policies, and the policies must be what it holds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safeconduct_config::{Text, Texts};
use safeconduct_ledger::{
    Bundle, BundleContents, BundleFile, BundleKey, LastBound, MAX_BUNDLE, open_bundle, parse_key, text_hash,
};
use safeconduct_model::{Fault, Timestamp};
use safeconduct_store::{Control, DocChange};
use serde::{Deserialize, Serialize};

use crate::secrets::write_private;

/// Where the bundle that binds lies in the folder of a configuration.
pub const BUNDLE: &str = "policies/signed.bundle";
/// The first line of a key file: the key of something else is refused.
const KEY_HEADER: &str = "safeconduct policy key v1";
/// The largest key file, in bytes.
const MAX_KEY_FILE: u64 = 1_024;
const KIND: &str = "bundle";
const ID: &str = "current";

/// The schema that the policies of this program are written for, as bundles name it.
#[must_use]
pub fn schema() -> [u8; 32] {
    text_hash(safeconduct_policy::SCHEMA)
}

/// Makes a key: the private half in a new file that only its owner may read, the public half in `FILE.pub`. Returns the
/// public half in hexadecimal digits.
pub fn new_key(path: &Path) -> Result<String> {
    ensure!(!path.exists(), "{} exists already; nothing was written", path.display());
    let mut seed = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *seed).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
    let public = hex(&BundleKey::from_seed(*seed).public());
    let text = zeroize::Zeroizing::new(format!("{KEY_HEADER}\n{}\n", hex(&*seed)));
    write_private(path, text.as_bytes())?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    fs::write(&beside, format!("{public}\n"))
        .with_context(|| format!("cannot write {}", Path::new(&beside).display()))?;
    Ok(public)
}

/// Reads a key that [`new_key`] made.
pub fn read_key(path: &Path) -> Result<BundleKey> {
    let shown = path.display();
    let file = File::open(path)
        .with_context(|| format!("cannot read the key {shown}; make one with `safeconduct policy key new {shown}`"))?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("others may read the key {shown} (mode {mode:o}): run `chmod 600` on it");
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE).read_to_string(&mut text).with_context(|| format!("{shown} is no policy key"))?;
    let seed = text.strip_prefix(KEY_HEADER).and_then(|rest| unhex(rest.trim()));
    let seed = zeroize::Zeroizing::new(seed.with_context(|| {
        format!("{shown} is no policy key: it does not begin `{KEY_HEADER}`, followed by 64 hexadecimal digits")
    })?);
    Ok(BundleKey::from_seed(*seed))
}

/// A public key: 64 hexadecimal digits, or a file that holds them.
pub fn public_key(text: &str) -> Result<[u8; 32]> {
    let digits = match parse_key(text) {
        Some(key) => return Ok(key),
        None => {
            fs::read_to_string(text).with_context(|| format!("{text} is neither 64 hexadecimal digits nor a file"))?
        }
    };
    parse_key(digits.trim()).with_context(|| format!("{text} does not hold a public key of 64 hexadecimal digits"))
}

/// What a bundle of these texts says.
#[must_use]
pub fn contents(policies: &[Text], tests: &[Text], revision: u64, minimum: u64) -> BundleContents {
    let file = |t: &Text| BundleFile { name: t.file.clone(), text: t.text.clone() };
    let mut files: Vec<BundleFile> = policies.iter().chain(tests).map(file).collect();
    files.sort();
    BundleContents { revision, minimum, schema: schema(), files }
}

/// The policies and the tests of a bundle.
#[must_use]
pub fn texts(bundle: &Bundle) -> (Vec<Text>, Vec<Text>) {
    let files = bundle.contents().files.iter();
    let texts = files.map(|f| Text { file: f.name.clone(), text: f.text.clone() });
    texts.partition(|t| !t.file.starts_with("policies/tests/"))
}

/// Reads a bundle and checks who signed it, for which schema, and that it is no older than what bound last.
pub fn open(
    path: &Path,
    shown: &str,
    trusted: &[[u8; 32]],
    last: Option<&LastBound>,
) -> Result<(Bundle, String), Vec<Fault>> {
    let fault = |what: String, remedy: &str| vec![Fault::new(shown, 0, what, remedy)];
    let size = fs::metadata(path).map(|m| m.len());
    let bytes = match size.and_then(|size| if size > MAX_BUNDLE as u64 { Ok(None) } else { fs::read(path).map(Some) }) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(fault("is larger than 64 MiB".to_owned(), "this is no bundle")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let what = "there is no signed bundle, and [policy] trusted_keys lets only signed policies bind";
            let remedy = "make one with `safeconduct policy bundle`, then `safeconduct policy publish FILE`";
            return Err(fault(what.to_owned(), remedy));
        }
        Err(e) => return Err(fault(format!("cannot be read: {e}"), "check its permissions")),
    };
    let bundle = open_bundle(&bytes, trusted).map_err(|e| fault(e.to_string(), e.remedy()))?;
    bundle.may_bind(&schema(), last).map_err(|e| fault(e.to_string(), e.remedy()))?;
    let text = String::from_utf8(bytes).map_err(|_| fault("is not UTF-8 text".to_owned(), "fetch it again"))?;
    Ok((bundle, text))
}

/// Where keys are trusted: the bundle beside the policies is signed by one of them and no older than what bound last, and
/// the policies are what it holds. `None` where no key is trusted.
pub fn check(
    dir: &Path,
    trusted: &[[u8; 32]],
    read: &Texts,
    last: Option<&LastBound>,
) -> Result<Option<Bundle>, Vec<Fault>> {
    if trusted.is_empty() {
        return Ok(None);
    }
    let (bundle, _) = open(&dir.join(BUNDLE), BUNDLE, trusted, last)?;
    let signed: BTreeMap<&str, &str> =
        bundle.contents().files.iter().map(|f| (f.name.as_str(), f.text.as_str())).collect();
    let there: BTreeMap<&str, &str> =
        read.policies.iter().chain(&read.tests).map(|t| (t.file.as_str(), t.text.as_str())).collect();
    let remedy = "nothing of it binds; put the signed texts back with `safeconduct policy publish policies/signed.bundle`, \
                  or sign the change with `safeconduct policy bundle`";
    let told = |file: &str, what: &str| Fault::new(file, 0, what, remedy);
    let mut faults = Vec::new();
    for (file, text) in &there {
        match signed.get(file) {
            None => faults.push(told(file, "is not in the signed bundle")),
            Some(other) if other != text => faults.push(told(file, "is not the text that was signed")),
            Some(_) => {}
        }
    }
    faults.extend(signed.keys().filter(|f| !there.contains_key(*f)).map(|f| told(f, "is signed, but missing")));
    if faults.is_empty() { Ok(Some(bundle)) } else { Err(faults) }
}

/// What is remembered of the bundle that bound last.
#[derive(Serialize, Deserialize)]
struct Kept {
    revision: u64,
    minimum: u64,
    digest: String,
}

/// The bundle that bound last, also before a restart.
pub(crate) async fn last(control: &Control) -> Result<Option<LastBound>> {
    let Some(doc) = control.get(KIND, ID).await? else { return Ok(None) };
    let kept: Kept = serde_json::from_value(doc.body).context("the kept revision of the bundle is not readable")?;
    let digest = unhex(&kept.digest).context("the kept digest of the bundle is not readable")?;
    Ok(Some(LastBound { revision: kept.revision, minimum: kept.minimum, digest }))
}

/// Remembers the bundle that binds now.
pub(crate) async fn keep(control: &Control, bound: &LastBound, now: Timestamp) -> Result<()> {
    let kept = Kept { revision: bound.revision, minimum: bound.minimum, digest: hex(&bound.digest) };
    let change = DocChange { kind: KIND.to_owned(), id: ID.to_owned(), body: Some(serde_json::to_value(kept)?) };
    control.append(None, &[change], now).await?;
    Ok(())
}

/// The first digits of a key, to name it in a sentence.
#[must_use]
pub fn short(key: &[u8; 32]) -> String {
    hex(&key[..4])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod flow;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_private_never_overwritten_and_told_from_others() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("policy.key");
        let public = new_key(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(hex(&read_key(&path).expect("read").public()), public);
        assert_eq!(public_key(&format!("{}.pub", path.display())).expect("read"), public_key(&public).expect("parsed"));
        assert!(new_key(&path).expect_err("it is there").to_string().contains("exists already"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(read_key(&path).map(|_| ()).expect_err("others may read it").to_string().contains("chmod 600"));
        // The key of the ledger is 32 bare bytes.
        let other = dir.path().join("ledger.key");
        write_private(&other, &[b'7'; 32]).expect("written");
        assert!(read_key(&other).map(|_| ()).expect_err("not a policy key").to_string().contains("is no policy key"));
    }
}
