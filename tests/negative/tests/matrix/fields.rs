//! NT-04 to NT-09, NT-67, NT-68: whose word a field is. What a client says about itself reaches no application as ours.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Dice, House, STACKS, host, rounds, tests};

use crate::agree::agree;

pub(crate) const TESTS: &[Test] = tests![
    nt_04_nt_05_nt_06_no_spelling_of_a_protected_field_arrives,
    nt_04_a_forwarded_path_or_method_changes_no_decision,
    nt_07_nt_67_connection_takes_no_field_away_from_us,
    nt_08_no_user_agent_is_let_in,
    nt_09_each_application_gets_an_assertion_of_its_own,
    nt_06_generated_fields_arrive_byte_for_byte_or_not_at_all,
    nt_68_underscores_are_refused_or_dropped_and_never_arrive,
];

/// What only the gateway says.
const OURS: [&str; 26] = [
    "x-safeconduct-assertion",
    "x-safeconduct-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-method",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-remote-user",
    "remote-user",
    "x-real-ip",
    "x-goog-authenticated-user-email",
    "forwarded",
    "x-request-id",
    "x-http-method-override",
];

/// A value that no field of ours ever has.
const FORGED: &str = "eve-forged-this";

fn spellings(name: &str) -> Vec<String> {
    let title = name.split('-').map(|part| part[..1].to_ascii_uppercase() + &part[1..]).collect::<Vec<_>>().join("-");
    vec![name.to_owned(), title, name.to_ascii_uppercase()]
}

fn nt_04_nt_05_nt_06_no_spelling_of_a_protected_field_arrives(house: &House) -> Result<()> {
    for stack in STACKS {
        for name in OURS {
            for spelling in spellings(name) {
                let mark = house.mark("ours");
                // Once, twice, and in two spellings.
                let fields = format!("{spelling}: {FORGED}\r\n{name}: {FORGED}\r\n");
                let (heard, from) = house.say(stack, house.get(stack, &format!("/{mark}"), &fields))?;
                ensure!(heard.status() == 200, "{stack} {spelling}: {heard:?}");
                let views = agree(house, stack, heard.header("x-request-id").context("an id")?, true)?;
                let holds = views.wire.headers.iter().find(|(_, value)| value.contains(FORGED));
                ensure!(holds.is_none(), "{stack}: {holds:?} arrived");
                ensure!(views.wire.header("x-forwarded-for") == Some(&from.to_string()), "{stack}: {:?}", views.wire);
                ensure!(views.wire.header("x-forwarded-proto") == Some("https"));
            }
        }
        // A folded line would carry a value into the field before it.
        let mark = house.mark("folded");
        let raw = house.get(stack, &format!("/{mark}"), &format!("x-nt: a\r\n X-Forwarded-User: {FORGED}\r\n"));
        house.refused(stack, &mark, raw, 400, &["folded_line"])?;
    }
    Ok(())
}

fn nt_04_a_forwarded_path_or_method_changes_no_decision(house: &House) -> Result<()> {
    for stack in STACKS {
        for fields in [
            "x-forwarded-uri: /public\r\nx-original-url: /public\r\nx-rewrite-url: /public\r\n",
            "x-forwarded-host: other.neg.localhost\r\nx-forwarded-method: HEAD\r\n",
            "x-forwarded-for: 127.0.0.1\r\nx-real-ip: 127.0.0.1\r\nforwarded: for=127.0.0.1;host=other.neg.localhost\r\n",
            "x-http-method-override: HEAD\r\nx-forwarded-prefix: /public\r\n",
        ] {
            let mark = house.mark("chosen");
            let (heard, from) = house.say(stack, house.get(stack, &format!("/admin/{mark}"), fields))?;
            ensure!(heard.status() == 403, "{stack} {fields}: {heard:?}");
            let record = house.ledger.from(from, 1)?.remove(0);
            let what = &record["ask"]["what"];
            ensure!(
                what["path"] == format!("/admin/{mark}") && what["app"] == stack && what["method"] == "GET",
                "{what}"
            );
            house.unheard(&mark)?;
        }
    }
    Ok(())
}

fn nt_07_nt_67_connection_takes_no_field_away_from_us(house: &House) -> Result<()> {
    for stack in STACKS {
        for named in [
            "x-safeconduct-assertion",
            "X-Safeconduct-Assertion",
            "close, x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-user",
            "x-request-id",
            "host",
            "cookie",
            "authorization",
            "content-length",
            "keep-alive,X-REAL-IP",
        ] {
            let (mark, host, cookie) = (house.mark("named"), host(stack), house.ada(stack));
            let raw = format!("GET /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: {named}\r\n\r\n");
            house.refused(stack, &mark, raw, 400, &["connection_names_protected_field"])?;
        }
        // Any other field may be named; it stays behind, and everything of ours goes on.
        let (mark, host, cookie) = (house.mark("user"), host(stack), house.ada(stack));
        let raw = format!(
            "GET /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close, x-user\r\nx-user: eve\r\nx-nt: kept\r\n\r\n"
        );
        let (heard, _) = house.say(stack, raw)?;
        let views = agree(house, stack, heard.header("x-request-id").context("an id")?, true)?;
        ensure!(views.wire.header("x-user").is_none() && views.wire.header("connection").is_none(), "{:?}", views.wire);
        ensure!(views.wire.header("x-nt") == Some("kept"));
    }
    Ok(())
}

