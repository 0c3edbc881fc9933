//! Challenges for browsers that prove their device: single use, bound to the session that asked.

use safeconduct_authn::device::DeviceKey;
use safeconduct_authn::one_time::Purpose;
use safeconduct_model::{SessionId, Timestamp};

use crate::SignInError;
use crate::open::Open;

/// The open challenges.
pub struct DeviceChallenges {
    open: Open<Option<SessionId>>,
}

impl Default for DeviceChallenges {
    fn default() -> Self {
        Self { open: Open::new(Purpose::Ceremony) }
    }
}

impl DeviceChallenges {
    /// No open challenges.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives out a challenge, base64url, for a session or for a browser without one.
    ///
    /// # Errors
    /// [`SignInError::Busy`] if too many are open.
    pub fn issue(&self, session: Option<&SessionId>, now: Timestamp) -> Result<String, SignInError> {
        self.open.begin(session.cloned(), now)
    }

    /// Verifies the answer of a device. Whatever comes of it, the challenge is used up.
    ///
    /// # Errors
    /// [`SignInError::NotOpen`] if the challenge is unknown, used, too old or of another session;
    /// [`SignInError::Refused`] if the signature does not hold.
    pub fn verify(
        &self,
        challenge: &str,
        session: Option<&SessionId>,
        key: &DeviceKey,
        signature: &str,
        now: Timestamp,
    ) -> Result<(), SignInError> {
        let given_to = self.open.take(challenge, now)?;
        if given_to.as_ref() != session {
            return Err(SignInError::NotOpen);
        }
        key.verify_text(challenge, signature).map_err(|_| SignInError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use safeconduct_authn::SigningKey;
    use safeconduct_authn::device::prove;

    use super::*;
    use crate::CEREMONY_LIFE;
    use crate::testing::NOW;

    #[test]
    fn a_challenge_counts_once_for_its_session_and_its_device() {
        let challenges = DeviceChallenges::new();
        let key = SigningKey::from_slice(&[1; 32]).expect("in range");
        let (mine, other) = (DeviceKey::from(&key), SigningKey::from_slice(&[2; 32]).expect("in range"));
        let s1: SessionId = "s1".parse().expect("id");
        let s2: SessionId = "s2".parse().expect("id");
        let try_it = |from: Option<&SessionId>, to: Option<&SessionId>, by: &SigningKey, now: Timestamp| {
            let challenge = challenges.issue(from, NOW).expect("room");
            let bytes = URL_SAFE_NO_PAD.decode(&challenge).expect("base64url");
            let proof = prove(by, &bytes);
            let first = challenges.verify(&challenge, to, &mine, &proof, now);
            assert!(matches!(challenges.verify(&challenge, to, &mine, &proof, now), Err(SignInError::NotOpen)));
            first
        };
        assert!(try_it(Some(&s1), Some(&s1), &key, NOW).is_ok());
        assert!(try_it(None, None, &key, NOW).is_ok());
        assert!(matches!(try_it(Some(&s1), Some(&s1), &other, NOW), Err(SignInError::Refused)));
        for (from, to) in [(Some(&s1), Some(&s2)), (Some(&s1), None), (None, Some(&s1))] {
            assert!(matches!(try_it(from, to, &key, NOW), Err(SignInError::NotOpen)), "nt_24");
        }
        assert!(matches!(try_it(None, None, &key, NOW + CEREMONY_LIFE), Err(SignInError::NotOpen)));
    }
}
