use std::fs;
use std::path::Path;

use safeconduct_authn::one_time::{Purpose, Token};
use safeconduct_config::starter;
use safeconduct_connector::JoinToken;
use safeconduct_connector::house::House as _;
use safeconduct_connector::words::{Join, Renew};
use safeconduct_gateway::ca::connector_of;
use safeconduct_model::{ConnectorName, SiteId};

use super::RollError;
use super::door::Door;
use crate::clock::{self, Clock};
use crate::{Running, Start, files, start};

const SITES: &str = "[[site]]\nid = \"berlin\"\n\n[[site]]\nid = \"paris\"\n";

fn configured() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    files::init(dir.path(), &starter("acme.localhost")).expect("written");
    fs::write(dir.path().join("estate/sites.toml"), SITES).expect("written");
    dir
}

async fn running(dir: &Path) -> Running {
    let start = start(Start { dir: dir.to_owned(), clock: Clock::system(), https: Some(([127, 0, 0, 1], 0).into()) });
    match Box::pin(start).await {
        Ok(running) => running,
        Err(error) => panic!("{error}"),
    }
}

fn request() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::default();
    params.serialize_request(&key).and_then(|r| r.pem()).expect("a request")
}

fn join(secret: &str, name: &str, request: &str) -> Join {
    Join { token: secret.to_owned(), name: name.parse().expect("a name"), request: request.to_owned() }
}

fn site(id: &str) -> SiteId {
    id.parse().expect("an id")
}

fn leaf(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn nt_39_of_a_hundred_that_hold_a_token_exactly_one_joins_and_the_token_is_kept_as_a_hash() {
    let dir = configured();
    let running = running(dir.path()).await;
    let house = &running.house;
    let token: JoinToken =
        house.connector_token("cli", &site("berlin")).await.expect("made").text.parse().expect("it is one");
    let kept = house.control.load("connector-token").await.expect("loaded");
    let digest = token.secret().parse::<Token>().expect("256 bits").digest(Purpose::ConnectorJoin).to_hex();
    assert_eq!(kept.iter().map(|d| d.id.as_str()).collect::<Vec<_>>(), [digest.as_str()]);

    // What is wrong with a wish is told, and does not use the token up.
    let here = [127, 0, 0, 1].into();
    let wrong = house.join_connector(join(token.secret(), "paris/a", &request()), here).await;
    assert!(matches!(wrong, Err(RollError::Token)), "nt_36: a token is for its site");
    let wrong = house.join_connector(join(token.secret(), "berlin/a", "junk"), here).await;
    assert!(matches!(wrong, Err(RollError::Request(_))));

    let wishes: Vec<Join> = (0..100).map(|n| join(token.secret(), &format!("berlin/c{n}"), &request())).collect();
    let redeeming = wishes.into_iter().map(|wish| {
        let house = std::sync::Arc::clone(house);
        tokio::spawn(async move { house.join_connector(wish, here).await })
    });
    let mut won = Vec::new();
    for redeemed in redeeming.collect::<Vec<_>>() {
        match redeemed.await.expect("no panic") {
            Ok(admitted) => won.push(admitted),
            Err(error) => assert!(matches!(error, RollError::Token), "{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(house.connectors().len(), 1);
    assert!(house.control.load("connector-token").await.expect("loaded").is_empty());
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_on_the_roll_with_its_own_key_until_it_is_revoked_across_a_restart() {
    let dir = configured();
    let running = self::running(dir.path()).await;
    let house = &running.house;
    let here = [127, 0, 0, 1].into();
    let token = async |s: &str| -> JoinToken {
        house.connector_token("cli", &site(s)).await.expect("made").text.parse().expect("it is one")
    };
    let mine = request();
    let first =
        house.join_connector(join(token("berlin").await.secret(), "berlin/a", &mine), here).await.expect("joined");
    let name: ConnectorName = "berlin/a".parse().expect("a name");
    let certificate = leaf(&first.certificate);
    let member = house.connector_shown(&certificate).expect("it is a member");
    assert_eq!(member.name, name);

    // The name is taken, and renewal is for the same key alone.
    let twin = house.join_connector(join(token("berlin").await.secret(), "berlin/a", &request()), here).await;
    assert!(matches!(twin, Err(RollError::Taken(_))));
    let other = house.renew_connector(&member, &Renew { request: request() }).await;
    assert!(matches!(other, Err(RollError::Request(_))));
    let again = house.renew_connector(&member, &Renew { request: mine }).await.expect("renewed");
    assert!(house.connector_shown(&leaf(&again.certificate)).is_some());

    // A certificate of the same authority for the same name with another key counts for nothing.
    let forged = house
        .authority
        .issue_connector(&name, &request(), [9; 16], clock::system(), safeconduct_model::Duration::from_hours(1))
        .expect("issued");
    assert!(connector_of(&forged.certificate, clock::system()).is_some());
    assert!(house.connector_shown(&forged.certificate).is_none(), "nt_31");

    // The site goes, and comes back.
    fs::write(dir.path().join("estate/sites.toml"), SITES.replace("berlin", "rome")).expect("written");
    running.reload().await.expect("it holds");
    assert!(house.connector_shown(&certificate).is_none(), "a connector without a site is none");
    fs::write(dir.path().join("estate/sites.toml"), SITES).expect("written");
    running.reload().await.expect("it holds");
    assert!(house.connector_shown(&certificate).is_some());

    house.revoke_connector("cli", &name).await.expect("revoked");
    assert!(house.connector_shown(&certificate).is_none());
    running.stop().await.expect("stopped");

    let running = self::running(dir.path()).await;
    assert!(running.house.connector_shown(&certificate).is_none(), "it stays revoked");
    let told = running.house.renew_connector(&member, &Renew { request: request() }).await.err().expect("refused");
    assert!(matches!(told, RollError::Revoked), "{told}");
    assert!(Door::of(&running.house).door_key().is_some());
    running.stop().await.expect("stopped");
}
