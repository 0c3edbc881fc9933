//! Signing in with a password or a one-time link, proving more, signing out.

use safeconduct_access::Visitor;
use safeconduct_api::Cookie;
use safeconduct_console::Trouble;
use safeconduct_console::view::{Outcome, PasswordForm, Provider, Setup, SetupForm, SignIn, StepUp};
use safeconduct_directory::{PasswordStep, Proven, SETUP_LINK_LIFE, SignInError};
use safeconduct_model::{DeviceId, SessionEventKind, Timestamp};
use safeconduct_store::{MAX_PAGE, Page};

use safeconduct_authn::one_time::Token;

use crate::house::House;
use crate::locks::LockedOut;
use crate::portal::SHOWN_DEVICE;
use crate::portal::ceremonies::signed_in;
use crate::rooms::links::Naming;
use crate::rooms::{client_ip, not_found, unavailable, unkept};

/// The same page again, with what went wrong.
pub(crate) fn again(error: impl Into<String>) -> Outcome {
    Outcome::Again { error: error.into() }
}

/// On to a path of the portal.
pub(crate) fn go(to: impl Into<String>) -> Outcome {
    Outcome::Redirect { to: to.into(), cookies: vec![] }
}

fn providers(house: &House) -> Vec<Provider> {
    let current = house.current();
    let built = house.providers.load();
    let serves = |id: &str| built.names().any(|name| name == id);
    let all = current.config.settings.oidc.iter().filter(|p| serves(&p.id));
    all.map(|p| Provider { id: p.id.clone(), name: p.name.clone() }).collect()
}

/// The ways to sign in. Local accounts are always one: the first administrator has one.
pub(crate) fn ways(house: &House) -> SignIn {
    SignIn { providers: providers(house), local: true }
}

/// What a stronger or fresher proof asks for.
pub(crate) fn step_up(house: &House, by: &Visitor) -> StepUp {
    StepUp { passkey: !house.accounts.summary(&by.person).passkeys.is_empty(), providers: providers(house) }
}

/// What may be said about a sign-in that did not succeed.
pub(crate) fn said(error: &SignInError) -> String {
    match error {
        SignInError::Refused => "The name, the password or the code is not right.".to_owned(),
        SignInError::TooMany => "Too many attempts. Wait a few minutes.".to_owned(),
        SignInError::NotOpen => "It took too long or was already used. Begin again.".to_owned(),
        SignInError::Busy => "Too many sign-ins at the same time. Try again in a moment.".to_owned(),
        SignInError::Account(error) => format!("{error}."),
        SignInError::Unavailable(_) => "It could not be completed. Try again in a moment.".to_owned(),
    }
}

/// Checks the password, then the code where one is enrolled.
async fn prove(house: &House, form: &PasswordForm) -> Result<Option<Proven>, SignInError> {
    let (ip, now) = (client_ip(), house.now());
    let password = form.password.reveal().to_owned();
    match house.passwords.begin(&form.person, password, ip, now).await? {
        PasswordStep::Proven(proven) => Ok(Some(proven)),
        PasswordStep::CodeNeeded { .. } if form.totp.reveal().trim().is_empty() => Ok(None),
        PasswordStep::CodeNeeded { ceremony } => {
            house.passwords.finish(&ceremony, form.totp.reveal(), ip, now).await.map(Some)
        }
    }
}

/// Signs in with a password and perhaps a code.
pub(crate) async fn with_password(house: &House, form: &PasswordForm) -> Result<Outcome, Trouble> {
    match prove(house, form).await {
        Ok(Some(proven)) if house.is_active(&proven.person) => {
            let opened = match open(house, proven).await {
                // Who proved who they are may know that they are locked out, and what to do.
                Err(error) => return locked_out(&error).map(again).ok_or_else(|| unkept(&error)),
                Ok(opened) => opened,
            };
            let signed = signed_in(&opened, &house.return_to(&form.return_to));
            Ok(Outcome::Redirect { to: signed.location, cookies: headers(&signed.cookies) })
        }
        // Someone who left learns no more than someone who mistyped.
        Ok(Some(_)) => {
            house.record_failed_sign_in(&form.person, client_ip());
            Ok(again(said(&SignInError::Refused)))
        }
        Ok(None) => Ok(again("Type the one-time code too.")),
        Err(error) => {
            // Attempts beyond the bound are not recorded one by one: nobody fills the ledger from outside.
            if matches!(error, SignInError::Refused) {
                house.record_failed_sign_in(&form.person, client_ip());
            } else {
                tracing::warn!(%error, "a sign-in with a password could not be completed");
            }
            Ok(again(said(&error)))
        }
    }
}

