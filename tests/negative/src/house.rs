//! The real program in front of every web server, with a session for each person: put up once, used by all tests.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use safeconduct_e2e::{Server, free_port};
use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::client::{Door, Heard, Visit};
use crate::company::{self, DOMAIN, OIDC_SECRET, STACKS};
use crate::ledger::Ledger;
use crate::scripted::Scripted;
use crate::stacks::Stack;
use crate::tap::Tap;

/// The people who have a session.
const PEOPLE: [&str; 2] = ["ada", "bob"];

/// Everything that the tests need.
pub struct House {
    /// The program.
    pub server: Server,
    /// The way to it.
    pub door: Arc<Door>,
    /// Its records.
    pub ledger: Ledger,
    /// The application that does as it is told.
    pub scripted: Scripted,
    /// The port of health.
    pub health: u16,
    /// Another one, for what would disturb the others.
    pub wild: Scripted,
    stacks: Vec<Stack>,
    raw: Tap,
    wild_tap: Tap,
    /// The `Cookie` lines by person and host.
    cookies: BTreeMap<(String, String), String>,
    /// What may be read nowhere: secrets that were handed out.
    secrets: Mutex<Vec<String>>,
    marks: AtomicU64,
    /// A person has one link at a time: a new one takes the place of the last.
    links: Mutex<()>,
    _folder: TempDir,
}

/// The host of an application.
#[must_use]
pub fn host(label: &str) -> String {
    format!("{label}.{DOMAIN}")
}

