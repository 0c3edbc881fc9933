use safeconduct_authn::software_passkey::SoftwarePasskey;

use super::*;
use crate::CEREMONY_LIFE;
use crate::testing::{IP, NOW, accounts, person};

const ORIGIN: &str = "https://portal.clinic.example";

struct House {
    accounts: Arc<Accounts>,
    passkeys: Passkeys,
}

fn session(id: &str) -> SessionId {
    id.parse().expect("id")
}

async fn house() -> House {
    let (_, accounts) = accounts().await;
    let attempts = Arc::new(Attempts::new());
    let passkeys = Passkeys::new("portal.clinic.example", ORIGIN, "Clinic", &[5; 32], Arc::clone(&accounts), attempts)
        .expect("fits");
    House { accounts, passkeys }
}

impl House {
    async fn register(&self, who: &str, key: &mut SoftwarePasskey) -> Result<PasskeyInfo, SignInError> {
        let (who, s1) = (person(who), session("s1"));
        let begun = self.passkeys.begin_registration(&who, "Someone", &s1, "laptop", NOW).await?;
        let answer = key.register(&begun.public_key, ORIGIN).expect("options");
        self.passkeys.finish_registration(&who, &s1, &begun.ceremony, &answer, NOW).await
    }

    fn begin(&self, who: Option<&str>) -> Begun {
        self.passkeys.begin_sign_in(who, ReturnTo::start(), IP, NOW).expect("begun")
    }

    async fn finish(&self, ceremony: &str, answer: &Value) -> Result<Proven, SignInError> {
        self.passkeys.finish_sign_in(ceremony, answer, IP, NOW).await.map(|(proven, _)| proven)
    }

    async fn sign_in(&self, who: Option<&str>, key: &mut SoftwarePasskey) -> Result<Proven, SignInError> {
        let begun = self.begin(who);
        let answer = key.authenticate(&begun.public_key, ORIGIN).expect("options");
        self.finish(&begun.ceremony, &answer).await
    }

    async fn with_ada() -> (Self, SoftwarePasskey) {
        let house = house().await;
        let mut key = SoftwarePasskey::from_seed([1; 32]);
        house.register("ada", &mut key).await.expect("registered");
        (house, key)
    }
}

fn ada() -> Proven {
    Proven::new(person("ada"), [Method::Passkey])
}

fn is_refused(result: &Result<Proven, SignInError>) -> bool {
    matches!(result, Err(SignInError::Refused))
}

fn is_not_open(result: &Result<Proven, SignInError>) -> bool {
    matches!(result, Err(SignInError::NotOpen))
}

#[tokio::test]
async fn a_passkey_signs_in_with_and_without_a_name() {
    let (house, mut key) = House::with_ada().await;
    assert_eq!(house.sign_in(Some("Ada"), &mut key).await.expect("named"), ada());
    assert_eq!(house.sign_in(None, &mut key).await.expect("discovered"), ada());
    let passkeys = house.accounts.summary(&person("ada")).passkeys;
    assert_eq!((passkeys.len(), passkeys[0].name.as_str(), passkeys[0].used), (1, "laptop", Some(NOW)));
}

#[tokio::test]
async fn a_ceremony_is_used_once_and_in_time() {
    let (house, mut key) = House::with_ada().await;
    let begun = house.begin(Some("ada"));
    let answer = key.authenticate(&begun.public_key, ORIGIN).expect("options");
    assert!(house.finish(&begun.ceremony, &answer).await.is_ok());
    assert!(is_not_open(&house.finish(&begun.ceremony, &answer).await), "replay");
    let other = house.begin(Some("ada"));
    assert!(is_refused(&house.finish(&other.ceremony, &answer).await), "an answer to another challenge");
    let late = house.begin(Some("ada"));
    let answer = key.authenticate(&late.public_key, ORIGIN).expect("options");
    let result = house.passkeys.finish_sign_in(&late.ceremony, &answer, IP, NOW + CEREMONY_LIFE).await;
    assert!(is_not_open(&result.map(|(proven, _)| proven)));
}

