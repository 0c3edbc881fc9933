//! A warrant: the word of the house that connectors of a site may dial an application, and where. It travels with every
//! stream, so a connector keeps no list that could grow old, and the gateway names no address that the house did not sign.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use safeconduct_model::{AppId, Application, Duration, Site, SiteId, SpecialAddress, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounds::{WARRANT_BYTES, WARRANT_LIFE};

/// What stands in front of every signed text, so that no signature of ours is ever one of something else.
const DOMAIN: &[u8] = b"safeconduct warrant v1\n";
/// How far apart the clocks of the two ends may be.
const SKEW: Duration = Duration::from_mins(2);

/// Which application connectors of a site may dial, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warrant {
    /// The site.
    pub site: SiteId,
    /// The application.
    pub app: AppId,
    /// Host and port, as they are named at the site.
    pub at: String,
    /// TLS to the application; without it, the connection is plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<WarrantTls>,
    /// The special addresses that are meant.
    pub special: Vec<SpecialAddress>,
    /// When it was signed. A connector that has seen a newer one for the application takes no older one.
    pub signed: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// How an application is reached over TLS. A connector that does not know of it refuses the warrant: never is such an
/// application spoken to in plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarrantTls {
    /// The name that its certificate must carry.
    pub name: String,
    /// Whether HTTP/2 is spoken inside, else HTTP/1.1.
    pub h2: bool,
}

/// Why a warrant does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WarrantError {
    /// It is not one.
    #[error("it is no warrant")]
    Malformed,
    /// The house did not sign it.
    #[error("the house did not sign it")]
    Signature,
    /// It is for another site or another application.
    #[error("it is for `{0}` at `{1}`")]
    Other(AppId, SiteId),
    /// It has ended, or has not begun.
    #[error("it does not hold now; compare the clocks of the two machines")]
    Time,
    /// A newer one was seen.
    #[error("a newer one has been seen")]
    Old,
}

/// Verifies what the house signed: the public key of its authority.
pub struct HouseKey(aws_lc_rs::signature::UnparsedPublicKey<Vec<u8>>);

impl HouseKey {
    /// The key in the certificate of the authority (DER).
    #[must_use]
    pub fn of_authority(certificate: &[u8]) -> Option<Self> {
        use x509_parser::prelude::FromDer;
        let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
        let point = certificate.public_key().subject_public_key.data.to_vec();
        Some(Self(aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, point)))
    }
}

impl Warrant {
    /// The warrant for an application of a site; `None` if it is not one of this site, or its upstream has no address.
    #[must_use]
    pub fn of(app: &Application, site: &Site, now: Timestamp) -> Option<Self> {
        let (at, tls) = place(&app.upstream)?;
        (app.connector.as_ref() == Some(&site.id)).then(|| Self {
            site: site.id.clone(),
            app: app.id.clone(),
            at,
            tls,
            special: site.special.clone(),
            signed: now,
            until: now + WARRANT_LIFE,
        })
    }

