//! A small Node program beside the test.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::needs;
use crate::process::Process;
use crate::wait::START;

/// A running Node program that said where it listens.
pub struct Helper {
    /// Its port on loopback.
    pub port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Helper {
    /// Starts `provider/NAME.mjs` with arguments and waits for its line `listening PORT`.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("safeconduct-e2e-node").tempdir()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("provider").join(format!("{name}.mjs"));
        let mut command = Command::new("node");
        command.arg(script).args(arguments).env("E2E_NODE_MODULES", needs::node_modules()?);
        let mut process = Process::start(name, &mut command, &folder.path().join("errors.log"))?;
        let port = process.line("its port", START, |l| l.strip_prefix("listening ").and_then(|p| p.parse().ok()))?;
        Ok(Self { port, _process: process, _folder: folder })
    }
}

/// A port that was free a moment ago, for those who must name it before they listen.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(listener.local_addr()?.port())
}
