//! The house: everything that lives while the server runs, and where the rooms meet.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use safeconduct_access::{Sessions, Signal, TokenHash};
use safeconduct_authn::one_time::{TOKEN_BYTES, Token};
use safeconduct_config::{Config, Texts};
use safeconduct_directory::{
    Accounts, Attempts, DeviceChallenges, Passkeys, Passwords, Providers, Seal, SetupLinks, TotpEnrolments,
};
use safeconduct_gateway::Gateway;
use safeconduct_gateway::ca::Authority;
use safeconduct_ledger::{Draft, Pattern, Varying};
use safeconduct_model::{Change, PersonId, Record, RequestId, SessionId, SystemEvent, Timestamp};
use safeconduct_policy::{Fixture, Snapshot};
use safeconduct_store::{Control, DocChange, Index, LedgerWriter, Receipt, WriteError};
use serde::Serialize;

use crate::clock::Clock;
use crate::connectors::Connectors;
use crate::devices::{Device, Devices};
use crate::files::{Built, Stores};
use crate::handover::HandOvers;
use crate::keep::StoreKeep;
use crate::locks::LockBook;
use crate::programs::Programs;
use crate::proposals::Proposals;
use crate::rollouts::Rollouts;
use crate::rooms::Reading;
use crate::secrets;
use crate::signed;

/// What binds now: the configuration and the snapshot that was built from it.
pub struct Current {
    /// The texts.
    pub texts: Texts,
    /// Settings and estate.
    pub config: Config,
    /// Policies and applications.
    pub snapshot: Arc<Snapshot>,
    /// The verdict fixtures that were asserted.
    pub fixtures: Vec<Fixture>,
    /// The decision stores by name, without the built-in one.
    pub stores: Stores,
    /// Since when it binds.
    pub since: Timestamp,
}

impl Current {
    /// What was built, from now on.
    #[must_use]
    pub fn of(built: Built, since: Timestamp) -> Self {
        let Built { texts, config, snapshot, fixtures, stores } = built;
        Self { texts, config, snapshot: Arc::new(snapshot), fixtures, stores, since }
    }
}

/// Everything that lives while the server runs.
pub struct House {
    /// The clock.
    pub clock: Clock,
    /// The folder of the configuration.
    pub dir: PathBuf,
    /// The folder of keys, ledger and state.
    pub data: PathBuf,
    /// The origin of the portal, `https://host[:port]`.
    pub origin: String,
    pub(crate) current: Arc<ArcSwap<Current>>,
    /// Held while the files of the configuration are read or written, so that nobody sees half a change.
    pub(crate) files: tokio::sync::Mutex<()>,
    /// The keys by which policies must be signed, as they were at start; none where policies need no signature.
    pub(crate) trusted: Vec<[u8; 32]>,
    pub(crate) sessions: Mutex<Sessions>,
    pub(crate) devices: RwLock<Devices>,
    pub(crate) ledger: LedgerWriter,
    pub(crate) index: Index,
    pub(crate) control: Arc<Control>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) passkeys: Passkeys,
    pub(crate) passwords: Passwords,
    pub(crate) providers: ArcSwap<Providers>,
    pub(crate) setup_links: SetupLinks,
    pub(crate) hand_overs: HandOvers,
    pub(crate) programs: Programs,
    pub(crate) challenges: DeviceChallenges,
    pub(crate) totp: TotpEnrolments,
    pub(crate) reading: Reading,
    pub(crate) proposals: Proposals,
    pub(crate) rollouts: Rollouts,
    pub(crate) geoip: Option<maxminddb::Reader<Vec<u8>>>,
    pub(crate) authority: Authority,
    pub(crate) connectors: Connectors,
    pub(crate) locks: LockBook,
    gateway: OnceLock<Arc<Gateway>>,
}

/// The parts that [`House::open`] is given.
pub struct Opening {
    /// The clock.
    pub clock: Clock,
    /// The folder of the configuration.
    pub dir: PathBuf,
    /// The folder of keys, ledger and state.
    pub data: PathBuf,
    /// The configuration, checked.
    pub built: Built,
    /// The port under which browsers reach the portal.
    pub port: u16,
    /// The ledger, open.
    pub ledger: LedgerWriter,
    /// The local certificate authority.
    pub authority: Authority,
}

/// The policies in the folder are not those that a trusted key signed.
#[derive(Debug, thiserror::Error)]
#[error("{}", crate::proposals::told(.0))]
pub(crate) struct Unsigned(pub(crate) Vec<safeconduct_model::Fault>);

