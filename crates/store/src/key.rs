//! The private key of the ledger on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use safeconduct_ledger::CheckpointKey;
use thiserror::Error;

/// How long the files are: 64 digits and a line feed.
const FILE_LEN: u64 = 65;

/// The key that signs the checkpoints. It is kept in a file that only its owner may read, and it cannot be printed.
pub struct LedgerKey(CheckpointKey);

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file could not be read or made.
    #[error("cannot use the ledger key {path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("others may read the ledger key {path} (mode {mode:o}): run `chmod 600` on it", path = path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{path} is not a ledger key: it must hold 64 hexadecimal digits and a line end; restore it from a backup", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl LedgerKey {
    /// Reads the key, or makes one if there is none. The public key is written next to it, in `PATH.pub`.
    ///
    /// # Errors
    /// If the file cannot be used, is readable by others or holds no key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let key = match File::open(path) {
            Ok(file) => Self::read(path, &file)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(path)?,
            Err(e) => return Err(io(e)),
        };
        let public = Self::public_path(path);
        let text = format!("{}\n", hex(&key.public()));
        if fs::read(&public).ok().as_deref() != Some(text.as_bytes()) {
            fs::write(&public, text).map_err(io)?;
        }
        Ok(key)
    }

    /// Reads a public key that [`Self::load_or_create`] wrote: all that a verifier needs.
    ///
    /// # Errors
    /// If the file cannot be read or holds no key.
    pub fn load_public(path: &Path) -> Result<[u8; 32], KeyError> {
        let text = fs::read(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        unhex(&text).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// Where the public key of the private key at `path` is.
    #[must_use]
    pub fn public_path(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".pub");
        name.into()
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    pub(crate) fn signer(&self) -> CheckpointKey {
        self.0.clone()
    }

    fn read(path: &Path, file: &File) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::TooOpen { path: path.to_owned(), mode });
        }
        let mut text = Vec::new();
        file.take(FILE_LEN + 1).read_to_end(&mut text).map_err(io)?;
        let seed = unhex(&text).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })?;
        Ok(Self(CheckpointKey::from_seed(seed)))
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(format!("{}\n", hex(&seed)).as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        Ok(Self(CheckpointKey::from_seed(seed)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// 64 lower hexadecimal digits and a line feed.
fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digits = text.strip_suffix(b"\n").filter(|d| d.len() == 64)?;
    let nibble = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_found_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.key");
        let made = LedgerKey::load_or_create(&path).expect("made");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let again = LedgerKey::load_or_create(&path).expect("read");
        assert_eq!(made.public(), again.public());
        assert_eq!(LedgerKey::load_public(&LedgerKey::public_path(&path)).expect("public"), made.public());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.key");
        LedgerKey::load_or_create(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
        let error = LedgerKey::load_or_create(&path).err().expect("refused").to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
        fs::write(&path, "short\n").expect("written");
        assert!(matches!(LedgerKey::load_or_create(&path), Err(KeyError::Malformed { .. })));
    }
}
