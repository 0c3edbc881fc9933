//! Signed bundles of policies: one file that says who signed which texts, for which schema, and that it is no older than what
//! it follows. It stands beside the checkpoints because both are signed statements, and this crate is the one that signs.
//!
//! A bundle is text. Every line of its head ends with a line feed (0x0A), all numbers are decimal without leading zeros, all
//! hexadecimal is lower case:
//!
//! ```text
//! safeconduct policy bundle v1
//! key K
//! revision N
//! minimum M
//! schema H
//! file F L policies/NAME.cedar
//! file F L policies/tests/NAME.toml
//! sig G
//!
//! ```
//!
//! `K` is the Ed25519 public key (64 digits), `N` the revision of the bundle, counted by whoever signs, `M` the least revision
//! that may come after it, `H` the SHA-256 of the policy schema. Each `file` line names a text with its SHA-256 `F` and its
//! length in bytes `L`; names ascend. `G` (128 digits) is an Ed25519 signature (RFC 8032) over the bytes of all lines before
//! it; the first of them is the domain, so that no other signature of the same key counts here, nor this one elsewhere. After
//! an empty line the texts follow, one behind the other, and nothing else.

use std::fmt::Write as _;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::hash::hex;

/// The first line of every signed text: a signature for this purpose is none for another.
const DOMAIN: &str = "safeconduct policy bundle v1";
/// The largest bundle, in bytes.
pub const MAX_BUNDLE: usize = 64 * 1024 * 1024;
/// The most files of a bundle.
pub const MAX_BUNDLE_FILES: usize = 10_000;
/// The longest name of a file, in bytes.
const MAX_NAME: usize = 200;

/// The private key that signs bundles. It cannot be printed.
pub struct BundleKey(SigningKey);

/// One text of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BundleFile {
    /// `policies/NAME.cedar` or `policies/tests/NAME.toml`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a bundle says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleContents {
    /// Its revision, counted by whoever signs.
    pub revision: u64,
    /// The least revision that may come after it: with more than its own it withdraws signed bundles that never bound.
    pub minimum: u64,
    /// SHA-256 of the schema that its policies are written for.
    pub schema: [u8; 32],
    /// Its texts, in order of their names.
    pub files: Vec<BundleFile>,
}

/// A bundle whose signature, by a trusted key, and whose texts were checked. Only [`open_bundle`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    contents: BundleContents,
    key: [u8; 32],
    digest: [u8; 32],
}

/// The bundle that bound last, as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBound {
    /// Its revision.
    pub revision: u64,
    /// The least revision that may follow it.
    pub minimum: u64,
    /// What tells it from another of the same revision.
    pub digest: [u8; 32],
}

/// Why a bundle is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleFault {
    /// It is no bundle, or not a whole one.
    #[error("is not a whole bundle: {0}")]
    Format(String),
    /// Somebody signed it who is not trusted.
    #[error("is signed by {0}, which is not among the trusted keys")]
    UntrustedKey(String),
    /// The signature does not hold.
    #[error("carries a signature that does not hold: the head was changed, or it was signed for something else")]
    Signature,
    /// A text is not the one that was signed.
    #[error("holds another text of `{0}` than the one that was signed")]
    Text(String),
    /// It was written for another schema.
    #[error("was signed for another policy schema than the one of this program")]
    Schema,
    /// It is older than what bound last.
    #[error("has revision {revision}, and {least} is the least that may bind after revision {last}")]
    Downgrade {
        /// Its revision.
        revision: u64,
        /// The revision that bound last.
        last: u64,
        /// The least revision that may follow.
        least: u64,
    },
    /// Another bundle of the same revision bound already.
    #[error("has revision {0} like the one that bound last, and says something else")]
    SameRevision(u64),
}

impl BundleFault {
    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Format(_) => "fetch it again, or make it anew with `safeconduct policy bundle`",
            Self::UntrustedKey(_) => {
                "let a trusted key sign it, or add the key to [policy] trusted_keys and start again"
            }
            Self::Signature | Self::Text(_) => {
                "do not use it; fetch it again from where it was signed, and find out who changed it"
            }
            Self::Schema => "make it anew with the version of Safeconduct that runs here",
            Self::Downgrade { .. } | Self::SameRevision(_) => {
                "sign the policies that you want under a higher revision: `safeconduct policy bundle --revision N`"
            }
        }
    }
}