impl House {
    /// Puts the rooms together.
    pub async fn open(opening: Opening) -> Result<Self> {
        let Opening { clock, dir, data, built, port, ledger, authority } = opening;
        let now = clock.now();
        let origin = origin(built.config.settings.portal.as_str(), port);
        let control = Arc::new(Control::open(&data.join("control.db")).await.context("opening control.db")?);
        let trusted = built.config.settings.trusted_keys.clone();
        let last = signed::last(&control).await?;
        let bundle = signed::check(&dir, &trusted, &built.texts, last.as_ref()).map_err(Unsigned)?;
        if let Some(bundle) = &bundle {
            signed::keep(&control, &bundle.bound(), now).await?;
        }
        let revision = crate::revision::number(&control, &built.texts, now).await?;
        let built = Built { snapshot: built.snapshot.with_revision(revision), ..built };
        let settings = &built.config.settings;
        let index = Index::open(&data.join("ledger"), &data.join("index.db")).await.context("opening index.db")?;

        let mut sessions = Sessions::new(settings.lifetimes);
        for doc in control.load(SESSION).await? {
            sessions.restore(serde_json::from_value(doc.body).context("a kept session is not readable")?);
        }
        sessions.expire(now);
        let mut devices = Devices::default();
        for doc in control.load(DEVICE).await? {
            devices.restore(serde_json::from_value(doc.body).context("a kept device is not readable")?);
        }
        let connectors = Connectors::load(&control).await?;
        let locks = LockBook::load(&control).await?;
        let keep = StoreKeep::over(Arc::clone(&control));
        let seal = Seal::new(&*secrets::load_or_create(&data.join("keys/seal.key"))?);
        let accounts = Arc::new(Accounts::load(Arc::clone(&keep), seal).await?);
        let attempts = Arc::new(Attempts::default());
        let decoys = secrets::load_or_create(&data.join("keys/decoy.key"))?;
        let passkeys = Passkeys::new(
            settings.portal.as_str(),
            &origin,
            &settings.organisation,
            &decoys,
            Arc::clone(&accounts),
            Arc::clone(&attempts),
        )?;
        let passwords = Passwords::new(Arc::clone(&accounts), Arc::clone(&attempts));
        let totp = TotpEnrolments::new(Arc::clone(&accounts), Arc::clone(&attempts));
        let setup_links = SetupLinks::load(Arc::clone(&keep)).await?;
        let proposals = Proposals::load(&control).await?;
        let geoip = settings.geoip.as_ref().map(|file| geoip(&dir.join(file))).transpose()?;
        let rollouts = Rollouts::of(&built.snapshot);
        let current = Arc::new(ArcSwap::from_pointee(Current::of(built, now)));
        let providers = crate::oidc::providers(&dir, &origin, &accounts, &current)?;
        let reading = Reading::new(ledger.subscribe());
        Ok(Self {
            clock,
            dir,
            data,
            origin,
            current,
            files: tokio::sync::Mutex::new(()),
            trusted,
            sessions: Mutex::new(sessions),
            devices: RwLock::new(devices),
            ledger,
            index,
            control,
            accounts,
            passkeys,
            passwords,
            providers: ArcSwap::from_pointee(providers),
            setup_links,
            hand_overs: HandOvers::default(),
            programs: Programs::default(),
            challenges: DeviceChallenges::new(),
            totp,
            reading,
            proposals,
            rollouts,
            geoip,
            authority,
            connectors,
            locks,
            gateway: OnceLock::new(),
        })
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What binds now.
    pub fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// The sessions.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The devices.
    pub(crate) fn devices(&self) -> RwLockReadGuard<'_, Devices> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway, once it is there.
    pub(crate) fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.get()
    }

    /// Lets the gateway in. Called once, at start.
    pub(crate) fn set_gateway(&self, gateway: Arc<Gateway>) {
        let first = self.gateway.set(gateway).is_ok();
        debug_assert!(first, "there is one gateway");
    }

    /// Tells the live connections that something changed on which they may rest.
    pub(crate) fn signal(&self, signal: &Signal) {
        if let Some(gateway) = self.gateway() {
            gateway.signal(signal);
        }
    }

    /// Hands a record to the ledger.
    pub(crate) fn record(&self, record: impl Into<Draft>) -> Result<Receipt, WriteError> {
        let draft = record.into();
        self.rollouts.see_draft(&draft);
        self.ledger.append(self.now(), draft)
    }

    /// Hands a verdict like others to the ledger.
    pub(crate) fn record_like(&self, pattern: &Arc<Pattern>, varying: &Varying<'_>) -> Result<Receipt, WriteError> {
        self.rollouts.see_like(pattern, varying);
        self.ledger.append_like(self.now(), pattern, *varying)
    }

