//! Public certificates (RFC 8555): ordered, kept, renewed. The listener that serves is the one that answers the challenge
//! (tls-alpn-01), so no other port is needed. Until the first one is there, and whenever an authority fails, what was served before
//! is served on.
//!
//! The client is our own: the protocol is six messages, everything it needs is in the program already, and the one crate that
//! would fit brings a second HTTP client with it.

mod account;
mod client;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as Span;

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use safeconduct_config::Acme;
use safeconduct_directory::HttpsClient;
use safeconduct_gateway::ca::certified_key;
use safeconduct_model::{Duration, Host, Timestamp};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use self::account::AccountKey;
use self::client::{Answers, Client};
use crate::certificates::roots;
use crate::clock;
use crate::house::{House, random_hex};

/// How often it looks whether something is to do.
const LOOK: Span = Span::from_secs(10);
/// How long until a failed order is tried again, at first and at most.
const FIRST_RETRY: Duration = Duration::from_mins(1);
const LAST_RETRY: Duration = Duration::from_hours(6);
/// A renewal comes this many parts of a thousand of the life after the beginning, and up to so many more by chance, so that a
/// fleet does not come at once.
const RENEW_AT: u64 = 667;
const RENEW_JITTER: u64 = 30;
/// How far ahead of our clock a certificate may begin.
const CLOCKS_APART: Duration = Duration::from_mins(5);

/// A certificate and when it is to be renewed.
#[derive(Clone)]
struct Held {
    key: Arc<CertifiedKey>,
    from: Timestamp,
    until: Timestamp,
}

/// The public certificates that are there, and the challenges that are open.
#[derive(Default)]
pub(crate) struct PublicCertificates {
    held: ArcSwap<HashMap<Host, Held>>,
    challenges: Mutex<HashMap<Host, Arc<CertifiedKey>>>,
}

impl PublicCertificates {
    /// The certificate of a host, as long as it holds.
    pub(crate) fn get(&self, host: &Host) -> Option<Arc<CertifiedKey>> {
        let held = self.held.load();
        let held = held.get(host)?;
        (clock::system() < held.until).then(|| Arc::clone(&held.key))
    }

    /// The certificate that answers the challenge for a host, while one is open.
    pub(crate) fn challenge(&self, host: &Host) -> Option<Arc<CertifiedKey>> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// When the first of them ends.
    pub(crate) fn first_end(&self) -> Option<Timestamp> {
        self.held.load().values().map(|h| h.until).min()
    }

    fn hold(&self, host: &Host, held: &Held) {
        self.held.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(host.clone(), held.clone());
            all
        });
    }
}

impl Answers for PublicCertificates {
    fn answer(&self, host: &Host, digest: [u8; 32]) -> Result<()> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new([host.to_string()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        let certificate = params.self_signed(&key)?;
        // Its extension is critical and nobody's but the authority's: it is not looked at again here.
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der.into())?;
        let certified = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer));
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), certified);
        Ok(())
    }

    fn forget(&self, host: &Host) {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }
}

/// When a host is looked after next, and how often it failed in a row.
struct Due {
    at: Timestamp,
    failures: u32,
}

/// The one who orders and renews.
pub(crate) struct Keeper {
    settings: Acme,
    folder: PathBuf,
    dir: PathBuf,
    certificates: Arc<PublicCertificates>,
    due: HashMap<Host, Due>,
}

impl Keeper {
    /// Takes what is kept in the data folder; what is not there, broken, or over is due at once.
    pub(crate) fn open(dir: &Path, data: &Path, settings: Acme) -> Result<Self> {
        let (folder, certificates) = (data.join("acme"), Arc::<PublicCertificates>::default());
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let now = clock::system();
        let mut due = HashMap::new();
        for host in &settings.hosts {
            let file = folder.join(format!("{host}.pem"));
            let held = match std::fs::read_to_string(&file) {
                Ok(pem) => held(host, &pem, now).map_err(|e| {
                    tracing::warn!(%host, error = format!("{e:#}"), "the kept public certificate is of no use; a new one is ordered");
                }),
                Err(_) => Err(()),
            };
            let at = match held {
                Ok(held) => {
                    let at = renewal(&held, chance());
                    certificates.hold(host, &held);
                    at
                }
                Err(()) => now,
            };
            due.insert(host.clone(), Due { at, failures: 0 });
        }
        Ok(Self { settings, folder, dir: dir.to_owned(), certificates, due })
    }

    /// The certificates, for the listener.
    pub(crate) fn certificates(&self) -> Arc<PublicCertificates> {
        Arc::clone(&self.certificates)
    }

