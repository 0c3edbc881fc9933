//! A no of the gateway in words: what was missing, what would help, and the number to quote.

use std::fmt;

use safeconduct_model::{Failing, Remedy};
use serde::Deserialize;

use super::net::Address;

/// How the end of a tunnel is told that the gateway ended.
pub(super) const ENDED: &str = "the gateway ended the tunnel: ";

/// A refusal, as the gateway tells it.
#[derive(Clone, Debug, Deserialize, Default)]
pub(crate) struct Told {
    /// The code of the reason.
    #[serde(default)]
    code: String,
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
    /// Whether it is the end of a tunnel that did not come from the gateway.
    #[serde(skip)]
    broke: bool,
}

#[derive(Deserialize)]
struct Wrapped {
    error: Told,
}

impl Told {
    /// Reads the body of a refusal. What cannot be read is told by its status. `request` is the number that the head names.
    pub(crate) fn read(status: u16, body: &[u8], request: Option<String>, portal: &Address) -> Self {
        let told = serde_json::from_slice::<Wrapped>(body).map(|w| w.error);
        let unread = || Self { words: format!("The gateway answers {status}."), ..Self::default() };
        let told = told.unwrap_or_else(|_| unread());
        Self { portal: portal.origin(), request: told.request.clone().or(request), ..told }
    }

    /// The end of a tunnel that was open.
    pub(crate) fn cut(words: String, request: Option<String>, portal: &Address) -> Self {
        let broke = !words.starts_with(ENDED);
        Self { words, request, portal: portal.origin(), broke, ..Self::default() }
    }

    /// Whether the portal can explain it to the person: policy said no to somebody whom it knew, or said so later.
    fn is_explained(&self) -> bool {
        !self.broke
            && !matches!(
                self.code.as_str(),
                "sign_in_required" | "unknown_application" | "limit_reached" | "bad_request"
            )
            && !self.code.starts_with("upstream_")
            && !self.code.starts_with("connector_")
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
        if !self.code.is_empty() {
            write!(f, "\n  reason {}", self.code)?;
        }
        let Some(request) = &self.request else { return Ok(()) };
        write!(f, "\n  request {request}")?;
        if self.is_explained() {
            write!(f, "\n  explained at {}/why?request={request}", self.portal)?;
        }
        Ok(())
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
            Told::read(403, body, None, &portal).to_string(),
            "Say what it is for.\n  needed: a stated purpose; found: none\n  would help: say what it is for, with --purpose \
             audit | support\n  would help: sign in: safeconduct login --portal https://portal.acme.com\n  reason purpose_required\n  request 4711\n  explained at \
             https://portal.acme.com/why?request=4711"
        );
        assert_eq!(Told::read(502, b"<html>", None, &portal).to_string(), "The gateway answers 502.");
        let down =
            br#"{"error":{"code":"upstream_unavailable","words":"The application does not answer.","request":"7"}}"#;
        assert_eq!(
            Told::read(502, down, Some("7".to_owned()), &portal).to_string(),
            "The application does not answer.\n  reason upstream_unavailable\n  request 7",
            "nobody was denied, so there is nothing to explain"
        );
        assert_eq!(
            Told::cut(format!("{ENDED}access ended"), Some("8".to_owned()), &portal).to_string(),
            "the gateway ended the tunnel: access ended\n  request 8\n  explained at \
             https://portal.acme.com/why?request=8"
        );
        let broke = Told::cut("the connection to the gateway broke".to_owned(), Some("9".to_owned()), &portal);
        assert_eq!(broke.to_string(), "the connection to the gateway broke\n  request 9");
    }
}
