//! A no of the gateway in words: what was missing, what would help, and the number to quote.

use std::fmt;

use safeconduct_model::{Failing, Remedy};
use serde::Deserialize;

use super::net::Address;

/// A refusal, as the gateway tells it.
#[derive(Clone, Debug, Deserialize, Default)]
pub(crate) struct Told {
    #[serde(default)]
    words: String,
    #[serde(default)]
    failing: Vec<Failing>,
    #[serde(default)]
    remedies: Vec<Remedy>,
    #[serde(default)]
    request: Option<String>,
    /// Where one signs in.
    #[serde(skip)]
    portal: String,
}

#[derive(Deserialize)]
struct Wrapped {
    error: Told,
}

impl Told {
    /// Reads the body of a refusal. What cannot be read is told by its status.
    pub(crate) fn read(status: u16, body: &[u8], portal: &Address) -> Self {
        let told = serde_json::from_slice::<Wrapped>(body).map(|w| w.error);
        let unread = || Self { words: format!("The gateway answers {status}."), ..Self::default() };
        Self { portal: portal.origin(), ..told.unwrap_or_else(|_| unread()) }
    }

    /// Nobody is signed in.
    pub(crate) fn signed_out(portal: &Address) -> Self {
        Self {
            words: "This machine is not signed in any more.".to_owned(),
            remedies: vec![Remedy::SignIn],
            portal: portal.origin(),
            ..Self::default()
        }
    }

    fn remedy(&self, remedy: &Remedy) -> Option<String> {
        let login = format!("safeconduct login --portal {}", self.portal);
        Some(match remedy {
            Remedy::SignIn => format!("sign in: {login}"),
            Remedy::StepUp { phishing_resistant: true } => {
                format!("sign in with a passkey at {}, then {login}", self.portal)
            }
            Remedy::StepUp { .. } => format!("sign in again, or more strongly, at {}, then {login}", self.portal),
            Remedy::StatePurpose { accepted } if accepted.is_empty() => "say what it is for, with --purpose".to_owned(),
            Remedy::StatePurpose { accepted } => format!("say what it is for, with --purpose {}", accepted.join(" | ")),
            Remedy::FixDevice { steps } => format!("repair the device: {}", steps.join("; ")),
            Remedy::OtherDevice => {
                "use a device that your organisation manages, with --certificate and --key".to_owned()
            }
            Remedy::WaitUntil { at } => format!("wait until {at}"),
            Remedy::OtherNetwork => "use another network".to_owned(),
            Remedy::AskOwner { owner: Some(owner) } => format!("ask {owner}, who answers for it"),
            Remedy::AskOwner { owner: None } => "ask whoever answers for it".to_owned(),
            Remedy::AskOperators => "ask whoever runs Safeconduct".to_owned(),
            Remedy::Nothing => return None,
        })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)?;
        for failing in &self.failing {
            write!(f, "\n  needed: {}; found: {}", failing.words, failing.found)?;
        }
        for remedy in self.remedies.iter().filter_map(|r| self.remedy(r)) {
            write!(f, "\n  would help: {remedy}")?;
        }
        match &self.request {
            Some(request) => write!(f, "\n  request {request}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Told {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_reads_as_words_with_its_number_and_its_remedies() {
        let portal = "https://portal.acme.com".parse().expect("an address");
        let body = br#"{"error":{"code":"purpose_required","words":"Say what it is for.",
            "failing":[{"condition":"c","words":"a stated purpose","found":"none"}],
            "remedies":[{"do":"state_purpose","accepted":["audit","support"]},{"do":"sign_in"},{"do":"nothing"}],
            "request":"4711"}}"#;
        assert_eq!(
            Told::read(403, body, &portal).to_string(),
            "Say what it is for.\n  needed: a stated purpose; found: none\n  would help: say what it is for, with --purpose \
             audit | support\n  would help: sign in: safeconduct login --portal https://portal.acme.com\n  request 4711"
        );
        assert_eq!(Told::read(502, b"<html>", &portal).to_string(), "The gateway answers 502.");
    }
}