async fn open(house: &House, proven: Proven) -> anyhow::Result<Token> {
    house.open_session(proven, shown_device(), client_ip()).await
}

/// The device whose certificate the client showed.
fn shown_device() -> Option<DeviceId> {
    SHOWN_DEVICE.try_with(Clone::clone).ok().flatten()
}

/// What is told to somebody whom a lock keeps out.
fn locked_out(error: &anyhow::Error) -> Option<String> {
    error.downcast_ref::<LockedOut>().map(ToString::to_string)
}

fn headers(cookies: &[Cookie]) -> Vec<String> {
    cookies.iter().map(Cookie::to_header).collect()
}

/// Whether a one-time link is still good, and whose it is.
pub(crate) async fn setup(house: &House, token: &str) -> Result<Setup, Trouble> {
    let now = house.now();
    let person = house.setup_links.look(token, now).await.ok_or_else(not_found)?;
    let page = Page { before_seq: None, limit: MAX_PAGE };
    let made = house.index.changes(Some("person.setup_link"), page).await.map_err(|e| unavailable("The index", &e))?;
    let of_person = |c: &&safeconduct_store::ChangeRow| c.object == person.as_str();
    // A link that the start made is not older than the process.
    let started = house.now() - house.clock.uptime();
    let at: Timestamp = made.iter().find(of_person).map_or(started, |c| c.at);
    Ok(Setup { until: at + SETUP_LINK_LIFE, person: Some(house.person(&person)) })
}

/// Uses a one-time link: whoever holds it begins a session as the person it was made for.
pub(crate) async fn set_up(house: &House, token: &str, form: &SetupForm) -> Result<Outcome, Trouble> {
    let person = house.setup_links.look(token, house.now()).await.ok_or_else(not_found)?;
    let typed = form.person.trim().to_ascii_lowercase();
    if !typed.is_empty() && typed != person.as_str() {
        return Ok(again(format!("This link was made for `{person}`. Type this id, or ask for a link of your own.")));
    }
    // A link that is not used stays good for the time after the lock.
    if let Err(locked) = house.lock_on_sign_in(&person, shown_device().as_ref()) {
        house.record_failed_sign_in(person.as_str(), client_ip());
        return Ok(again(locked.to_string()));
    }
    let proven = match house.setup_links.redeem(token, house.now()).await {
        Ok(proven) => proven,
        Err(SignInError::NotOpen) => return Err(not_found()),
        Err(error) => return Ok(again(said(&error))),
    };
    let opened = open(house, proven).await.map_err(|e| unkept(&e))?;
    let cookie = Cookie::new(Cookie::SESSION, opened.reveal(), None);
    Ok(Outcome::Redirect { to: "/me/security".to_owned(), cookies: headers(&[cookie]) })
}

/// Ends the session of the visitor.
pub(crate) async fn sign_out(house: &House, by: &Visitor) -> Result<Outcome, Trouble> {
    let ended = house.end_session(&by.auth.session, SessionEventKind::SignedOut).await;
    ended.map_err(|e| unkept(&e))?;
    Ok(Outcome::Redirect { to: "/signed-out".to_owned(), cookies: headers(&[Cookie::forget(Cookie::SESSION)]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sign_in_tells_nothing_about_the_account() {
        let told = said(&SignInError::Refused);
        assert!(told.contains("name") && told.contains("password") && told.contains("code"), "{told}");
        assert!(!said(&SignInError::Unavailable("argon2")).contains("argon2"));
    }

    #[test]
    fn a_forgotten_cookie_is_told_to_the_browser() {
        let told = headers(&[Cookie::forget(Cookie::SESSION)]);
        assert!(told[0].starts_with("__Host-safeconduct=;") && told[0].ends_with("Max-Age=0"), "{told:?}");
    }
}