fn nt_08_no_user_agent_is_let_in(house: &House) -> Result<()> {
    for agent in ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0", "Envoy/HC", "curl/8", "Safeconduct"] {
        for path in ["/", "/ping", "/health", "/healthz", "/ready", "/oauth2/ping"] {
            let (mark, host) = (house.mark("agent"), host("nginx"));
            let raw = format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\nx-nt: {mark}\r\nconnection: close\r\n\r\n"
            );
            let (heard, _) = house.say("nginx", raw)?;
            ensure!(heard.status() == 401, "{agent} {path}: {heard:?}");
            house.unheard(&mark)?;
        }
    }
    Ok(())
}

fn nt_09_each_application_gets_an_assertion_of_its_own(house: &House) -> Result<()> {
    let mut seen = Vec::new();
    for label in ["nginx", "apache", "raw", "other"] {
        let mark = house.mark("assertion");
        let (heard, _) = house.say(label, house.get(label, &format!("/{mark}"), ""))?;
        let id = heard.header("x-request-id").context("an id")?;
        let views = agree(house, label, id, true)?;
        let assertion = views.wire.header("x-safeconduct-assertion").context("an assertion")?;
        ensure!(
            label == "raw" || label == "other" || !heard.text.contains(assertion),
            "{label}: the client was told of it"
        );
        let part = |n: usize| -> Result<serde_json::Value> {
            let text = assertion.split('.').nth(n).context("three parts")?;
            Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text)?)?)
        };
        let (head, claims) = (part(0)?, part(1)?);
        ensure!(head["kid"].is_string() && head["alg"] != "none" && head["alg"] != "HS256", "{head}");
        ensure!(claims["aud"].as_str().is_some_and(|a| a.contains(label)) && claims["sub"] == "ada", "{claims}");
        let (begins, ends) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(i64::MAX));
        ensure!(ends - begins <= 300, "{claims}: it lives for {} s", ends - begins);
        ensure!(!seen.contains(&claims["aud"]), "two applications share an audience");
        seen.push(claims["aud"].clone());
    }
    Ok(())
}

fn nt_06_generated_fields_arrive_byte_for_byte_or_not_at_all(house: &House) -> Result<()> {
    const VALUES: [&str; 12] =
        ["a", "Z", " ", "\t", ",", ";", "=", "\"", "\\", "%0d%0a", "\u{e4}", "x-forwarded-user: eve"];
    const NAMES: [&str; 14] = [
        "x-a",
        "X-B",
        "accept",
        "x-long-name-with-parts",
        "!#$%&'*+-.^`|~",
        "etag",
        "x-forwarded",
        "te",
        "trailer",
        "keep-alive",
        "proxy-authorization",
        "x-auth",
        "accept-language",
        "dnt",
    ];
    let mut dice = Dice::search(0xf1e1d);
    for stack in STACKS {
        for _ in 0..rounds(60) {
            let (mark, mut fields, mut sent) = (house.mark("field"), String::new(), Vec::new());
            for _ in 0..=dice.below(6) {
                let value: String = (0..dice.below(6)).map(|_| *dice.pick(&VALUES)).collect();
                let name = *dice.pick(&NAMES);
                fields +=
                    &format!("{name}:{}{value}{}\r\n", dice.pick(&["", " ", "  ", "\t"]), dice.pick(&["", " ", "\t"]));
                sent.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
            }
            let raw = house.get(stack, &format!("/{mark}"), &fields);
            let (heard, _) = house.say(stack, raw)?;
            let told = || format!("{stack}: {}", fields.escape_debug());
            let id = heard.header("x-request-id").with_context(told)?;
            if house.ledger.of(id)?["kind"] == "refusal" {
                house.unheard(&mark).with_context(told)?;
                continue;
            }
            let views = agree(house, stack, id, true).with_context(told)?;
            // Everything that is not about this one connection arrives, in its order, and nothing else does.
            let hop = ["te", "keep-alive", "proxy-authorization", "x-forwarded"];
            sent.retain(|(name, _)| !hop.contains(&name.as_str()));
            let own = |name: &str| {
                ["host", "x-request-id", "x-safeconduct-assertion", "connection", "traceparent"].contains(&name)
                    || name.starts_with("x-forwarded-")
            };
            let by_name = |fields: &[(String, String)]| {
                let mut fields: Vec<(String, String)> =
                    fields.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())).collect();
                // Fields of different names have no order; those of one name keep theirs.
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                fields
            };
            let mut arrived = views.wire.headers.clone();
            arrived.retain(|(name, _)| !own(&name.to_ascii_lowercase()));
            ensure!(by_name(&arrived) == by_name(&sent), "{}: {arrived:?} arrived, {sent:?} was sent", told());
        }
    }
    Ok(())
}

fn nt_68_underscores_are_refused_or_dropped_and_never_arrive(house: &House) -> Result<()> {
    for stack in STACKS {
        for name in
            ["X_User", "x_safeconduct_assertion", "X-Forwarded_User", "X_Forwarded-For", "_", "Content_Length", "x_"]
        {
            let mark = house.mark("under");
            let raw = house.get(stack, &format!("/{mark}"), &format!("{name}: {FORGED}\r\n"));
            house.refused(stack, &mark, raw, 400, &["underscore_in_name"])?;
            // Where the application opted out, they are dropped.
            let open = format!("open-{stack}");
            let (heard, _) =
                house.say(&open, house.get(&open, &format!("/{mark}"), &format!("{name}: {FORGED}\r\n")))?;
            ensure!(heard.status() == 200, "{open} {name}: {heard:?}");
            let views = agree(house, &open, heard.header("x-request-id").context("an id")?, true)?;
            let bad = views.wire.headers.iter().find(|(n, v)| n.contains('_') || v.contains(FORGED));
            ensure!(bad.is_none(), "{open}: {bad:?} arrived");
        }
    }
    Ok(())
}
