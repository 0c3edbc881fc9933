//! What a device says about its own health: a compact JWS, signed with the key of the device.
//!
//! The token has `typ` `safeconduct-posture+jwt`, `alg` ES256, and the claims
//! `{"dev": id, "iat": seconds, "jti": text, "checks": {"disk_encrypted": true, …}}` and no others.

use std::collections::BTreeMap;

use p256::ecdsa::SigningKey;
use safeconduct_model::{Check, DeviceId, Duration, Report, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::device::DeviceKey;
use crate::jws::{self, JwsError};
use crate::strict_json;

/// The type of the token.
pub const TYP: &str = "safeconduct-posture+jwt";
/// The longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4_096;
/// How far the clock of a device may be ahead of ours.
pub const MAX_SKEW: Duration = Duration::from_secs(60);
/// The shortest and the longest id of a report.
const JTI_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// Why a posture report does not count.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum PostureError {
    /// The token is not a JWS of the right kind by the right key.
    #[error("the posture report is refused: {0}")]
    Token(#[from] JwsError),
    /// The claims are not exactly those of a report.
    #[error("the posture report has missing, unknown, repeated or malformed claims")]
    Claims,
    /// The report speaks of another device than the one whose key signed it.
    #[error("the posture report speaks of another device")]
    OtherDevice,
    /// The report was made in the future.
    #[error("the posture report was made in the future; set the clock of the device")]
    Future,
    /// The report was seen before, or a newer one was.
    #[error("the posture report, or a newer one, was seen before")]
    Replayed,
    /// The report is older than it may be.
    #[error("the posture report is too old")]
    TooOld,
}

/// The id of one report and the instant that the device gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportId {
    made: Timestamp,
    jti: String,
}

impl ReportId {
    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.jti
    }
}

/// How many reports of one device may bear the same second.
const MAX_SAME_SECOND: usize = 4;

/// The last report that was accepted from a device. Keep one per device; it is all that is needed to refuse replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    made: Timestamp,
    jtis: Vec<String>,
}

impl Latest {
    /// Accepts a report after the one before it, and returns what to keep.
    ///
    /// # Errors
    /// [`PostureError::Replayed`] if the report was seen, or is older than one that was: yesterday's good report must not
    /// cover today's bad one.
    pub fn accept(before: Option<&Self>, id: ReportId) -> Result<Self, PostureError> {
        match before {
            Some(last) if id.made < last.made => Err(PostureError::Replayed),
            Some(last) if id.made == last.made => {
                if last.jtis.contains(&id.jti) || last.jtis.len() >= MAX_SAME_SECOND {
                    return Err(PostureError::Replayed);
                }
                let jtis = last.jtis.iter().cloned().chain([id.jti]).collect();
                Ok(Self { made: last.made, jtis })
            }
            _ => Ok(Self { made: id.made, jtis: vec![id.jti] }),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    dev: DeviceId,
    iat: i64,
    jti: String,
    checks: BTreeMap<Check, bool>,
}

/// The device that a token claims to come from, to look up its key. Not a proof of anything.
///
/// # Errors
/// [`PostureError`] if the token is too long or not of the shape of a report.
pub fn claimed_device(token: &str) -> Result<DeviceId, PostureError> {
    use base64::Engine as _;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(JwsError::TooLong.into());
    }
    let claims = token.split('.').nth(1).ok_or(JwsError::Malformed)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).map_err(|_| JwsError::Malformed)?;
    strict_json::from_slice::<Claims>(&claims).map(|c| c.dev).map_err(|_| PostureError::Claims)
}

/// Verifies a report of `device`, whose key is `key`. The replay of a report is for the caller to refuse, by
/// [`Latest::accept`] with the id beside it.
///
/// # Errors
/// [`PostureError`] says what did not hold.
pub fn verify(
    token: &str,
    device: &DeviceId,
    key: &DeviceKey,
    now: Timestamp,
    max_age: Duration,
) -> Result<(Report, ReportId), PostureError> {
    let claims = jws::verify(key.verifying_key(), TYP, MAX_TOKEN_BYTES, token)?;
    let claims: Claims = strict_json::from_slice(&claims).map_err(|_| PostureError::Claims)?;
    if claims.dev != *device {
        return Err(PostureError::OtherDevice);
    }
    let fits = JTI_BYTES.contains(&claims.jti.len());
    if !fits || !claims.jti.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') || claims.iat < 0 {
        return Err(PostureError::Claims);
    }
    let at = Timestamp::from_millis(claims.iat.saturating_mul(1_000));
    if at > now + MAX_SKEW {
        return Err(PostureError::Future);
    }
    if now.since(at) >= max_age {
        return Err(PostureError::TooOld);
    }
    let passed = claims.checks.into_iter().filter_map(|(check, passed)| passed.then_some(check)).collect();
    // A clock that is ahead within the tolerance must not lengthen the life of the report.
    let report = Report { device: claims.dev, at: at.min(now), passed };
    Ok((report, ReportId { made: at, jti: claims.jti }))
}