impl BundleKey {
    /// The key that grows from 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public half, which verifies.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The bundle as a file. The same contents and key give the same bytes.
    pub fn seal(&self, contents: &BundleContents) -> Result<String, BundleFault> {
        let mut files: Vec<&BundleFile> = contents.files.iter().collect();
        files.sort();
        let mut head = format!(
            "{DOMAIN}\nkey {}\nrevision {}\nminimum {}\nschema {}\n",
            hex(&self.public()),
            contents.revision,
            contents.minimum,
            hex(&contents.schema)
        );
        for file in &files {
            let hash: [u8; 32] = Sha256::digest(&file.text).into();
            let _ = writeln!(head, "file {} {} {}", hex(&hash), file.text.len(), file.name);
        }
        let signature = self.0.sign(head.as_bytes()).to_bytes();
        let _ = write!(head, "sig {}\n\n", hex(&signature));
        head.extend(files.iter().map(|f| f.text.as_str()));
        // What this crate would not open, it does not write.
        open_bundle(head.as_bytes(), &[self.public()])?;
        Ok(head)
    }
}

impl Bundle {
    /// What it says.
    #[must_use]
    pub fn contents(&self) -> &BundleContents {
        &self.contents
    }

    /// Who signed it.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// What is remembered of it once it binds.
    #[must_use]
    pub fn bound(&self) -> LastBound {
        LastBound { revision: self.contents.revision, minimum: self.contents.minimum, digest: self.digest }
    }

    /// Whether it may bind: it is for this schema, and no older than what bound last. The one that bound last may bind again.
    pub fn may_bind(&self, schema: &[u8; 32], last: Option<&LastBound>) -> Result<(), BundleFault> {
        if self.contents.schema != *schema {
            return Err(BundleFault::Schema);
        }
        let Some(last) = last else { return Ok(()) };
        if self.digest == last.digest {
            return Ok(());
        }
        let revision = self.contents.revision;
        if revision == last.revision {
            return Err(BundleFault::SameRevision(revision));
        }
        let least = last.minimum.max(last.revision.saturating_add(1));
        if revision < least { Err(BundleFault::Downgrade { revision, last: last.revision, least }) } else { Ok(()) }
    }
}

/// SHA-256 of a text, as bundles name schemas.
#[must_use]
pub fn text_hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Reads a public key: 64 hexadecimal digits that name a point of the curve.
#[must_use]
pub fn parse_key(text: &str) -> Option<[u8; 32]> {
    let bytes = unhex(text)?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|k| !k.is_weak()).map(|_| bytes)
}