impl House {
    /// Puts it up.
    pub fn put_up() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("safeconduct-negative").tempdir()?;
        // The web server of Apache runs as someone else.
        open_to_all(folder.path())?;
        let stacks: Vec<Stack> = STACKS.iter().map(|s| Stack::start(s, folder.path())).collect::<Result<_>>()?;
        let (scripted, wild) = (Scripted::start()?, Scripted::start()?);
        let (raw, wild_tap) = (Tap::start(scripted.port)?, Tap::start(wild.port)?);
        // Health is told only where both ports are named.
        let (https, health) = (free_port()?, free_port()?);
        let port = |name: &str| match name {
            "wild" => wild_tap.port,
            _ => stacks.iter().find(|s| s.name == name).map_or(raw.port, |s| s.tap.port),
        };
        let server = Server::up(|config| company::write(config, https, health, &port))?;
        let data = server.folder().join("data");
        let door = Arc::new(Door::new(server.port, &data.join("ca.pem"))?);
        let mut house = Self {
            ledger: Ledger::new(&data.join("ledger")),
            server,
            door,
            scripted,
            health,
            wild,
            stacks,
            raw,
            wild_tap,
            cookies: BTreeMap::new(),
            secrets: Mutex::new(vec![OIDC_SECRET.to_owned()]),
            marks: AtomicU64::new(0),
            links: Mutex::new(()),
            _folder: folder,
        };
        for person in PEOPLE {
            let mut browser = house.sign_in(person)?;
            for label in house.labels() {
                let host = host(&label);
                house.enter(&mut browser, &host)?;
                house.cookies.insert((person.to_owned(), label), browser.cookie_line(&host));
            }
        }
        Ok(house)
    }

    fn labels(&self) -> Vec<String> {
        let stacks = STACKS.iter().flat_map(|s| [(*s).to_owned(), format!("open-{s}")]);
        stacks.chain(["raw", "other", "open-raw", "critical", "routes", "wild"].map(str::to_owned)).collect()
    }

    /// A browser in which a person has just signed in at the portal.
    pub fn sign_in(&self, person: &str) -> Result<Browser> {
        let _alone = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = self.server.setup_link(person)?;
        let mut browser = self.browser();
        browser.use_link(&link)?;
        self.keep_secret(link.rsplit('/').next().unwrap_or_default());
        self.keep_secret(browser.secret(&host("portal"))?);
        Ok(browser)
    }

    /// Carries the session of a browser to the host of an application.
    pub fn enter(&self, browser: &mut Browser, host: &str) -> Result<()> {
        let page = browser.open(host, "/enter")?;
        let secret = browser.secret(host).with_context(|| format!("the way to {host} ended at {page:?}"))?;
        self.keep_secret(secret);
        Ok(())
    }

    /// A browser of nobody.
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(Arc::clone(&self.door))
    }

    /// Remembers a secret that no log may hold.
    pub fn keep_secret(&self, secret: &str) {
        if secret.len() > 8 {
            self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
        }
    }

    /// Every secret that was handed out.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The web server behind an application.
    pub fn stack(&self, name: &str) -> Result<&Stack> {
        let name = name.strip_prefix("open-").unwrap_or(name);
        self.stacks.iter().find(|s| s.name == name).with_context(|| format!("there is no stack {name}"))
    }

    /// The recorder in front of the server of an application.
    #[must_use]
    pub fn tap(&self, label: &str) -> &Tap {
        match label {
            "wild" => &self.wild_tap,
            _ => self.stack(label).map_or(&self.raw, |stack| &stack.tap),
        }
    }

    /// The `Cookie` line of Ada on the host of an application.
    #[must_use]
    pub fn ada(&self, label: &str) -> &str {
        self.cookie("ada", label)
    }

    /// The `Cookie` line of a person on the host of an application, with its end.
    #[must_use]
    pub fn cookie(&self, person: &str, label: &str) -> &str {
        self.cookies.get(&(person.to_owned(), label.to_owned())).map_or("", String::as_str)
    }

    /// A word that no other test uses.
    pub fn mark(&self, of: &str) -> String {
        format!("{of}m{}z", self.marks.fetch_add(1, Ordering::Relaxed))
    }

    /// Says bytes to the host of an application and listens until the other side closes.
    pub fn say(&self, label: &str, bytes: impl AsRef<[u8]>) -> Result<(Heard, Ipv4Addr)> {
        let mut visit = self.open(label)?;
        visit.send(bytes)?;
        Ok((visit.listen(), visit.from))
    }

    /// A connection to the host of an application.
    pub fn open(&self, label: &str) -> Result<Visit> {
        self.door.open(&host(label))
    }

    /// An ordinary request of Ada that ends its connection.
    #[must_use]
    pub fn get(&self, label: &str, target: &str, fields: &str) -> String {
        let (host, cookie) = (host(label), self.ada(label));
        format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{cookie}{fields}connection: close\r\n\r\n")
    }

    /// Sends what must be refused: the status, one answer, the end of the connection, a record with this detail, and nothing
    /// that holds the mark at any web server.
    pub fn refused(
        &self,
        label: &str,
        mark: &str,
        bytes: impl AsRef<[u8]>,
        status: u16,
        detail: &[&str],
    ) -> Result<()> {
        let bytes = bytes.as_ref();
        let shown = || bytes[..bytes.len().min(400)].escape_ascii().to_string();
        let (heard, from) = self.say(label, bytes)?;
        ensure!(heard.statuses() == [status], "{label}: {:?} instead of {status} for {}", heard.text, shown());
        ensure!(heard.closed, "{label}: the connection stays open after {}", shown());
        let records = self.ledger.from(from, 1)?;
        ensure!(records.len() == 1, "{label}: more than the refusal was recorded: {records:?}");
        self.is_refusal(&records[0], detail).with_context(shown)?;
        let told = heard.header("x-request-id");
        ensure!(
            told.is_none_or(|id| records[0]["request"] == id),
            "{label}: the answer has another id than its record"
        );
        self.unheard(mark)
    }

    /// Checks that a record is a refusal with one of these details; any if none is given.
    pub fn is_refusal(&self, record: &Value, detail: &[&str]) -> Result<()> {
        ensure!(record["kind"] == "refusal", "no refusal was recorded but {record}");
        let told = record["detail"].as_str().unwrap_or_default();
        let stable =
            !told.is_empty() && told.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        ensure!(stable, "the detail `{told}` is no stable code");
        ensure!(detail.is_empty() || detail.contains(&told), "the detail is `{told}`, not one of {detail:?}");
        Ok(())
    }

    /// Checks that no web server heard a word.
    pub fn unheard(&self, mark: &str) -> Result<()> {
        for tap in self.stacks.iter().map(|s| &s.tap).chain([&self.raw, &self.wild_tap]) {
            ensure!(!tap.heard(mark), "a web server heard of {mark}");
        }
        Ok(())
    }

    /// Ends it: the log may hold no error, and no secret may stand in any file that it wrote.
    pub fn end(self) -> Result<()> {
        let data = self.server.folder().join("data");
        let secrets = self.secrets();
        ensure!(secrets.len() > 20, "there are secrets to look for");
        let log = self.server.log();
        ensure!(!secrets.iter().any(|s| log.contains(s.as_str())), "the log holds a secret");
        hold_nowhere(&data, &secrets)?;
        self.server.ends_well()
    }
}

/// Fails if a file below a folder holds one of these texts.
pub fn hold_nowhere(folder: &Path, texts: &[String]) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            hold_nowhere(&path, texts)?;
        } else if kind.is_file() {
            // Latin letters stay what they are, whatever stands around them.
            let held = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            ensure!(!texts.iter().any(|t| held.contains(t.as_str())), "{} holds a secret", path.display());
        }
    }
    Ok(())
}

fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}