/// Signs a report, as a device does. `jti` must be unique for the device: 16 to 64 letters, digits, `-` or `_`.
#[must_use]
pub fn sign_report(
    key: &SigningKey,
    device: &DeviceId,
    at: Timestamp,
    jti: &str,
    checks: &BTreeMap<Check, bool>,
) -> String {
    let claims = Claims { dev: device.clone(), iat: at.millis() / 1_000, jti: jti.to_owned(), checks: checks.clone() };
    jws::sign(key, TYP, &serde_json::to_vec(&claims).expect("claims are JSON"))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use p256::ecdsa::signature::Signer as _;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_776_920_000);
    const AGE: Duration = Duration::from_mins(15);
    const JTI: &str = "0123456789abcdef";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).expect("in range")
    }

    fn lt7() -> DeviceId {
        "lt-7".parse().expect("id")
    }

    fn check_at(token: &str, now: Timestamp) -> Result<(Report, ReportId), PostureError> {
        verify(token, &lt7(), &DeviceKey::from(&key(1)), now, AGE)
    }

    fn check(token: &str) -> Result<(Report, ReportId), PostureError> {
        check_at(token, NOW)
    }

    /// A token with exactly this header and these claims, properly signed by the device.
    fn raw(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let signature: p256::ecdsa::Signature = key(1).sign(signed.as_bytes());
        format!("{signed}.{}", B64.encode(signature.to_bytes()))
    }

    const HEADER: &str = r#"{"alg":"ES256","typ":"safeconduct-posture+jwt"}"#;

    fn claims(tail: &str) -> String {
        format!(r#"{{"dev":"lt-7","iat":1790776920,"jti":"{JTI}","checks":{{"firewall":true}}{tail}}}"#)
    }

    #[test]
    fn a_report_says_what_passed_and_nothing_else() {
        let checks = [(Check::Firewall, true), (Check::DiskEncrypted, false)].into();
        let token = sign_report(&key(1), &lt7(), NOW, JTI, &checks);
        assert_eq!(claimed_device(&token), Ok(lt7()));
        let (report, id) = check(&token).expect("good");
        assert_eq!(report, Report { device: lt7(), at: NOW, passed: [Check::Firewall].into() });
        assert_eq!(id.as_str(), JTI);
        assert!(check(&raw(HEADER, &claims(""))).is_ok(), "the raw helper makes good tokens");
    }

    #[test]
    fn nt_17_the_algorithm_and_the_type_are_pinned() {
        let none =
            format!("{}.{}.", B64.encode(r#"{"alg":"none","typ":"safeconduct-posture+jwt"}"#), B64.encode(claims("")));
        let refused = [
            none,
            raw(r#"{"alg":"none","typ":"safeconduct-posture+jwt"}"#, &claims("")),
            raw(r#"{"alg":"HS256","typ":"safeconduct-posture+jwt"}"#, &claims("")),
            raw(r#"{"alg":"es256","typ":"safeconduct-posture+jwt"}"#, &claims("")),
            raw(r#"{"alg":"ES256"}"#, &claims("")),
            raw(r#"{"alg":"ES256","typ":"JWT"}"#, &claims("")),
            raw(r#"{"alg":"ES256","typ":"safeconduct-posture+jwt","kid":"../../dev/null"}"#, &claims("")),
            raw(r#"{"alg":"ES256","typ":"safeconduct-posture+jwt","jku":"https://evil.example"}"#, &claims("")),
            raw(r#"{"alg":"ES256","typ":"safeconduct-posture+jwt","x5u":"https://evil.example"}"#, &claims("")),
            raw(r#"{"alg":"ES256","typ":"safeconduct-posture+jwt","jwk":{}}"#, &claims("")),
            raw(r#"{"alg":"ES256","typ":"safeconduct-posture+jwt","crit":["b64"],"b64":false}"#, &claims("")),
            raw(r#"{"alg":"none","alg":"ES256","typ":"safeconduct-posture+jwt"}"#, &claims("")),
        ];
        for token in refused {
            assert_eq!(check(&token), Err(PostureError::Token(JwsError::Header)), "{token}");
        }
    }

    #[test]
    fn nt_17_a_mac_with_the_public_key_is_not_a_signature() {
        let signed =
            format!("{}.{}", B64.encode(r#"{"alg":"HS256","typ":"safeconduct-posture+jwt"}"#), B64.encode(claims("")));
        let public = DeviceKey::from(&key(1)).to_base64url();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(public.as_bytes()).expect("any length");
        mac.update(signed.as_bytes());
        let token = format!("{signed}.{}", B64.encode(mac.finalize().into_bytes()));
        assert_eq!(check(&token), Err(PostureError::Token(JwsError::Header)));
    }

    #[test]
    fn nt_17_claims_are_exactly_those_of_a_report() {
        let refused = [
            claims(r#","exp":1"#),
            claims(r#","dev":"lt-8""#),
            claims("").replace("\"jti\"", "\"id\""),
            claims("").replace("\"iat\":1790776920,", ""),
            claims("").replace("1790776920", "\"1790776920\""),
            claims("").replace("1790776920", "-1"),
            claims("").replace("firewall", "antivirus"),
            claims("").replace("\"firewall\":true", "\"firewall\":false,\"firewall\":true"),
            claims("").replace("true", "1"),
            claims("").replace(JTI, "short"),
            claims("").replace(JTI, &"x".repeat(65)),
            claims("").replace(JTI, "0123456789abcde\\n"),
            claims("").replace("lt-7", "LT-7"),
            "null".to_owned(),
        ];
        for text in refused {
            assert_eq!(check(&raw(HEADER, &text)), Err(PostureError::Claims), "{text}");
        }
    }

    #[test]
    fn a_report_of_another_device_or_by_another_key_is_refused() {
        let other: DeviceId = "lt-8".parse().expect("id");
        let token = sign_report(&key(1), &other, NOW, JTI, &BTreeMap::new());
        assert_eq!(check(&token), Err(PostureError::OtherDevice));
        let token = sign_report(&key(2), &lt7(), NOW, JTI, &BTreeMap::new());
        assert_eq!(check(&token), Err(PostureError::Token(JwsError::Signature)));
    }

    #[test]
    fn a_report_counts_from_its_time_for_its_age() {
        let token = sign_report(&key(1), &lt7(), NOW, JTI, &BTreeMap::new());
        let ok = |now: Timestamp| check_at(&token, now).map(|(r, _)| r.at);
        assert_eq!(ok(NOW - MAX_SKEW), Ok(NOW - MAX_SKEW), "ahead within the tolerance, and not longer-lived for it");
        assert_eq!(ok(NOW - MAX_SKEW - Duration::from_millis(1)), Err(PostureError::Future));
        assert_eq!(ok(NOW + AGE - Duration::from_millis(1)), Ok(NOW));
        assert_eq!(ok(NOW + AGE), Err(PostureError::TooOld));
    }

    #[test]
    fn nt_17_an_oversized_token_is_refused_before_it_is_read() {
        let token = raw(HEADER, &claims(&format!(",\"x\":\"{}\"", "x".repeat(MAX_TOKEN_BYTES))));
        assert_eq!(check(&token), Err(PostureError::Token(JwsError::TooLong)));
        assert_eq!(claimed_device(&token), Err(PostureError::Token(JwsError::TooLong)));
    }

    #[test]
    fn a_report_counts_once_and_an_older_one_not_after_it() {
        let id = |seconds: i64, jti: &str| {
            let made = Timestamp::from_millis(seconds * 1_000);
            ReportId { made, jti: jti.to_owned() }
        };
        let first = Latest::accept(None, id(10, "a")).expect("the first");
        assert_eq!(Latest::accept(Some(&first), id(10, "a")), Err(PostureError::Replayed));
        assert_eq!(Latest::accept(Some(&first), id(9, "b")), Err(PostureError::Replayed));
        let same_second = Latest::accept(Some(&first), id(10, "b")).expect("another of the same second");
        for seen in ["a", "b"] {
            assert_eq!(Latest::accept(Some(&same_second), id(10, seen)), Err(PostureError::Replayed));
        }
        let next = Latest::accept(Some(&same_second), id(11, "a")).expect("a newer one");
        assert_eq!(Latest::accept(Some(&next), id(10, "c")), Err(PostureError::Replayed));
        let flood = (0..9).try_fold(first, |last, n| Latest::accept(Some(&last), id(10, &format!("f{n}"))));
        assert_eq!(flood, Err(PostureError::Replayed), "what is kept is bounded");
    }

    #[test]
    fn a_report_from_a_clock_that_is_ahead_does_not_count_twice() {
        let token = sign_report(&key(1), &lt7(), NOW + MAX_SKEW, JTI, &BTreeMap::new());
        let id_at = |now| check_at(&token, now).expect("within the tolerance").1;
        let last = Latest::accept(None, id_at(NOW)).expect("the first");
        assert_eq!(Latest::accept(Some(&last), id_at(NOW + Duration::from_secs(5))), Err(PostureError::Replayed));
    }

    proptest! {
        #[test]
        fn nt_44_no_text_panics_and_no_changed_byte_passes(at in 0usize..400, with in any::<u8>(), noise in ".{0,80}") {
            prop_assert!(check(&noise).is_err());
            let token = sign_report(&key(1), &lt7(), NOW, JTI, &[(Check::Firewall, true)].into());
            let mut bytes = token.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = with;
            if let Ok(changed) = String::from_utf8(bytes) && changed != token {
                prop_assert!(check(&changed).is_err(), "{changed}");
            }
        }
    }
}
