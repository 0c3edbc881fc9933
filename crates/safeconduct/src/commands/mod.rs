//! One file a noun.

pub(crate) mod assess;
pub(crate) mod bundle;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod connector;
pub(crate) mod coverage;
pub(crate) mod device;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod ledger;
pub(crate) mod lint;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod map;
pub(crate) mod person;
pub(crate) mod policy;
pub(crate) mod protect;
pub(crate) mod prove;
pub(crate) mod reach;
pub(crate) mod up;
pub(crate) mod watch;

use std::path::{Path, PathBuf};

use safeconduct_model::{Fault, Timestamp};
use safeconduct_server::Current;
use safeconduct_server::files::{self, MAIN};

/// The folder of a configuration, whether the folder or its main file was named.
fn folder(config: &Path) -> PathBuf {
    match config.file_name() {
        Some(name) if name == MAIN => {
            config.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
        }
        _ => config.to_owned(),
    }
}

/// Where the server of a configuration keeps its data. Nothing but the main file is read: whoever has something to tell the server
/// gets through at once, also while somebody is at work on the policies.
fn data_folder(config: &Path) -> Result<PathBuf, Vec<Fault>> {
    let dir = folder(config);
    files::settings(&dir).map(|settings| dir.join(settings.data))
}

/// Finds the data folder, or answers with the faults of the main file.
macro_rules! data {
    ($config:expr) => {
        match crate::commands::data_folder($config) {
            Ok(data) => data,
            Err(faults) => return Ok(crate::out::Answer::BadInput(faults)),
        }
    };
}
use data;

/// A configuration without a server: read and checked whole.
struct Offline {
    dir: PathBuf,
    current: Current,
}

impl Offline {
    fn read(config: &Path) -> Result<Self, Vec<Fault>> {
        let dir = folder(config);
        let built = files::build(files::read(&dir)?, 1)?;
        Ok(Self { dir, current: Current::of(built, Timestamp::default()) })
    }

    fn data(&self) -> PathBuf {
        self.dir.join(&self.current.config.settings.data)
    }

    fn ledger(&self) -> PathBuf {
        self.data().join("ledger")
    }
}

/// Reads a configuration, or answers with its faults.
macro_rules! offline {
    ($config:expr) => {
        match crate::commands::Offline::read($config) {
            Ok(offline) => offline,
            Err(faults) => return Ok(crate::out::Answer::BadInput(faults)),
        }
    };
}
use offline;
