//! The people and devices that act: software passkeys and device keys, used over the real interfaces. Whoever has the seed
//! has them all, which is why the seed stays in the work folder of the demo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::try_join_all;
use http::{Method, StatusCode};
use p256::ecdsa::SigningKey;
use safeconduct_authn::device::{DeviceKey, prove};
use safeconduct_authn::posture::sign_report;
use safeconduct_authn::software_passkey::SoftwarePasskey;
use safeconduct_model::{Check, DeviceId, Duration, Timestamp};
use safeconduct_server::clock::system;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::browser::{Browser, Net, encode};
use super::company::host;
use super::fortnight::staff::{DEVICES, device_of};
use crate::local::{Local, Refused};

/// The people who act in the demo; all others have only a past.
pub(crate) const PLAYERS: [&str; 16] = [
    "mira", "ada", "bruno", "frida", "gita", "celine", "theo", "jakob", "katya", "liam", "rosa", "tara", "xenia",
    "yusuf", "fiona", "gus",
];

/// The file with the seed, in the work folder.
const SEED_FILE: &str = "demo.seed";
/// Passkey counters go on from here at a restart: seconds since the middle of November 2023.
const COUNTED_FROM: i64 = 1_700_000_000;
/// A report is dated this much ahead, so that two within one second are told apart; the server tolerates a minute.
const AHEAD: Duration = Duration::from_secs(1);

/// The time that the server shows.
pub(crate) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The people and devices that act.
pub(crate) struct Cast {
    net: Net,
    origin: String,
    now: Now,
    passkeys: BTreeMap<&'static str, Mutex<SoftwarePasskey>>,
    devices: BTreeMap<&'static str, SigningKey>,
}

/// Where the cast plays.
pub(crate) struct Scene<'a> {
    /// The work folder.
    pub(crate) dir: &'a Path,
    /// How hosts are reached.
    pub(crate) net: Net,
    /// The origin of the portal.
    pub(crate) origin: String,
    /// The time that the server shows.
    pub(crate) now: Now,
}

