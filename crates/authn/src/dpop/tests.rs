use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const URI: &str = "https://db.acme.localhost:8443/.safeconduct/tunnel";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).expect("in range")
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

fn wanted() -> Expected<'static> {
    Expected { method: "CONNECT", uri: URI, token: Some("token") }
}

/// A proof of any header and any claims, rightly signed.
fn proof(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature: Signature = key(1).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn header() -> Value {
    json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": serde_json::to_value(Jwk::of(key(1).verifying_key())).expect("JSON") })
}

fn claims() -> Value {
    json!({ "jti": "j", "htm": "CONNECT", "htu": URI, "iat": 1_790_000_000, "ath": hash_of_token("token") })
}

fn with(mut object: Value, name: &str, value: &Value) -> String {
    if value.is_null() {
        object.as_object_mut().expect("an object").remove(name);
    } else {
        object[name] = value.clone();
    }
    object.to_string()
}

#[test]
fn the_thumbprint_is_that_of_the_standard() {
    // RFC 7638's own example is an RSA key; this one was worked out by hand from the canonical text.
    let jwk = Jwk::of(key(1).verifying_key());
    let text = format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{}\",\"y\":\"{}\"}}", jwk.x, jwk.y);
    let of_text = URL_SAFE_NO_PAD.encode(Sha256::digest(text));
    let thumbprint = Thumbprint::of(key(1).verifying_key());
    assert_eq!(thumbprint.as_str(), of_text);
    assert_eq!(of_text.parse(), Ok(thumbprint));
    for bad in ["", "AAAA", &of_text[1..], &format!("{of_text}="), &"/".repeat(43)] {
        assert_eq!(bad.parse::<Thumbprint>(), Err(ThumbprintError), "{bad}");
    }
}

#[test]
fn a_proof_holds_for_its_request_alone() {
    let proof = sign(&key(1), &wanted(), "j", now());
    assert_eq!(verify(&proof, &wanted(), now()).map(|p| p.key), Ok(Thumbprint::of(key(1).verifying_key())));
    let other = |change: fn(&mut Expected<'static>)| {
        let mut expected = wanted();
        change(&mut expected);
        verify(&proof, &expected, now()).map(|_| ())
    };
    assert_eq!(other(|e| e.method = "GET"), Err(DpopError::Method));
    assert_eq!(other(|e| e.uri = "https://crm.acme.localhost:8443/.safeconduct/tunnel"), Err(DpopError::Uri));
    assert_eq!(other(|e| e.uri = "https://db.acme.localhost/.safeconduct/tunnel"), Err(DpopError::Uri));
    assert_eq!(other(|e| e.token = Some("another")), Err(DpopError::Token));
    assert_eq!(other(|e| e.token = None), Err(DpopError::Token));
    let bare = sign(&key(1), &Expected { token: None, ..wanted() }, "j", now());
    assert_eq!(verify(&bare, &wanted(), now()), Err(DpopError::Token));
}

#[test]
fn nt_17_every_other_header_is_refused() {
    let d = URL_SAFE_NO_PAD.encode([1; 32]);
    let mut private = header();
    private["jwk"]["d"] = json!(d);
    let mut curve = header();
    curve["jwk"]["crv"] = json!("P-384");
    let mut off = header();
    off["jwk"]["y"] = off["jwk"]["x"].clone();
    let mut short = header();
    short["jwk"]["x"] = json!("AAAA");
    let twice = header().to_string().replacen('{', "{\"alg\":\"ES256\",", 1);
    for (what, header) in [
        ("alg none", with(header(), "alg", &json!("none"))),
        ("HMAC", with(header(), "alg", &json!("HS256"))),
        ("another signature", with(header(), "alg", &json!("RS256"))),
        ("alg missing", with(header(), "alg", &Value::Null)),
        ("typ of another token", with(header(), "typ", &json!("at+jwt"))),
        ("typ in another case", with(header(), "typ", &json!("DPoP+JWT"))),
        ("typ missing", with(header(), "typ", &Value::Null)),
        ("kid", with(header(), "kid", &json!("../../key"))),
        ("jku", with(header(), "jku", &json!("https://evil.example/keys"))),
        ("x5u", with(header(), "x5u", &json!("https://evil.example/cert"))),
        ("crit", with(header(), "crit", &json!(["exp"]))),
        ("no key", with(header(), "jwk", &Value::Null)),
        ("a private key", private.to_string()),
        ("another curve", curve.to_string()),
        ("a point off the curve", off.to_string()),
        ("a short coordinate", short.to_string()),
        ("a member twice", twice),
    ] {
        assert_eq!(verify(&proof(&header, &claims().to_string()), &wanted(), now()), Err(DpopError::Header), "{what}");
    }
    assert!(
        verify(&proof(&header().to_string(), &claims().to_string()), &wanted(), now()).is_ok(),
        "the helper is right"
    );
}

