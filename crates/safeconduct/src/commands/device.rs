//! `device enrol` and `device report`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use http::Method;
use p256::pkcs8::DecodePrivateKey;
use safeconduct_authn::posture::sign_report;
use safeconduct_model::{Check, DeviceId, Fault, PersonId};
use safeconduct_server::{clock, enrol as make};
use serde_json::json;

use crate::commands::data;
use crate::local::Local;
use crate::out::{Answer, say};

pub(crate) async fn enrol(
    config: &Path,
    name: &DeviceId,
    owner: Option<PersonId>,
    managed: bool,
    out: &Path,
) -> Result<Answer> {
    let data = data!(config);
    let mut server = Local::connect(&data).await?;
    let (key, certificate) = (out.join(format!("{name}.key")), out.join(format!("{name}.pem")));
    anyhow::ensure!(
        !key.exists() && !certificate.exists(),
        "{} exists already; name another folder with --out",
        key.display()
    );
    let kit = make::kit(&data, name)?;
    let body = json!({ "name": name, "managed": managed, "public_key": kit.public_key, "person": owner });
    server.ask(Method::POST, "/api/v1/devices", Some(&body)).await?;
    make::write(&key, &kit.key_pem)?;
    std::fs::write(&certificate, &kit.certificate_pem)
        .with_context(|| format!("cannot write {}", certificate.display()))?;
    say(format!("{name} is known. Its key and client certificate:\n  {}\n  {}", key.display(), certificate.display()));
    say("It counts as compliant once it has sent a posture report; see `safeconduct device report --help`.");
    Ok(Answer::Done)
}

pub(crate) fn report(name: &DeviceId, key: &Path, passed: &[String]) -> Result<Answer> {
    let mut checks: BTreeMap<Check, bool> = Check::ALL.into_iter().map(|c| (c, false)).collect();
    for text in passed {
        let Some(check) = Check::from_name(text.trim()) else {
            let known: Vec<&str> = Check::ALL.iter().map(|c| c.name()).collect();
            let remedy = format!("there are: {}", known.join(", "));
            return Ok(Answer::BadInput(vec![Fault::new(
                "--passed",
                0,
                format!("there is no check `{text}`"),
                remedy,
            )]));
        };
        checks.insert(check, true);
    }
    let pem = std::fs::read_to_string(key).with_context(|| format!("cannot read {}", key.display()))?;
    let secret =
        p256::SecretKey::from_pkcs8_pem(&pem).with_context(|| format!("{} is not a P-256 key", key.display()))?;
    let mut jti = [0; 16];
    getrandom::fill(&mut jti).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
    let jti: String = jti.iter().map(|b| format!("{b:02x}")).collect();
    say(sign_report(&secret.into(), name, clock::system(), &jti, &checks));
    Ok(Answer::Done)
}
