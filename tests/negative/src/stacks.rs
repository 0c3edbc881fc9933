//! Web servers of five stacks, each behind a recorder, each with a log of what it understood.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use safeconduct_e2e::wait::{START, until};
use safeconduct_e2e::{Process, free_port};

use crate::hyper_stack::{self, Lines};
use crate::parse::unescape;
use crate::tap::Tap;

/// How long a line may take to be in a log.
const PATIENCE: Duration = Duration::from_secs(8);
/// Where Debian keeps programs of administrators, and the modules of Apache.
const ADMINISTRATORS: &str = "/usr/sbin";
const MODULES: &str = "/usr/lib/apache2/modules";

/// What a web server understood of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The id that the gateway gave.
    pub id: String,
    /// The request line.
    pub line: Vec<u8>,
    /// The path on which the web server acts: decoded, and made normal in its own way.
    pub path: Vec<u8>,
    /// The host.
    pub host: String,
    /// The field `x-nt`, in which tests send what must arrive unchanged.
    pub nt: Vec<u8>,
}

enum Log {
    File(PathBuf),
    Memory(Lines),
}

/// One web server.
pub struct Stack {
    /// Its name, which is the first label of its host too.
    pub name: &'static str,
    /// The recorder in front of it.
    pub tap: Tap,
    log: Log,
    _process: Option<Process>,
}

impl Stack {
    /// Starts a web server in a folder.
    pub fn start(name: &'static str, folder: &Path) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(folder.join("www"))?;
        let log = folder.join("seen.log");
        fs::write(&log, "")?;
        if name == "hyper" {
            let lines = Lines::default();
            let tap = Tap::start(hyper_stack::start(lines.clone())?)?;
            return Ok(Self { name, tap, log: Log::Memory(lines), _process: None });
        }
        let (process, port) = match name {
            "nginx" => configured("nginx", include_str!("../stacks/nginx.conf"), &[], &folder)?,
            "apache" => configured("apache2", include_str!("../stacks/apache.conf"), &["-DFOREGROUND"], &folder)?,
            "node" => script("node", "node.mjs", &folder, &log)?,
            "python" => script("python3", "python.py", &folder, &log)?,
            other => bail!("there is no stack {other}"),
        };
        Ok(Self { name, tap: Tap::start(port)?, log: Log::File(log), _process: Some(process) })
    }

    /// Everything that it saw so far.
    pub fn seen(&self) -> Result<Vec<Seen>> {
        let lines = match &self.log {
            Log::File(path) => fs::read_to_string(path)?.lines().map(str::to_owned).collect(),
            Log::Memory(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        lines.iter().map(|l| read(l).with_context(|| format!("{}: a line of the log: {l}", self.name))).collect()
    }

    /// What it saw of the request with this id, which is exactly one.
    pub fn saw(&self, id: &str) -> Result<Seen> {
        until(&format!("{} to log the request {id}", self.name), PATIENCE, || {
            let mut of: Vec<Seen> = self.seen()?.into_iter().filter(|s| s.id == id).collect();
            match (of.pop(), of.is_empty()) {
                (Some(seen), true) => Ok(Some(seen)),
                (None, _) => Ok(None),
                (Some(_), false) => bail!("{} saw the request {id} more than once", self.name),
            }
        })
    }
}

fn read(line: &str) -> Result<Seen> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [id, request, path, host, nt, _] = fields.as_slice() else { bail!("{} fields", fields.len()) };
    Ok(Seen {
        id: (*id).to_owned(),
        line: unescape(request),
        path: unescape(path),
        host: (*host).to_owned(),
        nt: unescape(nt),
    })
}

/// A web server with a configuration file, on a free port.
fn configured(program: &str, config: &str, options: &[&str], folder: &Path) -> Result<(Process, u16)> {
    let file = folder.join("server.conf");
    let dir = folder.to_str().context("the folder has a plain name")?;
    let port = free_port()?;
    let text = config.replace("DIR", dir).replace("PORT", &port.to_string()).replace("MODULES", MODULES);
    fs::write(&file, text)?;
    let mut command = Command::new(Path::new(ADMINISTRATORS).join(program));
    // Apache has no -p; nginx would look for its logs elsewhere without it.
    command.args(options).arg(if program == "nginx" { "-c" } else { "-f" }).arg(&file);
    if program == "nginx" {
        command.arg("-p").arg(folder);
    }
    let errors = folder.join("output.log");
    let mut process = Process::start(program, &mut command, &errors)
        .with_context(|| format!("install the Debian package {program}, or run `cargo xtask test`, which does"))?;
    until(&format!("{program} to listen"), START, || {
        if let Err(gone) = process.still_runs() {
            bail!("{gone:#}: {}", fs::read_to_string(&errors).unwrap_or_default());
        }
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
    })?;
    Ok((process, port))
}

/// A program that says where it listens.
fn script(program: &str, file: &str, folder: &Path, log: &Path) -> Result<(Process, u16)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(file);
    let mut command = Command::new(program);
    command.arg(path).arg(log);
    let mut process = Process::start(program, &mut command, &folder.join("errors.log"))?;
    let port = process.line("its port", START, |l| l.strip_prefix("listening ").and_then(|p| p.parse().ok()))?;
    Ok((process, port))
}
