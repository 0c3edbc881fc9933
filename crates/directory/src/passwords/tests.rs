use safeconduct_authn::totp;

use super::*;
use crate::testing::{IP, NOW, accounts, person};
use crate::{CEREMONY_LIFE, MAX_PER_PERSON};

const RIGHT: &str = "correct horse battery";

fn secret() -> totp::Secret {
    totp::Secret::from_random(*b"12345678901234567890")
}

fn later(seconds: u64) -> Timestamp {
    NOW + safeconduct_model::Duration::from_secs(seconds)
}

async fn passwords(with_totp: bool) -> Passwords {
    let (_, accounts) = accounts().await;
    if with_totp {
        accounts.enrol_totp(&person("ada"), &secret(), &secret().code(NOW), NOW).await.expect("right code");
    }
    let passwords = Passwords::new(accounts, Arc::new(Attempts::new()));
    passwords.set(&person("ada"), Password::chosen(RIGHT.to_owned()).expect("fits")).await.expect("kept");
    passwords
}

async fn ceremony(passwords: &Passwords, now: Timestamp) -> String {
    match passwords.begin("ada", RIGHT.to_owned(), IP, now).await {
        Ok(PasswordStep::CodeNeeded { ceremony }) => ceremony,
        other => panic!("a code is needed, not {other:?}"),
    }
}

#[tokio::test]
async fn a_password_alone_is_one_factor() {
    let passwords = passwords(false).await;
    match passwords.begin(" Ada ", RIGHT.to_owned(), IP, NOW).await {
        Ok(PasswordStep::Proven(proven)) => assert_eq!(proven, Proven::new(person("ada"), [Method::Password])),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_enrolled_generator_is_required() {
    let passwords = passwords(true).await;
    let open = ceremony(&passwords, later(60)).await;
    let proven = passwords.finish(&open, &secret().code(later(60)), IP, later(60)).await.expect("right code");
    assert_eq!(proven, Proven::new(person("ada"), [Method::Password, Method::Totp]));
    let again = passwords.finish(&open, &secret().code(later(90)), IP, later(90)).await;
    assert!(matches!(again, Err(SignInError::NotOpen)), "single use");
    let at_once = |code: String| {
        let passwords = &passwords;
        async move { passwords.sign_in("ada", RIGHT.to_owned(), Some(&code), IP, later(120)).await }
    };
    assert!(matches!(at_once("000000".to_owned()).await, Err(SignInError::Refused)));
    assert!(matches!(at_once(secret().code(later(120))).await, Ok(PasswordStep::Proven(p)) if p == proven));
}

#[tokio::test]
async fn a_wrong_or_late_code_ends_the_ceremony() {
    let passwords = passwords(true).await;
    let open = ceremony(&passwords, later(60)).await;
    assert!(matches!(passwords.finish(&open, "000000", IP, later(60)).await, Err(SignInError::Refused)));
    let right = secret().code(later(60));
    assert!(matches!(passwords.finish(&open, &right, IP, later(60)).await, Err(SignInError::NotOpen)));
    let open = ceremony(&passwords, later(60)).await;
    let late = later(60) + CEREMONY_LIFE;
    assert!(matches!(passwords.finish(&open, &secret().code(late), IP, late).await, Err(SignInError::NotOpen)));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_person_say_the_same() {
    let passwords = passwords(false).await;
    for (who, word) in
        [("ada", "wrong horse battery"), ("eve", RIGHT), ("not an id!", RIGHT), ("ada", ""), ("ada", &"x".repeat(500))]
    {
        let answer = passwords.begin(who, word.to_owned(), IP, NOW).await;
        assert!(matches!(answer, Err(SignInError::Refused)), "{who} {answer:?}");
    }
}

#[tokio::test]
async fn nt_27_attempts_are_counted_per_principal_not_per_spelling() {
    let passwords = passwords(false).await;
    let spellings = ["ada", "ADA", " ada", "Ada\t", "aDa"];
    for n in 0..MAX_PER_PERSON {
        let ip = IpAddr::from([10, 0, 0, u8::try_from(n).expect("small")]);
        let answer = passwords.begin(spellings[n % spellings.len()], "wrong password".to_owned(), ip, NOW).await;
        assert!(matches!(answer, Err(SignInError::Refused)));
    }
    for spelling in spellings {
        let answer = passwords.begin(spelling, RIGHT.to_owned(), IP, NOW).await;
        assert!(matches!(answer, Err(SignInError::TooMany)), "{spelling}");
    }
    assert!(passwords.begin("ada", RIGHT.to_owned(), IP, later(300)).await.is_ok());
}

#[tokio::test]
async fn more_hashes_than_fit_are_refused_and_not_queued_without_end() {
    let passwords = Arc::new(passwords(false).await);
    let tries: Vec<_> = (0..3 * MAX_HASHES_WAITING)
        .map(|n| {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.begin(&format!("p{n}"), RIGHT.to_owned(), IP, NOW).await })
        })
        .collect();
    let mut busy = 0;
    for one in tries {
        busy += usize::from(matches!(one.await.expect("no panic"), Err(SignInError::Busy)));
    }
    assert!(busy >= MAX_HASHES_WAITING, "{busy}");
    assert!(passwords.begin("ada", RIGHT.to_owned(), IP, NOW).await.is_ok(), "and room comes back");
}