impl Cast {
    /// Makes accounts and devices for these people over the real interfaces, or finds those of an earlier run.
    pub(crate) async fn gather(scene: Scene<'_>, people: &[&'static str], with_devices: bool) -> Result<Self> {
        let Scene { dir, net, origin, now } = scene;
        let (seed, found) = seed(dir)?;
        let count = u32::try_from(system().millis() / 1_000 - COUNTED_FROM).unwrap_or(0);
        let passkey =
            |p: &&'static str| (*p, Mutex::new(SoftwarePasskey::from_seed(derived(&seed, p)).at_count(count)));
        let key = |d: &'static str| SigningKey::from_slice(&derived(&seed, d)).context("a device key is out of range");
        let devices = DEVICES.iter().map(|d| Ok((d.id, key(d.id)?))).collect::<Result<_>>()?;
        let cast = Self { net, origin, now, passkeys: people.iter().map(passkey).collect(), devices };
        let data = dir.join("data");
        if with_devices {
            cast.enrol(&data).await?;
        }
        try_join_all(people.iter().map(|person| cast.invite(&data, person, found))).await?;
        Ok(cast)
    }

    /// The origin of the portal.
    pub(crate) fn portal(&self) -> &str {
        &self.origin
    }

    /// An address of an application.
    pub(crate) fn app(&self, app: &str, path: &str) -> String {
        format!("https://{}:{}{path}", host(app), self.net.port())
    }

    /// The time that the server shows.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Every device is made known by the operator of the machine, and reports how it is.
    async fn enrol(&self, data: &Path) -> Result<()> {
        let mut local = Local::connect(data).await?;
        for device in &DEVICES {
            let key = self.devices.get(device.id).context("a device without a key")?;
            let body = json!({
                "name": device.id,
                "managed": true,
                "public_key": DeviceKey::from(key).to_base64url(),
                "person": device.owner,
                "proof": "browser",
            });
            let enrolled = local.ask(Method::POST, "/api/v1/devices", Some(&body)).await;
            // Of an earlier run.
            let known =
                |e: &anyhow::Error| e.downcast_ref::<Refused>().is_some_and(|r| r.status == StatusCode::CONFLICT);
            match enrolled {
                Ok(_) => {}
                Err(error) if known(&error) => {}
                Err(error) => return Err(error.context(format!("the device {} could not be enrolled", device.id))),
            }
        }
        let reporting = DEVICES.iter().filter(|d| d.state.passed().next().is_some());
        try_join_all(reporting.map(|d| self.report(d.id, d.state.passed().collect()))).await?;
        Ok(())
    }

    /// A device says how it is, in a report that it signs.
    pub(crate) async fn report(&self, device: &str, passed: Vec<Check>) -> Result<()> {
        let key = self.devices.get(device).with_context(|| format!("there is no device {device}"))?;
        let id: DeviceId = device.parse()?;
        let checks: BTreeMap<Check, bool> = Check::ALL.into_iter().map(|c| (c, passed.contains(&c))).collect();
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
        let token = sign_report(key, &id, self.now() + AHEAD, &URL_SAFE_NO_PAD.encode(random), &checks);
        let browser = Browser::new(self.net.clone());
        let kind = [("content-type", "application/jwt")];
        let page = browser.fetch(Method::POST, &format!("{}/api/v1/posture", self.origin), &kind, &token).await?;
        page.json().map(|_| ()).with_context(|| format!("the report of {device} was not taken"))
    }

    /// A person makes an account with a passkey, by a link of the operator; or has one from an earlier run.
    async fn invite(&self, data: &Path, person: &'static str, found: bool) -> Result<()> {
        if found && self.sign_in(person, false).await.is_ok() {
            return Ok(());
        }
        let mut local = Local::connect(data).await?;
        let made = local.ask(Method::POST, &format!("/api/v1/people/{person}/setup-link"), None).await?;
        let link = made["url"].as_str().context("no setup link was made")?;
        let browser = Browser::new(self.net.clone());
        let page = browser.open(link).await?;
        ensure!(page.status == StatusCode::OK, "the setup page of {person} answers {}", page.status);
        let page = browser.submit(link, &[("person", person), ("name", person), ("csrf", page.token())]).await?;
        ensure!(page.status.is_success(), "the setup of {person} answers {}", page.status);
        let token = browser.open(&format!("{}/me/security", self.origin)).await?.token().to_owned();
        let begin = format!("{}/me/passkeys/begin", self.origin);
        let begun = browser.post_json(&begin, &token, &json!({ "name": "Software passkey of the demo" })).await?;
        let credential = self
            .passkey(person)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .register(options(&begun), &self.origin)?;
        let finish = json!({ "ceremony": begun["ceremony"], "credential": credential });
        browser.post_json(&format!("{}/me/passkeys/finish", self.origin), &token, &finish).await?;
        let signed_out = browser.submit(&format!("{}/sign-out", self.origin), &[("csrf", &token)]).await?;
        ensure!(signed_out.status.is_success(), "{person} could not sign out after the setup");
        Ok(())
    }

    fn passkey(&self, person: &str) -> Result<&Mutex<SoftwarePasskey>> {
        self.passkeys.get(person).with_context(|| format!("{person} does not act in the demo"))
    }

    /// A person signs in with their passkey, and from their device if it is to prove itself. The browser has the session.
    pub(crate) async fn sign_in(&self, person: &str, from_device: bool) -> Result<Browser> {
        let browser = Browser::new(self.net.clone());
        let begin = format!("{}/sign-in/passkey/begin", self.origin);
        let begun = browser.post_json(&begin, "", &json!({ "person": person, "return": "/" })).await?;
        let credential = self
            .passkey(person)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .authenticate(options(&begun), &self.origin)?;
        let finish = json!({ "ceremony": begun["ceremony"], "credential": credential });
        let done = browser.post_json(&format!("{}/sign-in/passkey/finish", self.origin), "", &finish).await?;
        let next = done["location"].as_str().context("the sign-in leads nowhere")?;
        let device = device_of(person).filter(|_| from_device).map(|d| d.id);
        if let Some(device) = device {
            let token = browser.open(&format!("{}{next}", self.origin)).await?.token().to_owned();
            self.prove(&browser, device, &token).await?;
        }
        Ok(browser)
    }

    /// The key of a device signs a challenge, as the page at sign-in makes a browser do.
    async fn prove(&self, browser: &Browser, device: &str, token: &str) -> Result<()> {
        let key = self.devices.get(device).with_context(|| format!("there is no device {device}"))?;
        let asked = browser.post_json(&format!("{}/device/challenge", self.origin), token, &json!({})).await?;
        let challenge = asked["challenge"].as_str().context("no challenge was given")?;
        let signature = prove(key, &URL_SAFE_NO_PAD.decode(challenge)?);
        let proof = json!({ "device": device, "challenge": challenge, "signature": signature });
        browser.post_json(&format!("{}/device/prove", self.origin), token, &proof).await?;
        Ok(())
    }

    /// Who a browser is signed in as.
    pub(crate) async fn whoami(&self, browser: &Browser) -> Result<Value> {
        browser.fetch(Method::GET, &format!("{}/api/v1/whoami", self.origin), &[], "").await?.json()
    }

    /// A person states what for, on the page that asks.
    pub(crate) async fn state_purpose(&self, browser: &Browser, app: &str, purpose: &str) -> Result<()> {
        let back = self.app(app, "/");
        let page = browser.open(&format!("{}/why?app={app}&return={}", self.origin, encode(&back))).await?;
        ensure!(page.status == StatusCode::OK, "the page for the purpose answers {}", page.status);
        let fields = [("csrf", page.token()), ("app", app), ("purpose", purpose), ("ticket", ""), ("return", &back)];
        let done = browser.submit(&format!("{}/why", self.origin), &fields).await?;
        ensure!(done.status != StatusCode::UNPROCESSABLE_ENTITY, "the purpose {purpose} was not taken");
        Ok(())
    }
}

