//! Keys in files that only their owner may read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// 32 secret bytes that do not print and are wiped when they are dropped.
pub(crate) struct Secret(zeroize::Zeroizing<[u8; 32]>);

impl std::ops::Deref for Secret {
    type Target = [u8; 32];
    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Reads the key in a file, or makes one if there is none.
pub(crate) fn load_or_create(path: &Path) -> Result<Secret> {
    let shown = path.display();
    let mut key = zeroize::Zeroizing::new([0_u8; 32]);
    match File::open(path) {
        Ok(mut file) => {
            let mode = file.metadata()?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                bail!("others may read the key {shown} (mode {mode:o}): run `chmod 600` on it");
            }
            file.read_exact(&mut *key)
                .with_context(|| format!("{shown} is too short for a key; restore it from a backup"))?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            getrandom::fill(&mut *key).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
            write_private(path, &*key)?;
        }
        Err(e) => return Err(e).with_context(|| format!("cannot read the key {shown}")),
    }
    Ok(Secret(key))
}

/// Writes a new file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder of {shown}"))?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.as_mut().map_err(|e| anyhow::anyhow!("cannot make {shown}: {e}"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("cannot write {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("keys/a.key");
        let first = *load_or_create(&path).expect("made");
        assert_eq!(*load_or_create(&path).expect("read"), first);
        assert_ne!(first, [0; 32]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
        let told = load_or_create(&path).map(|_| ()).expect_err("others may read it").to_string();
        assert!(told.contains("chmod 600"), "{told}");
    }
}
