//! One-time links that let a person make their account: the first administrator, and whoever an operator invites.

use std::collections::HashMap;
use std::sync::Arc;

use safeconduct_authn::one_time::{Digest, Purpose, Token};
use safeconduct_model::{Duration, Method, PersonId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::proven::random_token;
use crate::{AccountsError, Keep, Proven, SignInError};

/// How long a link counts.
pub const SETUP_LINK_LIFE: Duration = Duration::from_hours(24);
/// How many links may be open.
const MAX_SETUP_LINKS: usize = 1_000;
const SETUP_LINK: &str = "setup-link";

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    person: PersonId,
    until: Timestamp,
}

/// The open setup links. What is kept of a link is its hash.
pub struct SetupLinks {
    keep: Arc<dyn Keep>,
    open: Mutex<HashMap<Digest, Invitation>>,
}

impl SetupLinks {
    /// Reads the open links.
    ///
    /// # Errors
    /// [`AccountsError`] if the store does not answer or a document is not readable.
    pub async fn load(keep: Arc<dyn Keep>) -> Result<Self, AccountsError> {
        let mut open = HashMap::new();
        for (id, body) in keep.load(SETUP_LINK).await? {
            let fault = |why: String| AccountsError::Unreadable { kind: SETUP_LINK, id: id.clone(), why };
            let digest = Digest::from_hex(&id).ok_or_else(|| fault("not a digest".to_owned()))?;
            let invitation = serde_json::from_value(body).map_err(|e| fault(e.to_string()))?;
            open.insert(digest, invitation);
        }
        Ok(Self { keep, open: Mutex::new(open) })
    }

    /// Makes a link for a person and returns its secret part. Older links of the person end.
    ///
    /// # Errors
    /// [`SignInError`] if it could not be written down or too many are open.
    pub async fn make(&self, person: &PersonId, now: Timestamp) -> Result<String, SignInError> {
        let mut open = self.open.lock().await;
        let gone: Vec<Digest> =
            open.iter().filter(|(_, i)| i.until <= now || i.person == *person).map(|(digest, _)| *digest).collect();
        for digest in gone {
            self.keep.delete(SETUP_LINK, &digest.to_hex()).await.map_err(AccountsError::from)?;
            open.remove(&digest);
        }
        if open.len() >= MAX_SETUP_LINKS {
            return Err(SignInError::Busy);
        }
        let token = random_token()?;
        let digest = token.digest(Purpose::SetupLink);
        let invitation = Invitation { person: person.clone(), until: now + SETUP_LINK_LIFE };
        let body =
            serde_json::to_value(&invitation).map_err(|_| SignInError::Unavailable("an invitation is no JSON"))?;
        self.keep.put(SETUP_LINK, &digest.to_hex(), &body).await.map_err(AccountsError::from)?;
        open.insert(digest, invitation);
        Ok(token.reveal())
    }

    /// Whose link it is, without using it up: for the page that it opens.
    pub async fn look(&self, secret: &str, now: Timestamp) -> Option<PersonId> {
        let token: Token = secret.parse().ok()?;
        let open = self.open.lock().await;
        open.get(&token.digest(Purpose::SetupLink)).filter(|i| now < i.until).map(|i| i.person.clone())
    }

    /// Uses a link. It counts once, and is gone from the store before it counts.
    ///
    /// # Errors
    /// [`SignInError::NotOpen`] if it is unknown, used or too old.
    pub async fn redeem(&self, secret: &str, now: Timestamp) -> Result<Proven, SignInError> {
        let token: Token = secret.parse().map_err(|_| SignInError::NotOpen)?;
        let digest = token.digest(Purpose::SetupLink);
        let mut open = self.open.lock().await;
        let invitation = open.get(&digest).cloned().ok_or(SignInError::NotOpen)?;
        self.keep.delete(SETUP_LINK, &digest.to_hex()).await.map_err(AccountsError::from)?;
        open.remove(&digest);
        if now < invitation.until {
            Ok(Proven::new(invitation.person, [Method::SetupLink]))
        } else {
            Err(SignInError::NotOpen)
        }
    }
}

#[cfg(test)]
mod tests;
