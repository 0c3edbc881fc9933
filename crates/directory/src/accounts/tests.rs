use safeconduct_authn::password::Password;
use serde_json::json;

use super::*;
use crate::testing::{MemoryKeep, NOW, accounts, person, reload};

fn secret() -> totp::Secret {
    totp::Secret::from_random(*b"12345678901234567890")
}

async fn with_totp() -> (Arc<MemoryKeep>, Arc<Accounts>) {
    let (keep, accounts) = accounts().await;
    accounts.enrol_totp(&person("ada"), &secret(), &secret().code(NOW), NOW).await.expect("right code");
    (keep, accounts)
}

fn later(seconds: u64) -> Timestamp {
    NOW + safeconduct_model::Duration::from_secs(seconds)
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let (keep, accounts) = with_totp().await;
    let password = Password::chosen("correct horse battery".to_owned()).expect("fits");
    let hash = PasswordHash::of(&password, [1; 16]).expect("memory");
    accounts.set_password(&person("ada"), &hash).await.expect("kept");
    accounts.link("https://id.example", "42", &person("ada")).await.expect("kept");
    let again = reload(&keep).await;
    let summary = again.summary(&person("ada"));
    assert!(summary.password && summary.totp && !again.nobody_can_sign_in());
    assert_eq!(again.linked("https://id.example", "42"), Some(person("ada")));
    assert_eq!(again.handle(&person("ada")), accounts.handle(&person("ada")));
    assert_eq!(again.summary(&person("bob")), Summary::default());
}

#[tokio::test]
async fn a_change_that_is_not_kept_does_not_apply() {
    let (keep, accounts) = accounts().await;
    keep.break_down();
    let hash = PasswordHash::of_nobody();
    assert!(matches!(accounts.set_password(&person("ada"), &hash).await, Err(AccountsError::Keep(_))));
    assert!(!accounts.summary(&person("ada")).password);
    assert!(accounts.link("https://id.example", "42", &person("ada")).await.is_err());
    assert_eq!(accounts.linked("https://id.example", "42"), None);
}

#[tokio::test]
async fn a_code_counts_once_even_after_a_restart() {
    let (keep, accounts) = with_totp().await;
    let ada = person("ada");
    let used = accounts.use_code(&ada, &secret().code(NOW), NOW).await;
    assert!(matches!(used, Err(AccountsError::CodeRefused)), "the code of the enrolment is used up");
    accounts.use_code(&ada, &secret().code(later(60)), later(60)).await.expect("a new code");
    let again = reload(&keep).await;
    let replay = again.use_code(&ada, &secret().code(later(60)), later(60)).await;
    assert!(matches!(replay, Err(AccountsError::CodeRefused)));
    assert!(matches!(again.use_code(&person("bob"), "123456", NOW).await, Err(AccountsError::CodeRefused)));
}

#[tokio::test]
async fn nt_39_of_a_hundred_uses_of_one_code_exactly_one_counts() {
    let (_, accounts) = with_totp().await;
    let code = secret().code(later(60));
    let tries: Vec<_> = (0..100)
        .map(|_| {
            let (accounts, code) = (Arc::clone(&accounts), code.clone());
            tokio::spawn(async move { accounts.use_code(&person("ada"), &code, later(60)).await.is_ok() })
        })
        .collect();
    let mut wins = 0;
    for one in tries {
        wins += usize::from(one.await.expect("no panic"));
    }
    assert_eq!(wins, 1);
}

#[tokio::test]
async fn nt_40_the_secret_of_a_generator_is_not_kept_in_the_clear_and_does_not_move() {
    let (keep, accounts) = with_totp().await;
    let text = keep.dump();
    assert!(!text.contains("1234567890") && !text.contains(&secret().to_base32()), "{text}");
    let other = totp::Secret::from_random([9; 20]);
    accounts.enrol_totp(&person("bob"), &other, &other.code(NOW), NOW).await.expect("right code");
    // Bob copies his own sealed secret into Ada's account.
    let sealed = accounts.account(&person("bob")).expect("bob").totp.clone().expect("generator").sealed;
    keep.change(ACCOUNT, |body| body["totp"]["sealed"] = json!(sealed));
    let again = reload(&keep).await;
    let stolen = again.use_code(&person("ada"), &other.code(later(60)), later(60)).await;
    assert!(matches!(stolen, Err(AccountsError::Seal(SealError::NotOurs))));
    assert!(again.use_code(&person("bob"), &other.code(later(60)), later(60)).await.is_ok());
}

#[tokio::test]
async fn a_subject_is_linked_to_one_person_for_good() {
    let (_, accounts) = accounts().await;
    accounts.link("https://id.example", "42", &person("ada")).await.expect("first");
    accounts.link("https://id.example", "42", &person("ada")).await.expect("the same again");
    let other = accounts.link("https://id.example", "42", &person("bob")).await;
    assert!(matches!(other, Err(AccountsError::LinkedElsewhere)));
    assert_eq!(accounts.linked("https://other.example", "42"), None, "nt_16: another issuer is another identity");
    assert_eq!(accounts.linked("https://id.example4", "2"), None);
}

#[tokio::test]
async fn a_removed_account_is_gone_with_its_links() {
    let (keep, accounts) = with_totp().await;
    accounts.link("https://id.example", "42", &person("ada")).await.expect("linked");
    accounts.remove(&person("ada")).await.expect("removed");
    for accounts in [accounts, reload(&keep).await] {
        assert!(accounts.nobody_can_sign_in());
        assert_eq!(accounts.linked("https://id.example", "42"), None);
    }
}

#[tokio::test]
async fn an_unreadable_document_is_told_and_not_skipped() {
    let (keep, _) = with_totp().await;
    keep.change(ACCOUNT, |body| body["surprise"] = json!(1));
    let keep: Arc<dyn Keep> = keep;
    let error = Accounts::load(keep, Seal::new(&[3; 32])).await.map(|_| ()).expect_err("unknown member").to_string();
    assert!(error.contains("account `ada`") && error.contains("surprise"), "{error}");
}