#[test]
fn nt_17_claims_that_are_missing_repeated_or_off_are_refused() {
    let check = |claims: &str| verify(&proof(&header().to_string(), claims), &wanted(), now()).map(|_| ());
    for name in ["jti", "htm", "htu", "iat"] {
        assert_eq!(check(&with(claims(), name, &Value::Null)), Err(DpopError::Claims), "{name}");
    }
    assert_eq!(check(&with(claims(), "ath", &Value::Null)), Err(DpopError::Token));
    assert_eq!(check(&with(claims(), "jti", &json!(""))), Err(DpopError::Claims));
    assert_eq!(check(&with(claims(), "jti", &json!("x".repeat(129)))), Err(DpopError::Claims));
    assert_eq!(check(&with(claims(), "iat", &json!("1790000000"))), Err(DpopError::Claims));
    assert_eq!(check(&with(claims(), "iat", &json!(i64::MAX))), Err(DpopError::Claims));
    let twice = claims().to_string().replacen('{', "{\"htm\":\"CONNECT\",", 1);
    assert_eq!(check(&twice), Err(DpopError::Claims));
    assert_eq!(check(&with(claims(), "extra", &json!(1))), Ok(()), "a claim that nobody knows is ignored");
}

#[test]
fn nt_17_the_clock_may_be_off_by_little() {
    let at = |seconds: i64| {
        let claims = with(claims(), "iat", &json!(1_790_000_000 + seconds));
        verify(&proof(&header().to_string(), &claims), &wanted(), now()).map(|_| ())
    };
    assert_eq!((at(-59), at(30)), (Ok(()), Ok(())));
    assert_eq!((at(-60), at(31)), (Err(DpopError::Time), Err(DpopError::Time)));
}

#[test]
fn another_key_or_a_changed_byte_breaks_the_signature() {
    let proof = sign(&key(1), &wanted(), "j", now());
    let (head, rest) = proof.split_once('.').expect("three parts");
    let other = sign(&key(2), &wanted(), "j", now());
    let (_, foreign) = other.split_once('.').expect("three parts");
    assert_eq!(verify(&format!("{head}.{foreign}"), &wanted(), now()), Err(DpopError::Signature));
    let (claims, _) = rest.split_once('.').expect("three parts");
    for signature in ["", "AAAA", &"A".repeat(86)] {
        assert_eq!(verify(&format!("{head}.{claims}.{signature}"), &wanted(), now()), Err(DpopError::Signature));
    }
    for bad in ["", ".", "..", "a.b", "a.b.c", &"a".repeat(MAX_PROOF_BYTES + 1)] {
        assert!(matches!(verify(bad, &wanted(), now()), Err(DpopError::Malformed | DpopError::Header)), "{bad}");
    }
}

#[test]
fn addresses_are_the_same_where_the_standard_says_so() {
    assert!(same_address("HTTPS://DB.acme:443/x", "https://db.acme/x"));
    assert!(same_address("https://a", "https://a/"));
    for (given, wanted) in [
        ("http://a/x", "https://a/x"),
        ("https://a/x?q", "https://a/x"),
        ("https://a/X", "https://a/x"),
        ("https://a:444/x", "https://a/x"),
        ("https://a/x", "https://b/x"),
        ("", "https://a/"),
    ] {
        assert!(!same_address(given, wanted), "{given}");
    }
}

#[test]
fn a_proof_counts_once() {
    let mut seen = Seen::default();
    let proven =
        |jti: &str, seed: u8| verify(&sign(&key(seed), &wanted(), jti, now()), &wanted(), now()).expect("it holds");
    assert!(seen.take(&proven("a", 1), now()));
    assert!(!seen.take(&proven("a", 1), now()), "a replay");
    assert!(seen.take(&proven("b", 1), now()) && seen.take(&proven("a", 2), now()));
    let late = now() + PROOF_AGE - Duration::from_millis(1);
    assert!(!seen.take(&proven("a", 1), late), "as long as it would be accepted it is remembered");
}

#[test]
fn one_key_cannot_fill_the_memory() {
    let mut seen = Seen::default();
    let proven = |n: usize| Proven {
        key: Thumbprint::of(key(1).verifying_key()),
        jti: Sha256::digest(n.to_le_bytes()).into(),
        at: now(),
    };
    assert_eq!((0..PROOFS_PER_KEY + 10).filter(|n| seen.take(&proven(*n), now())).count(), PROOFS_PER_KEY);
    assert!(!seen.take(&proven(0), now()), "a full store still knows what it took");
    assert!(seen.take(&proven(PROOFS_PER_KEY + 20), now() + PROOF_AGE), "time makes room");
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in "[A-Za-z0-9_.-]{0,200}") {
        prop_assert!(verify(&text, &wanted(), now()).is_err());
    }
}