/// Checks the signature by one of the trusted keys, then every text. No trusted key, no bundle.
pub fn open_bundle(bytes: &[u8], trusted: &[[u8; 32]]) -> Result<Bundle, BundleFault> {
    let format = |what: &str| BundleFault::Format(what.to_owned());
    if bytes.len() > MAX_BUNDLE {
        return Err(format("it is larger than 64 MiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| format("it is not UTF-8 text"))?;
    let (head, body) = text.split_once("\n\n").ok_or_else(|| format("the head does not end"))?;
    let (signed, sig) = head.rsplit_once('\n').ok_or_else(|| format("the head does not end"))?;
    let signed = &text[..=signed.len()];
    let sig: [u8; 64] =
        sig.strip_prefix("sig ").and_then(unhex).ok_or_else(|| format("the head does not end with its signature"))?;
    let mut lines = signed.lines();
    if lines.next() != Some(DOMAIN) {
        return Err(format("it does not begin as a bundle of version 1"));
    }
    let mut field = |name: &str| {
        let line = lines.next().and_then(|l| l.strip_prefix(name)).and_then(|l| l.strip_prefix(' '));
        line.ok_or_else(|| BundleFault::Format(format!("the line `{name}` is missing")))
    };
    let key: [u8; 32] = unhex(field("key")?).ok_or_else(|| format("the key is not 64 hexadecimal digits"))?;
    if !trusted.contains(&key) {
        return Err(BundleFault::UntrustedKey(hex(&key)));
    }
    let verifying = VerifyingKey::from_bytes(&key).map_err(|_| BundleFault::Signature)?;
    verifying.verify_strict(signed.as_bytes(), &Signature::from_bytes(&sig)).map_err(|_| BundleFault::Signature)?;

    let revision = number(field("revision")?).ok_or_else(|| format("the revision is not a number"))?;
    let minimum = number(field("minimum")?).ok_or_else(|| format("the minimum is not a number"))?;
    let schema = unhex(field("schema")?).ok_or_else(|| format("the schema is not 64 hexadecimal digits"))?;
    let mut files: Vec<BundleFile> = Vec::new();
    let mut rest = body;
    for line in lines {
        let entry = line.strip_prefix("file ").and_then(listed);
        let (hash, length, name) = entry.ok_or_else(|| BundleFault::Format(format!("this is no file: {line:?}")))?;
        if files.last().is_some_and(|f| f.name.as_str() >= name) || files.len() >= MAX_BUNDLE_FILES {
            return Err(format("its files are too many, or not in order"));
        }
        let cut = rest.split_at_checked(length).ok_or_else(|| BundleFault::Format(format!("`{name}` is cut off")))?;
        if text_hash(cut.0) != hash {
            return Err(BundleFault::Text(name.to_owned()));
        }
        files.push(BundleFile { name: name.to_owned(), text: cut.0.to_owned() });
        rest = cut.1;
    }
    if !rest.is_empty() {
        return Err(format("something stands behind its last text"));
    }
    let contents = BundleContents { revision, minimum, schema, files };
    Ok(Bundle { contents, key, digest: text_hash(signed) })
}

fn listed(line: &str) -> Option<([u8; 32], usize, &str)> {
    let (hash, rest) = line.split_once(' ')?;
    let (length, name) = rest.split_once(' ')?;
    let length = usize::try_from(number(length)?).ok()?;
    is_name(name).then_some((unhex(hash)?, length, name))
}

/// Whether a bundle may hold a text of this name: nothing that climbs out of `policies/`, and nothing hidden.
fn is_name(name: &str) -> bool {
    let plain = |stem: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        !stem.is_empty() && !stem.starts_with('.') && stem.bytes().all(allowed)
    };
    let inside =
        |folder: &str, ending: &str| name.strip_prefix(folder).and_then(|n| n.strip_suffix(ending)).is_some_and(plain);
    name.len() <= MAX_NAME && (inside("policies/", ".cedar") || inside("policies/tests/", ".toml"))
}

/// A decimal number without leading zeros.
fn number(text: &str) -> Option<u64> {
    let n: u64 = text.parse().ok()?;
    (n.to_string() == text).then_some(n)
}

/// Bytes from lower hexadecimal.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckpointKey, Head};

    const SCHEMA: [u8; 32] = [3; 32];

    fn key() -> BundleKey {
        BundleKey::from_seed([7; 32])
    }

    fn contents(revision: u64) -> BundleContents {
        let file = |name: &str, text: &str| BundleFile { name: name.into(), text: text.into() };
        let files = vec![file("policies/a.cedar", "// ä\n\n\nsig \n"), file("policies/tests/a.toml", "")];
        BundleContents { revision, minimum: revision, schema: SCHEMA, files }
    }

    fn sealed(revision: u64) -> String {
        key().seal(&contents(revision)).expect("a sound bundle")
    }

    fn opened(text: &str) -> Result<Bundle, BundleFault> {
        open_bundle(text.as_bytes(), &[[9; 32], key().public()])
    }

    #[test]
    fn what_was_sealed_comes_out_again_and_always_as_the_same_bytes() {
        let text = sealed(4);
        assert_eq!(opened(&text).expect("it opens").contents(), &contents(4));
        let mut shuffled = contents(4);
        shuffled.files.reverse();
        assert_eq!(key().seal(&shuffled).expect("sealed"), text);
    }

    #[test]
    fn no_byte_can_be_changed_dropped_or_added() {
        let text = sealed(4);
        // Every fifth byte meets each kind of line at each of its parts, and a signature takes its time.
        for at in (0..text.len()).step_by(5) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(open_bundle(&bytes, &[key().public()]).is_err(), "byte {at} of {text}");
            assert!(open_bundle(&text.as_bytes()[..at], &[key().public()]).is_err(), "cut at {at}");
        }
        assert!(opened(&format!("{text} ")).is_err_and(|f| f.to_string().contains("behind its last text")));
    }

    #[test]
    fn only_a_trusted_key_counts() {
        let text = sealed(4);
        assert!(matches!(open_bundle(text.as_bytes(), &[]), Err(BundleFault::UntrustedKey(_))));
        let other = BundleKey::from_seed([8; 32]);
        let fault = open_bundle(text.as_bytes(), &[other.public()]).expect_err("another key");
        assert!(fault.to_string().contains(&hex(&key().public())) && fault.remedy().contains("trusted_keys"));
        // Naming a trusted key does not make it sign.
        let forged = other.seal(&contents(4)).expect("sealed").replace(&hex(&other.public()), &hex(&key().public()));
        assert_eq!(opened(&forged), Err(BundleFault::Signature));
    }

    #[test]
    fn a_signature_of_the_same_key_for_another_purpose_is_none() {
        let checkpoint = CheckpointKey::from_seed([7; 32]).checkpoint(Head {
            segment: 0,
            next_seq: 1,
            hash: crate::Hash::default(),
            last_at: safeconduct_model::Timestamp::default(),
        });
        let text = sealed(4);
        let (head, rest) = text.split_once("sig ").expect("a signature");
        let confused = format!("{head}sig {}{}", hex(&checkpoint.sig), &rest[128..]);
        assert_eq!(opened(&confused), Err(BundleFault::Signature));
        // And the text of a checkpoint, rightly signed, is no bundle.
        let signed = "safeconduct ledger checkpoint v1\nkey 0\n";
        let sig = SigningKey::from_bytes(&[7; 32]).sign(signed.as_bytes()).to_bytes();
        let fault = opened(&format!("{signed}sig {}\n\n", hex(&sig))).expect_err("no bundle");
        assert!(fault.to_string().contains("does not begin as a bundle"), "{fault}");
    }

    #[test]
    fn a_bundle_binds_again_but_never_backwards() {
        let bundle = |n| opened(&sealed(n)).expect("opens");
        let last = bundle(5).bound();
        assert_eq!(bundle(5).may_bind(&SCHEMA, Some(&last)), Ok(()));
        assert_eq!(bundle(6).may_bind(&SCHEMA, Some(&last)), Ok(()));
        let downgrade = BundleFault::Downgrade { revision: 4, last: 5, least: 6 };
        assert_eq!(bundle(4).may_bind(&SCHEMA, Some(&last)), Err(downgrade));
        let same = LastBound { digest: [0; 32], ..last };
        assert_eq!(bundle(5).may_bind(&SCHEMA, Some(&same)), Err(BundleFault::SameRevision(5)));
        let withdrawing = LastBound { minimum: 9, ..last };
        assert!(bundle(8).may_bind(&SCHEMA, Some(&withdrawing)).is_err());
        assert_eq!(bundle(9).may_bind(&SCHEMA, Some(&withdrawing)), Ok(()));
        assert_eq!(bundle(6).may_bind(&[4; 32], Some(&last)), Err(BundleFault::Schema));
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for name in [
            "policies/../x.cedar",
            "policies/.x.cedar",
            "x.cedar",
            "policies/a/b.cedar",
            "policies/tests/a.cedar",
            "policies/a b.cedar",
            "/etc/x.toml",
        ] {
            let mut bad = contents(1);
            bad.files[0].name = name.into();
            assert!(matches!(key().seal(&bad), Err(BundleFault::Format(_))), "{name}");
        }
        let mut twice = contents(1);
        twice.files[1] = twice.files[0].clone();
        assert!(key().seal(&twice).is_err());
    }

    #[test]
    fn weak_and_malformed_keys_are_no_keys() {
        assert_eq!(parse_key(&hex(&key().public())), Some(key().public()));
        assert_eq!(parse_key(&"00".repeat(32)), None, "a point of small order");
        assert_eq!(parse_key(&hex(&key().public()).to_uppercase()), None);
        assert_eq!(parse_key("aa"), None);
    }
}