#[tokio::test]
async fn a_look_alike_site_gets_nothing() {
    let (house, mut key) = House::with_ada().await;
    for origin in [
        "https://portal.clinic.example.evil.example",
        "https://evil.example",
        "http://portal.clinic.example",
        "https://portal.clinic.example:8443",
        "https://sub.portal.clinic.example",
        "https://clinic.example",
    ] {
        let begun = house.begin(Some("ada"));
        let answer = key.authenticate(&begun.public_key, origin).expect("options");
        assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "{origin}");
    }
    let begun = house.begin(Some("ada"));
    let mut options = begun.public_key.clone();
    options["rpId"] = json!("evil.example");
    let answer = key.authenticate(&options, ORIGIN).expect("options");
    assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "another relying party");
}

#[tokio::test]
async fn user_verification_is_required_at_registration_and_at_sign_in() {
    let (house, _) = House::with_ada().await;
    let mut touch = SoftwarePasskey::from_seed([1; 32]).without_user_verification().at_count(9);
    assert!(is_refused(&house.sign_in(Some("ada"), &mut touch).await));
    let mut touch = SoftwarePasskey::from_seed([2; 32]).without_user_verification();
    assert!(matches!(house.register("ada", &mut touch).await, Err(SignInError::Refused)));
}

#[tokio::test]
async fn nt_34_a_ceremony_stays_with_its_person() {
    let (house, mut adas) = House::with_ada().await;
    let mut bobs = SoftwarePasskey::from_seed([2; 32]);
    house.register("bob", &mut bobs).await.expect("registered");
    let begun = house.begin(Some("ada"));
    let answer = bobs.authenticate(&begun.public_key, ORIGIN).expect("options");
    assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "Bob's key in Ada's ceremony");
    // Bob claims to be Ada by the user handle.
    let begun = house.begin(None);
    let mut answer = bobs.authenticate(&begun.public_key, ORIGIN).expect("options");
    let hers = adas.authenticate(&begun.public_key, ORIGIN).expect("options");
    answer["response"]["userHandle"] = hers["response"]["userHandle"].clone();
    assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "Ada's handle with Bob's key");
    let begun = house.begin(Some("bob"));
    let mut answer = bobs.authenticate(&begun.public_key, ORIGIN).expect("options");
    answer["response"]["userHandle"] = hers["response"]["userHandle"].clone();
    assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "Ada's handle in Bob's ceremony");
}

#[tokio::test]
async fn nt_34_a_registration_stays_with_its_person_and_session() {
    let house = house().await;
    let mut key = SoftwarePasskey::from_seed([1; 32]);
    for (who, s) in [("bob", "s1"), ("ada", "s2")] {
        let begun = house.passkeys.begin_registration(&person("ada"), "Ada", &session("s1"), "x", NOW).await;
        let begun = begun.expect("begun");
        let answer = key.register(&begun.public_key, ORIGIN).expect("options");
        let result = house.passkeys.finish_registration(&person(who), &session(s), &begun.ceremony, &answer, NOW).await;
        assert!(matches!(result, Err(SignInError::NotOpen)), "{who} {s}");
    }
    assert!(house.accounts.summary(&person("ada")).passkeys.is_empty());
}

#[tokio::test]
async fn nt_34_a_step_up_stays_with_its_person_and_session_and_is_no_sign_in() {
    let (house, mut key) = House::with_ada().await;
    let ada_id = person("ada");
    let begin = || house.passkeys.begin_step_up(&ada_id, &session("s1"), ReturnTo::start(), NOW).expect("begun");
    let begun = begin();
    let answer = key.authenticate(&begun.public_key, ORIGIN).expect("options");
    let s1 = session("s1");
    let done = house.passkeys.finish_step_up(&ada_id, &s1, &begun.ceremony, &answer, NOW).await;
    assert_eq!(done.expect("same session").0, ada());
    for (who, s) in [("bob", "s1"), ("ada", "s2")] {
        let begun = begin();
        let answer = key.authenticate(&begun.public_key, ORIGIN).expect("options");
        let done = house.passkeys.finish_step_up(&person(who), &session(s), &begun.ceremony, &answer, NOW).await;
        assert!(is_not_open(&done.map(|(p, _)| p)), "{who} {s}");
    }
    let begun = begin();
    let answer = key.authenticate(&begun.public_key, ORIGIN).expect("options");
    assert!(is_not_open(&house.finish(&begun.ceremony, &answer).await), "a step-up opens no session");
    let begun = house.begin(Some("ada"));
    let answer = key.authenticate(&begun.public_key, ORIGIN).expect("options");
    let done = house.passkeys.finish_step_up(&ada_id, &s1, &begun.ceremony, &answer, NOW).await;
    assert!(is_not_open(&done.map(|(p, _)| p)), "a sign-in steps nothing up");
    let none = house.passkeys.begin_step_up(&person("bob"), &s1, ReturnTo::start(), NOW);
    assert!(matches!(none, Err(SignInError::Account(AccountsError::NoSuchPasskey))));
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let (house, mut key) = House::with_ada().await;
    let real = house.begin(Some("ada")).public_key;
    let decoy = house.begin(Some("eve")).public_key;
    let shape = |options: &Value| {
        let members: Vec<_> = options.as_object().expect("object").keys().cloned().collect();
        let allowed = &options["allowCredentials"][0];
        let inner: Vec<_> = allowed.as_object().expect("one at least").keys().cloned().collect();
        (members, inner, options["userVerification"].clone(), options["timeout"].clone(), options["rpId"].clone())
    };
    assert_eq!(shape(&real), shape(&decoy));
    assert_eq!(decoy["allowCredentials"], house.begin(Some("Eve ")).public_key["allowCredentials"], "and it stays so");
    assert_ne!(decoy["allowCredentials"], house.begin(Some("eva")).public_key["allowCredentials"]);
    assert!(is_refused(&house.sign_in(Some("eve"), &mut key).await));
}