    /// Records a change and waits until it is durable: who changes something is never a matter of luck.
    pub(crate) async fn record_change(
        &self,
        by: &str,
        verb: &str,
        object: &str,
        detail: &str,
    ) -> Result<u64, WriteError> {
        let change = Change {
            by: by.to_owned(),
            verb: verb.to_owned(),
            object: object.to_owned(),
            detail: detail.to_owned(),
            app: None,
            action: None,
        };
        self.record(Record::Change(change))?.durable().await
    }

    /// Records something about the system itself. If the ledger does not take it, the log has it.
    pub(crate) fn record_system(&self, event: &str, detail: &str) {
        let record = Record::System(SystemEvent { event: event.to_owned(), detail: detail.to_owned() });
        if let Err(error) = self.record(record) {
            tracing::warn!(%error, event, detail, "the ledger took no record of a system event");
        }
    }

    /// Keeps a document in the control state.
    pub(crate) async fn keep<T: Serialize>(&self, kind: &str, id: &str, body: Option<&T>) -> Result<()> {
        let body = body.map(serde_json::to_value).transpose()?;
        let change = DocChange { kind: kind.to_owned(), id: id.to_owned(), body };
        self.control.append(None, &[change], self.now()).await?;
        Ok(())
    }

    /// Keeps a device and takes it in, and decides again what rests on it.
    pub(crate) async fn keep_device(&self, device: Device) -> Result<()> {
        self.keep(DEVICE, device.id.as_str(), Some(&device)).await?;
        let id = device.id.clone();
        self.devices.write().unwrap_or_else(PoisonError::into_inner).restore(device);
        self.signal(&Signal::DeviceChanged(id));
        Ok(())
    }

    /// Enrols a device.
    pub(crate) async fn enrol(&self, device: Device, by: &str) -> Result<()> {
        self.devices().admit(&device)?;
        let managed = if device.managed { "managed" } else { "not managed" };
        self.record_change(by, "device.enrol", device.id.as_str(), &format!("{}, {managed}", device.name)).await?;
        self.keep_device(device).await
    }

    /// Takes a device with a new report.
    pub(crate) async fn take_report(&self, device: Device) -> Result<()> {
        let passed = device.report.iter().flat_map(|r| &r.passed).map(|c| c.name()).collect::<Vec<_>>().join(" ");
        self.record_system("posture", &format!("{} passes: {passed}", device.id));
        self.keep_device(device).await
    }

    /// Whether a person exists and may act.
    pub(crate) fn is_active(&self, person: &PersonId) -> bool {
        self.current().config.estate.people.get(person).is_some_and(|p| p.active)
    }
}

/// The kind of the documents that hold sessions.
pub(crate) const SESSION: &str = "session";
/// The kind of the documents that hold devices.
pub(crate) const DEVICE: &str = "device";

pub(crate) fn origin(host: &str, port: u16) -> String {
    if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") }
}

fn geoip(file: &Path) -> Result<maxminddb::Reader<Vec<u8>>> {
    maxminddb::Reader::open_readfile(file).with_context(|| format!("[geoip] cannot read {}", file.display()))
}

/// A new secret token.
pub(crate) fn new_token() -> Result<Token> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
    Ok(Token::from_random(bytes))
}

/// What is kept of a session secret.
pub(crate) fn session_hash(token: &Token) -> TokenHash {
    TokenHash::of(token.reveal().as_bytes())
}

/// `n` random bytes as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
    Ok(hex(&bytes))
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

/// A new name for a session.
pub(crate) fn new_session_id() -> Result<SessionId> {
    Ok(random_hex::<8>()?.parse().expect("hexadecimal digits are an id"))
}

/// The bytes of the name of a request.
const REQUEST_BYTES: usize = 16;
/// How many names are made of one call for random bytes.
const NAMES_AT_ONCE: usize = 64;

/// A new name for a request. Without randomness there is none, and a request without a name is not served.
pub(crate) fn new_request_id() -> RequestId {
    thread_local! {
        static BYTES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let name = BYTES.with_borrow_mut(|bytes| {
        if bytes.is_empty() {
            bytes.resize(REQUEST_BYTES * NAMES_AT_ONCE, 0);
            getrandom::fill(bytes).expect("the system gives random bytes");
        }
        let from = bytes.len() - REQUEST_BYTES;
        let mut name = [0; 2 * REQUEST_BYTES];
        for (digits, byte) in name.as_chunks_mut::<2>().0.iter_mut().zip(&bytes[from..]) {
            *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        bytes.truncate(from);
        name
    });
    std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()).expect("hexadecimal digits are an id")
}