    /// Whether another warrant says the same, whenever it was signed.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        (&self.site, &self.app, &self.at, &self.tls, &self.special)
            == (&other.site, &other.app, &other.at, &other.tls, &other.special)
    }

    /// The text that travels. `sign` is the house's key.
    pub fn seal<E>(&self, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<String, E> {
        let body = serde_json::to_vec(self).expect("a warrant is plain data");
        let signature = sign(&[DOMAIN, &body].concat())?;
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(body), URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Reads a text, and believes it if the house signed it for this site and application and it holds now.
    pub fn open(text: &str, key: &HouseKey, site: &SiteId, app: &str, now: Timestamp) -> Result<Self, WarrantError> {
        if text.len() > WARRANT_BYTES {
            return Err(WarrantError::Malformed);
        }
        let (body, signature) = text.split_once('.').ok_or(WarrantError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| WarrantError::Malformed);
        let (body, signature) = (decode(body)?, decode(signature)?);
        key.0.verify(&[DOMAIN, &body].concat(), &signature).map_err(|_| WarrantError::Signature)?;
        let warrant: Self = serde_json::from_slice(&body).map_err(|_| WarrantError::Malformed)?;
        if warrant.site != *site || warrant.app.as_str() != app {
            return Err(WarrantError::Other(warrant.app, warrant.site));
        }
        if now < warrant.signed - SKEW || warrant.until + SKEW <= now {
            return Err(WarrantError::Time);
        }
        Ok(warrant)
    }
}

/// Host and port of an upstream, and whether TLS is spoken there; nothing for one that is no HTTP.
fn place(upstream: &str) -> Option<(String, Option<WarrantTls>)> {
    let (scheme, rest) = upstream.split_once("://")?;
    let (port, tls, h2) = match scheme {
        "http" => (80, false, false),
        "h2c" => (80, false, true),
        "https" => (443, true, false),
        "h2" => (443, true, true),
        _ => return None,
    };
    let authority = rest.trim_end_matches('/');
    let with_port = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let (host, at) = match with_port {
        Some((host, _)) => (host, authority.to_owned()),
        None => (authority, format!("{authority}:{port}")),
    };
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((at, tls.then_some(WarrantTls { name, h2 })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn warrant() -> Warrant {
        Warrant {
            site: "berlin".parse().unwrap(),
            app: "wiki".parse().unwrap(),
            at: "wiki.internal:80".into(),
            tls: None,
            special: vec!["127.0.0.1:80".parse().unwrap()],
            signed: NOW,
            until: NOW + WARRANT_LIFE,
        }
    }

    fn key() -> (KeyPair, HouseKey) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let point = key.der_bytes().to_vec();
        let public = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, point);
        (key, HouseKey(public))
    }

    fn open(text: &str, key: &HouseKey, site: &str, app: &str, now: Timestamp) -> Result<Warrant, WarrantError> {
        Warrant::open(text, key, &site.parse().unwrap(), app, now)
    }

    #[test]
    fn a_warrant_counts_for_its_site_its_application_and_its_time() {
        let (house, key) = key();
        let text = warrant().seal(|t| house.sign(t)).unwrap();
        assert_eq!(open(&text, &key, "berlin", "wiki", NOW), Ok(warrant()));
        assert!(matches!(open(&text, &key, "paris", "wiki", NOW), Err(WarrantError::Other(..))), "nt_36");
        assert!(matches!(open(&text, &key, "berlin", "crm", NOW), Err(WarrantError::Other(..))));
        let hour = Duration::from_hours(1);
        for (now, holds) in [
            (NOW - Duration::from_mins(1), true),
            (NOW - Duration::from_mins(3), false),
            (NOW + hour, true),
            (NOW + hour + SKEW, false),
        ] {
            assert_eq!(open(&text, &key, "berlin", "wiki", now).is_ok(), holds, "{now}");
        }
    }

    #[test]
    fn an_upstream_says_where_and_whether_over_tls() {
        let tls = |name: &str, h2| Some(WarrantTls { name: name.into(), h2 });
        for (upstream, at, expected) in [
            ("http://wiki.internal", "wiki.internal:80", None),
            ("h2c://wiki.internal:50051/", "wiki.internal:50051", None),
            ("https://wiki.internal", "wiki.internal:443", tls("wiki.internal", false)),
            ("h2://[::1]:8443", "[::1]:8443", tls("::1", true)),
        ] {
            assert_eq!(place(upstream), Some((at.to_owned(), expected)), "{upstream}");
        }
        assert_eq!(place("tcp://db:5432"), None);
        let over_tls = Warrant { tls: tls("wiki.internal", false), ..warrant() };
        assert!(!over_tls.says_as(&warrant()));
        let text = serde_json::to_string(&warrant()).unwrap();
        assert!(!text.contains("tls"), "one without TLS is what older connectors know: {text}");
    }

    #[test]
    fn nt_36_nobody_but_the_house_signs_a_warrant() {
        let (house, key) = key();
        let (other, _) = self::key();
        let forged = warrant().seal(|t| other.sign(t)).unwrap();
        assert_eq!(open(&forged, &key, "berlin", "wiki", NOW), Err(WarrantError::Signature));
        let good = warrant().seal(|t| house.sign(t)).unwrap();
        let (_, signature) = good.split_once('.').unwrap();
        let moved = Warrant { at: "10.0.0.1:22".into(), ..warrant() };
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&moved).unwrap());
        assert_eq!(open(&format!("{body}.{signature}"), &key, "berlin", "wiki", NOW), Err(WarrantError::Signature));
        // The same bytes, signed as something else.
        let bare = house.sign(&serde_json::to_vec(&warrant()).unwrap()).unwrap();
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&warrant()).unwrap());
        let text = format!("{body}.{}", URL_SAFE_NO_PAD.encode(bare));
        assert_eq!(open(&text, &key, "berlin", "wiki", NOW), Err(WarrantError::Signature));
        for bad in ["", ".", "a.b", "a", &"x".repeat(WARRANT_BYTES + 1)] {
            assert!(open(bad, &key, "berlin", "wiki", NOW).is_err());
        }
    }
}
