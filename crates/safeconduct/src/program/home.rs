//! What is kept on this machine, in a folder that only its owner may read: per portal a key, the authority that TLS trusts, and
//! the tokens.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use safeconduct_authn::SigningKey;
use safeconduct_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::net::Address;

/// The first line of a key file: the key of something else is refused.
const KEY_HEADER: &str = "safeconduct program key v1";
const KEY: &str = "key";
const AUTHORITY: &str = "ca.pem";
const TOKENS: &str = "session.json";
const LOCK: &str = "lock";
/// Names the portal that is meant where none is named.
const DEFAULT: &str = "portal";

/// The tokens of this machine. They do not print.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) session: String,
    pub(crate) access_token: String,
    pub(crate) access_until: Timestamp,
    pub(crate) refresh_token: String,
}

/// The folder of one portal.
#[derive(Clone)]
pub(crate) struct Home {
    folder: PathBuf,
    pub(crate) portal: Address,
}

/// `$XDG_CONFIG_HOME/safeconduct`, or `~/.config/safeconduct`.
fn root() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    Ok(base.context("neither XDG_CONFIG_HOME nor HOME names a folder")?.join("safeconduct"))
}

impl Home {
    /// The folder of a portal, or of the one that was signed in at last.
    pub(crate) fn of(portal: Option<&str>) -> Result<Self> {
        let root = root()?;
        let named = match portal {
            Some(portal) => portal.to_owned(),
            None => {
                let text = fs::read_to_string(root.join(DEFAULT));
                text.context("this machine is not signed in; run `safeconduct login --portal https://…`")?
            }
        };
        let portal: Address = named.trim().parse()?;
        Ok(Self { folder: root.join(format!("{}_{}", portal.host, portal.port)), portal })
    }

    /// Makes the folder, and this portal the one that is meant where none is named.
    pub(crate) fn begin(&self) -> Result<()> {
        let shown = self.folder.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("cannot make {shown}"))?;
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {shown}"))?;
        let root = self.folder.parent().context("the folder has a parent")?;
        write(&root.join(DEFAULT), self.portal.origin().as_bytes())
    }

    /// The key of this machine; made if there is none.
    pub(crate) fn key(&self) -> Result<SigningKey> {
        let path = self.folder.join(KEY);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    bail!("others may read {} (mode {mode:o}): remove it and sign in again", path.display());
                }
                let key = text.strip_prefix(KEY_HEADER).and_then(|rest| URL_SAFE_NO_PAD.decode(rest.trim()).ok());
                let key = key.and_then(|bytes| SigningKey::from_slice(&bytes).ok());
                key.with_context(|| format!("{} is no key; remove it and sign in again", path.display()))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = new_key()?;
                let text = format!("{KEY_HEADER}\n{}\n", URL_SAFE_NO_PAD.encode(key.to_bytes()));
                write(&path, text.as_bytes())?;
                Ok(key)
            }
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Keeps the authority that the portal's certificates come from.
    pub(crate) fn trust(&self, pem: &[u8]) -> Result<()> {
        write(&self.folder.join(AUTHORITY), pem)
    }

    /// The authority that was kept, if one was.
    pub(crate) fn authority(&self) -> Option<PathBuf> {
        Some(self.folder.join(AUTHORITY)).filter(|p| p.is_file())
    }

    /// The tokens, if this machine is signed in.
    pub(crate) fn saved(&self) -> Option<Saved> {
        serde_json::from_slice(&fs::read(self.folder.join(TOKENS)).ok()?).ok()
    }

    /// Keeps tokens.
    pub(crate) fn save(&self, saved: &Saved) -> Result<()> {
        write(&self.folder.join(TOKENS), &serde_json::to_vec(saved)?)
    }

    /// Forgets the tokens and the key.
    pub(crate) fn forget(&self) -> Result<()> {
        for name in [TOKENS, KEY] {
            match fs::remove_file(self.folder.join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| format!("cannot remove {name} in {}", self.folder.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps other programs of this machine from refreshing at the same time, until it is dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.folder.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }
}

fn new_key() -> Result<SigningKey> {
    // All but a few of the 2^256 numbers are keys.
    for _ in 0..8 {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
        if let Ok(key) = SigningKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
    bail!("the system gives no usable random bytes")
}

/// Replaces a file that only its owner may read, at once.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let put = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(dir: &Path) -> Home {
        Home { folder: dir.join("portal_443"), portal: "https://portal".parse().expect("an address") }
    }

    #[test]
    fn the_key_is_made_once_is_private_and_is_not_read_when_others_could() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = home(dir.path());
        home.begin().expect("made");
        let key = home.key().expect("made");
        assert_eq!(home.key().expect("read").to_bytes(), key.to_bytes());
        let path = home.folder.join(KEY);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&home.folder).expect("there").permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(home.key().expect_err("open to others").to_string().contains("others may read"));
        home.forget().expect("forgotten");
        assert_ne!(home.key().expect("a new one").to_bytes(), key.to_bytes());
    }

    #[test]
    fn tokens_are_kept_privately_and_forgotten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = home(dir.path());
        home.begin().expect("made");
        assert!(home.saved().is_none());
        let saved = Saved {
            session: "s".into(),
            access_token: "a".into(),
            access_until: Timestamp::from_millis(1),
            refresh_token: "r".into(),
        };
        home.save(&saved).expect("kept");
        assert_eq!(home.saved().map(|s| s.refresh_token).as_deref(), Some("r"));
        let mode = fs::metadata(home.folder.join(TOKENS)).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let _held = home.lock().expect("locked");
        home.forget().expect("forgotten");
        assert!(home.saved().is_none());
    }
}
