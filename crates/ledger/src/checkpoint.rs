//! Signed statements about where the ledger stood.

use ed25519_dalek::{Signer as _, SigningKey};
use safeconduct_model::Timestamp;

use crate::hash::hex;
use crate::{Hash, Head};

/// The first line of every signed text: a signature for this purpose is none for another.
const DOMAIN: &str = "safeconduct ledger checkpoint v1";

/// The private key that signs checkpoints. It cannot be printed.
#[derive(Clone)]
pub struct CheckpointKey(SigningKey);

/// A signed statement: the record `seq` had the hash `hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last record that it covers.
    pub seq: u64,
    /// The time of that record.
    pub at: Timestamp,
    /// The segment in which it stands.
    pub segment: u32,
    /// The hash of its line.
    pub hash: Hash,
    /// The signature.
    pub sig: [u8; 64],
}

impl CheckpointKey {
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

    /// Signs where the ledger stood behind a record ([`crate::Chain::last_record`]).
    #[must_use]
    pub fn checkpoint(&self, last_record: Head) -> Checkpoint {
        let Head { segment, hash, last_at: at, next_seq } = last_record;
        let seq = next_seq.saturating_sub(1);
        let text = format!(
            "{DOMAIN}\nkey {}\nseq {seq}\nat {}\nsegment {segment}\nhash {hash}\n",
            hex(&self.public()),
            at.millis()
        );
        let sig = self.0.sign(text.as_bytes()).to_bytes();
        Checkpoint { seq, at, segment, hash, sig }
    }
}

impl Checkpoint {
    /// The line for the file, with its line feed.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let Self { seq, at, segment, hash, sig } = self;
        let sig = hex(sig);
        let at = at.millis();
        format!("{{\"seq\":{seq},\"at\":{at},\"segment\":{segment},\"hash\":\"{hash}\",\"sig\":\"{sig}\"}}\n")
            .into_bytes()
    }
}