#[tokio::test]
async fn a_copied_or_removed_passkey_does_not_sign_in() {
    let (house, mut key) = House::with_ada().await;
    house.sign_in(Some("ada"), &mut key).await.expect("count 1");
    house.sign_in(Some("ada"), &mut key).await.expect("count 2");
    let begun = house.begin(Some("ada"));
    let mut copy = key.at_count(0);
    let answer = copy.authenticate(&begun.public_key, ORIGIN).expect("options");
    assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "the counter went backwards");
    let mut key = copy.at_count(7);
    let begun = house.begin(Some("ada"));
    let answer = key.authenticate(&begun.public_key, ORIGIN).expect("options");
    let id = house.accounts.summary(&person("ada")).passkeys[0].id.clone();
    house.accounts.remove_passkey(&person("ada"), &id).await.expect("removed");
    assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "removed in the middle of the ceremony");
    assert!(matches!(house.accounts.remove_passkey(&person("ada"), &id).await, Err(AccountsError::NoSuchPasskey)));
}

#[tokio::test]
async fn a_passkey_belongs_to_one_account_and_has_a_name() {
    let (house, _) = House::with_ada().await;
    let twice = house.register("bob", &mut SoftwarePasskey::from_seed([1; 32])).await;
    assert!(matches!(twice, Err(SignInError::Account(AccountsError::KnownPasskey))));
    for bad in ["", " ", "a\nb", &"x".repeat(81)] {
        let begun = house.passkeys.begin_registration(&person("ada"), "Ada", &session("s1"), bad, NOW).await;
        assert!(matches!(begun, Err(SignInError::Account(AccountsError::BadName))), "{bad:?}");
    }
}

#[tokio::test]
async fn malformed_credentials_are_refused_without_panic() {
    let (house, mut key) = House::with_ada().await;
    let good = key.authenticate(&house.begin(Some("ada")).public_key, ORIGIN).expect("options");
    let mut bad = vec![json!(null), json!({}), json!([]), json!("x")];
    for member in ["authenticatorData", "clientDataJSON", "signature"] {
        for value in [json!(""), json!("AA"), json!(null), json!(7)] {
            let mut changed = good.clone();
            changed["response"][member] = value;
            bad.push(changed);
        }
    }
    for answer in bad {
        let begun = house.begin(Some("ada"));
        assert!(is_refused(&house.finish(&begun.ceremony, &answer).await), "{answer}");
    }
}

#[test]
fn domain_and_origin_must_fit() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let (_, accounts) = runtime.block_on(accounts());
    let with = |domain: &str, origin: &str| {
        Passkeys::new(domain, origin, "Clinic", &[5; 32], Arc::clone(&accounts), Arc::new(Attempts::new())).map(|_| ())
    };
    assert!(with("clinic.example", ORIGIN).is_ok());
    let error = with("other.example", ORIGIN).expect_err("another domain").to_string();
    assert!(error.contains("other.example") && error.contains("parent domain"), "{error}");
    assert!(matches!(with("clinic.example", "portal"), Err(PasskeyConfigError::Origin(_))));
}