    /// Looks after the certificates until `stop`. An order that is under way is given up then; nothing of it counts.
    pub(crate) async fn run(mut self, house: Arc<House>, stop: CancellationToken) {
        loop {
            let now = clock::system();
            let due: Vec<Host> = self.due.iter().filter(|(_, d)| d.at <= now).map(|(h, _)| h.clone()).collect();
            if !due.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.look_after(&house, due) => {}
                }
            }
            if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    async fn look_after(&mut self, house: &House, hosts: Vec<Host>) {
        let mut client = self.client(house).await;
        for host in hosts {
            let done = match &mut client {
                Ok(client) => self.renew(client, &host).await,
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            let due = self.due.entry(host.clone()).or_insert(Due { at: clock::system(), failures: 0 });
            match done {
                Ok(held) => {
                    house.record_system("acme", &format!("{host} has a public certificate until {}", held.until));
                    tracing::info!(%host, until = %held.until, "a public certificate was issued");
                    *due = Due { at: renewal(&held, chance()), failures: 0 };
                }
                Err(error) => {
                    due.at = clock::system() + retry(due.failures, chance());
                    due.failures += 1;
                    let again = due.at;
                    tracing::warn!(%host, error = format!("{error:#}"), %again, "no public certificate; what was served before is served on");
                    house.record_system("acme.failed", &format!("{host}: {error:#}"));
                }
            }
        }
    }

    async fn client(&self, house: &House) -> Result<Client> {
        let Acme { directory, contact, ca_file, .. } = &self.settings;
        let roots = ca_file.as_ref().map(|file| roots(&self.dir, "[acme]", file)).transpose()?;
        let here =
            ["https://localhost:", "https://127.0.0.1:", "https://[::1]:"].iter().any(|l| directory.starts_with(l));
        let http = HttpsClient::new(&roots.unwrap_or_default(), here)?;
        let key = AccountKey::load_or_create(&house.data.join("keys/acme.key"))?;
        Client::open(http, key, directory, contact.as_deref()).await
    }

    async fn renew(&self, client: &mut Client, host: &Host) -> Result<Held> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new([host.to_string()])?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        let chain = client.order(host, request.der(), &*self.certificates).await?;
        let pem = zeroize::Zeroizing::new(format!("{}\n{chain}", key.serialize_pem().trim_end()));
        let held = held(host, &pem, clock::system()).context("the certificate that was issued is of no use")?;
        let (file, new) = (self.folder.join(format!("{host}.pem")), self.folder.join(format!(".{host}.new")));
        let _ = std::fs::remove_file(&new);
        crate::secrets::write_private(&new, pem.as_bytes())?;
        std::fs::rename(&new, &file).with_context(|| format!("cannot keep {}", file.display()))?;
        self.certificates.hold(host, &held);
        Ok(held)
    }
}

/// A key and its chain, checked: they belong together, the leaf is for this host, and it holds now.
fn held(host: &Host, pem: &str, now: Timestamp) -> Result<Held> {
    let key = certified_key(pem, pem)?;
    let leaf = key.cert.first().context("there is no certificate")?;
    let (_, leaf) = X509Certificate::from_der(leaf).context("the leaf is not a certificate")?;
    let names = leaf.subject_alternative_name().ok().flatten().context("the leaf names no host")?;
    let named = names.value.general_names.iter().any(|n| matches!(n, GeneralName::DNSName(d) if *d == host.as_str()));
    ensure!(named, "the leaf is for another host");
    let instant = |t: &x509_parser::time::ASN1Time| Timestamp::from_millis(t.timestamp().saturating_mul(1_000));
    let (from, until) = (instant(&leaf.validity().not_before), instant(&leaf.validity().not_after));
    ensure!(from <= now + CLOCKS_APART && now < until, "it holds from {from} to {until}, and it is {now}");
    Ok(Held { key, from, until })
}

/// When a certificate is to be renewed: after two thirds of its life and a little more, by chance (`0..=1000`).
fn renewal(held: &Held, chance: u64) -> Timestamp {
    let life = held.until.since(held.from).millis();
    let parts = RENEW_AT + RENEW_JITTER * chance.min(1_000) / 1_000;
    held.from + Duration::from_millis(life / 1_000 * parts)
}

/// How long until the next try after so many failures: twice as long each time, to a bound, and up to a tenth more by chance.
fn retry(failures: u32, chance: u64) -> Duration {
    let wait = FIRST_RETRY.millis().saturating_mul(1 << failures.min(20)).min(LAST_RETRY.millis());
    Duration::from_millis(wait + wait * chance.min(1_000) / 10_000)
}

/// A number from 0 to 1000 by chance; the middle, if there is none.
fn chance() -> u64 {
    random_hex::<2>().ok().and_then(|hex| u64::from_str_radix(&hex, 16).ok()).map_or(500, |n| n % 1_001)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(host: &str) -> String {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("made");
        format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn a_certificate_is_taken_only_for_its_host_with_its_key_and_in_its_time() {
        let host: Host = "wiki.example.com".parse().expect("a host");
        let (good, other) = (pem("wiki.example.com"), pem("wiki.example.com"));
        let now = clock::system();
        assert!(held(&host, &good, now).is_ok());
        assert!(held(&"shop.example.com".parse().expect("a host"), &good, now).is_err(), "another host");
        let (key, _) = good.split_once("-----BEGIN CERTIFICATE").expect("a key first");
        let (_, chain) = other.split_once("-----BEGIN CERTIFICATE").expect("a chain then");
        assert!(held(&host, &format!("{key}-----BEGIN CERTIFICATE{chain}"), now).is_err(), "another key");
        assert!(held(&host, &good, Timestamp::from_millis(0)).is_err(), "not yet");
        assert!(held(&host, &good, Timestamp::from_millis(i64::MAX / 2)).is_err(), "no longer");
        assert!(held(&host, "nonsense", now).is_err());
    }

    #[test]
    fn renewals_come_after_two_thirds_and_retries_ever_more_seldom() {
        let host: Host = "wiki.example.com".parse().expect("a host");
        let day = 86_400_000;
        let held = held(&host, &pem("wiki.example.com"), clock::system()).expect("good");
        let held = Held { from: Timestamp::from_millis(0), until: Timestamp::from_millis(90 * day), ..held };
        let (early, late) = (renewal(&held, 0).millis(), renewal(&held, 1_000).millis());
        assert!(60 * day <= early && early < late && late < 63 * day, "{early} {late}");
        let waits: Vec<u64> = (0..12).map(|n| retry(n, 0).millis() / 60_000).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]);
        assert_eq!(retry(3, 1_000).millis(), 8 * 66_000);
        assert!((0..100).all(|_| chance() <= 1_000));
    }
}
