use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_790_776_920_000);

fn token(header: &str, claims: &str) -> String {
    format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn claims(change: &[(&str, &str)]) -> String {
    let mut members = vec![
        ("iss", r#""https://id.example""#),
        ("sub", r#""248289""#),
        ("aud", r#""safeconduct""#),
        ("exp", "1790777220"),
        ("iat", "1790776920"),
        ("nonce", r#""n-0S6""#),
    ];
    members.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
    members.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn read_claims(change: &[(&str, &str)]) -> Claims {
    read(&token(r#"{"alg":"ES256"}"#, &claims(change))).expect("well-formed").1
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: "https://id.example",
        client_id: "safeconduct",
        nonce: "n-0S6",
        access_token: "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y",
        alg: Alg::Es256,
        max_age: None,
        acr_values: &[],
        now: NOW,
    }
}

fn check(change: &[(&str, &str)]) -> Result<(), OidcError> {
    read_claims(change).check(&expected())
}

#[test]
fn nt_17_the_header_may_not_choose() {
    let with = |header: &str| read(&token(header, &claims(&[]))).map(|(h, _)| h.alg);
    assert_eq!(with(r#"{"alg":"ES256","typ":"jwt","kid":"1"}"#), Ok(Alg::Es256));
    for bad in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS1"}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":["ES256"]}"#,
        r#"{"alg":"ES256","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","typ":"logout+jwt"}"#,
        r#"{"alg":"ES256","typ":"secevent+jwt"}"#,
        r#"{"alg":"ES256","jku":"https://evil.example"}"#,
        r#"{"alg":"ES256","x5u":"https://evil.example"}"#,
        r#"{"alg":"ES256","jwk":{"kty":"EC"}}"#,
        r#"{"alg":"ES256","x5c":[]}"#,
        r#"{"alg":"ES256","crit":["exp"]}"#,
    ] {
        assert!(matches!(with(bad), Err(OidcError::Header(_))), "{bad}");
    }
    assert_eq!(with(r#"{"alg":"none","alg":"ES256"}"#), Err(OidcError::Malformed));
    assert_eq!(with(r#"{"alg":"ES256","kid":7}"#), Err(OidcError::Malformed));
}

#[test]
fn nt_17_malformed_tokens_and_repeated_claims_are_refused() {
    let twice = claims(&[("sub", "\"a\"")]).replace("\"sub\":\"a\"", "\"sub\":\"a\",\"sub\":\"b\"");
    let header = r#"{"alg":"ES256"}"#;
    for bad in [
        String::new(),
        "a.b".to_owned(),
        "a.b.c.d".to_owned(),
        "a.b.c.d.e".to_owned(),
        token(header, &twice),
        token(header, "[]"),
        token(header, &claims(&[("exp", "")])),
        token(header, &claims(&[("iat", "")])),
        token(header, &claims(&[("iss", "")])),
        token(header, &claims(&[("sub", "")])),
        token(header, &claims(&[("aud", "")])),
        token(header, &claims(&[("exp", "\"1790777220\"")])),
        token(header, &claims(&[("pad", &format!("\"{}\"", "x".repeat(MAX_ID_TOKEN_BYTES)))])),
    ] {
        assert_eq!(read(&bad).map(|_| ()), Err(OidcError::Malformed), "{bad}");
    }
}

#[test]
fn nt_17_issuer_audience_and_party_are_exact() {
    assert_eq!(check(&[]), Ok(()));
    for iss in ["\"https://id.example/\"", "\"https://id.example.evil\"", "\"http://id.example\"", "\"\""] {
        assert_eq!(check(&[("iss", iss)]), Err(OidcError::Issuer), "{iss}");
    }
    for aud in ["\"other\"", "[]", "[\"other\"]", "\"safeconduct \""] {
        assert_eq!(check(&[("aud", aud)]), Err(OidcError::Audience), "{aud}");
    }
    let both = ("aud", "[\"safeconduct\",\"other\"]");
    assert_eq!(check(&[both]), Err(OidcError::AuthorizedParty));
    assert_eq!(check(&[both, ("azp", "\"other\"")]), Err(OidcError::AuthorizedParty));
    assert_eq!(check(&[both, ("azp", "\"safeconduct\"")]), Ok(()));
    assert_eq!(check(&[("azp", "\"other\"")]), Err(OidcError::AuthorizedParty));
    assert_eq!(check(&[("sub", "\"\"")]), Err(OidcError::Malformed));
}

#[test]
fn nt_17_time_has_a_small_tolerance_and_no_more() {
    for (name, good, bad) in [
        ("exp", "1790776861", "1790776860"),
        ("iat", "1790776980", "1790776981"),
        ("iat", "1790776320", "1790776319"),
        ("nbf", "1790776980", "1790776981"),
    ] {
        assert_eq!(check(&[(name, good)]), Ok(()), "{name} {good}");
        assert_eq!(check(&[(name, bad)]), Err(OidcError::Time), "{name} {bad}");
    }
    for strange in ["-1", "1e300", "1790776920000000"] {
        assert_eq!(check(&[("exp", strange)]), Err(OidcError::Time), "{strange}");
    }
}

#[test]
fn the_nonce_is_required() {
    assert_eq!(check(&[("nonce", "")]), Err(OidcError::Nonce));
    assert_eq!(check(&[("nonce", "\"other\"")]), Err(OidcError::Nonce));
}

#[test]
fn a_hash_of_the_access_token_must_fit() {
    // The example of OpenID Connect Core 1.0, appendix A.3.
    assert_eq!(check(&[("at_hash", "\"77QmUPtjPfzWtF2AnpK9RQ\"")]), Ok(()));
    assert_eq!(check(&[("at_hash", "\"77QmUPtjPfzWtF2AnpK9RA\"")]), Err(OidcError::AccessTokenHash));
    assert_eq!(check(&[("at_hash", "\"\"")]), Err(OidcError::AccessTokenHash));
}

#[test]
fn a_step_up_needs_a_fresh_sign_in_at_the_provider() {
    let anew = |change: &[(&str, &str)]| {
        read_claims(change).check(&Expected { max_age: Some(Duration::from_secs(30)), ..expected() })
    };
    assert_eq!(anew(&[]), Err(OidcError::AuthTime));
    assert_eq!(anew(&[("auth_time", "1790776920")]), Ok(()));
    assert_eq!(anew(&[("auth_time", "1790776830")]), Ok(()));
    assert_eq!(anew(&[("auth_time", "1790776829")]), Err(OidcError::AuthTime));
    assert_eq!(anew(&[("auth_time", "1790777000")]), Err(OidcError::AuthTime));
}

#[test]
fn an_asked_assurance_must_be_reached() {
    let wanted = ["phr".to_owned()];
    let reached = |change: &[(&str, &str)]| read_claims(change).check(&Expected { acr_values: &wanted, ..expected() });
    assert_eq!(reached(&[]), Err(OidcError::Assurance));
    assert_eq!(reached(&[("acr", "\"pwd\"")]), Err(OidcError::Assurance));
    assert_eq!(reached(&[("acr", "\"phr\"")]), Ok(()));
}

#[test]
fn methods_are_believed_only_where_configured_and_never_more_than_said() {
    use Method::{Oidc, OidcMfa, OidcPhishingResistant};
    let methods = |amr: &str, acr: &str| -> Vec<Method> {
        read_claims(&[("amr", amr), ("acr", acr)]).methods(true).into_iter().collect()
    };
    assert_eq!(methods("[\"pwd\"]", ""), [Oidc]);
    assert_eq!(methods("[\"hwk\"]", ""), [Oidc], "a touch alone is one factor");
    assert_eq!(methods("[\"pwd\",\"otp\",\"mfa\"]", ""), [Oidc, OidcMfa]);
    assert_eq!(methods("[\"hwk\",\"pin\"]", ""), [Oidc, OidcPhishingResistant]);
    assert_eq!(methods("", "\"phr\""), [Oidc, OidcPhishingResistant]);
    assert_eq!(methods("", "\"phrase\""), [Oidc]);
    let all = read_claims(&[("amr", "[\"mfa\",\"hwk\"]"), ("acr", "\"phr\"")]);
    assert_eq!(all.methods(false), [Oidc].into());
}

#[test]
fn nt_28_an_unverified_address_is_no_address() {
    let email = |address: &str, verified: &str| {
        read_claims(&[("email", address), ("email_verified", verified)]).verified_email().map(|e| e.to_string())
    };
    assert_eq!(email("\"Ada@clinic.example\"", "true"), Some("ada@clinic.example".to_owned()));
    for (address, verified) in [
        ("\"ada@clinic.example\"", ""),
        ("\"ada@clinic.example\"", "false"),
        ("\"ada@clinic.example\"", "\"true\""),
        ("\"ada@clinic.example\"", "1"),
        ("\"ada@evil@clinic.example\"", "true"),
        ("[\"ada@clinic.example\"]", "true"),
    ] {
        assert_eq!(email(address, verified), None, "{address} {verified}");
    }
}

#[test]
fn a_list_claim_is_a_list_of_texts_or_nothing() {
    let list = |value: &str| read_claims(&[("groups", value)]).list("groups");
    assert_eq!(list("[\"a\",\"b\"]"), ["a", "b"]);
    assert!(list("[\"a\",1]").is_empty());
    assert!(list("\"a\"").is_empty());
    assert!(list("").is_empty());
}

#[test]
fn the_response_names_its_issuer_where_promised() {
    let issuer = "https://id.example";
    assert_eq!(check_response_issuer(Some(issuer), true, issuer), Ok(()));
    assert_eq!(check_response_issuer(Some(issuer), false, issuer), Ok(()));
    assert_eq!(check_response_issuer(None, false, issuer), Ok(()));
    assert_eq!(check_response_issuer(None, true, issuer), Err(OidcError::Issuer));
    assert_eq!(check_response_issuer(Some("https://evil.example"), false, issuer), Err(OidcError::Issuer));
}