/// The options of a ceremony, as the authenticator takes them.
fn options(begun: &Value) -> &Value {
    let options = &begun["publicKey"];
    options.get("publicKey").unwrap_or(options)
}

/// The seed of the work folder, and whether it was there.
fn seed(dir: &Path) -> Result<([u8; 32], bool)> {
    let path: PathBuf = dir.join(SEED_FILE);
    let mut seed = [0; 32];
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
            Ok((bytes.with_context(|| format!("{} holds no seed; remove it", path.display()))?, true))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            use std::io::Write as _;
            use std::os::unix::fs::OpenOptionsExt as _;
            getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            writeln!(
                file.with_context(|| format!("cannot write {}", path.display()))?,
                "{}",
                URL_SAFE_NO_PAD.encode(seed)
            )?;
            Ok((seed, false))
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn derived(seed: &[u8; 32], of: &str) -> [u8; 32] {
    Sha256::new().chain_update("safeconduct demo cast\n").chain_update(seed).chain_update(of).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let (first, found) = seed(dir.path()).expect("made");
        assert!(!found);
        assert_eq!(seed(dir.path()).expect("found"), (first, true));
        let mode = std::fs::metadata(dir.path().join(SEED_FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(derived(&first, "ada"), derived(&first, "bruno"));
    }

    #[test]
    fn everybody_who_acts_is_of_the_company() {
        let company = super::super::company::built().expect("holds");
        for person in PLAYERS {
            assert!(company.config.estate.people.contains_key(&person.parse().expect("id")), "{person}");
        }
    }
}
