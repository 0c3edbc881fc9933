//! The endpoints of the authorisation server, answered by the house.

use std::sync::Arc;

use safeconduct_access::{Session, TokenHash};
use safeconduct_api::{
    Client, DeviceBegun, Grant, Issued, OAuthAnswer, OAuthError, ProgramSession, Purpose as StatedPurpose, Shown,
    Tokens, TunnelRow,
};
use safeconduct_authn::device_grant::{INTERVAL, Look, Machine};
use safeconduct_authn::dpop::{Expected, Proven};
use safeconduct_authn::one_time::{Purpose, Token};
use safeconduct_model::Stated;

use super::{Secrets, TradeError, lock};
use crate::house::{House, origin};

/// The longest ticket, in characters.
const MAX_TICKET: usize = 64;

/// The desk for programs.
pub(crate) struct Desk(pub(crate) Arc<House>);

impl Desk {
    /// Checks the proof that came with a request to the portal, which is without a token.
    fn proven(&self, proof: &str, path: &str) -> Result<Proven, OAuthError> {
        let uri = format!("{}{path}", self.0.origin);
        let expected = Expected { method: "POST", uri: &uri, token: None };
        self.0.check_proof(proof, &expected).map_err(|e| OAuthError::proof(sentence(&e.to_string())))
    }

    /// The same where nothing is known of the key. Addresses are counted; the proof is not remembered, because nothing comes of
    /// it twice, and nobody is to fill the memory of those that count.
    fn proven_by_stranger(&self, client: &Client, proof: &str, path: &str) -> Result<Proven, OAuthError> {
        if !self.0.may_ask(client.ip) {
            return Err(OAuthError::too_often());
        }
        self.proven(proof, path)
    }

    fn session_of(&self, shown: &Shown, method: &str, path: &str) -> Result<Session, OAuthError> {
        let uri = format!("{}{path}", self.0.origin);
        let expected = Expected { method, uri: &uri, token: Some(&shown.token) };
        let session = self.0.session_shown(&shown.token, &shown.proof, &expected, self.0.now());
        let session = session.map_err(|code| {
            tracing::info!(code, "a token did not count on the portal");
            OAuthError::token("The token does not count. Refresh it, or sign in again.")
        })?;
        if self.0.is_active(&session.person) { Ok(session) } else { Err(OAuthError::token("The account is closed.")) }
    }

    fn issued(&self, secrets: &Secrets) -> Issued {
        Issued {
            access_token: secrets.access.reveal(),
            token_type: "DPoP",
            expires_in: secrets.life(self.0.now()).secs(),
            refresh_token: secrets.refresh.reveal(),
            session: secrets.session.id.clone(),
        }
    }

    async fn trade_device(&self, proven: &Proven, code: &str) -> Result<Secrets, OAuthError> {
        let code: Token = code.parse().map_err(|_| expired())?;
        let digest = code.digest(Purpose::DeviceCode);
        // Proofs of strangers are not remembered: nobody fills the memory of those that count.
        if !lock(&self.0.programs.devices).is_of(&digest, &proven.key) {
            return Err(expired());
        }
        if !self.0.take_proof(proven) {
            return Err(replayed());
        }
        let look = lock(&self.0.programs.devices).look(&digest, &proven.key, self.0.now());
        match look {
            Look::Pending => Err(OAuthError::new("authorization_pending", "Nobody has answered yet.")),
            Look::SlowDown(wait) => {
                Err(OAuthError::new("slow_down", format!("Wait {} seconds between two looks.", wait.secs())))
            }
            Look::Denied => Err(OAuthError::new("access_denied", "The person said no.")),
            Look::Expired | Look::OtherKey => Err(expired()),
            Look::Approved(proof, machine) => {
                self.0.open_program(proof, &proven.key, machine).await.map_err(|e| trade_error(&e))
            }
        }
    }
}

fn expired() -> OAuthError {
    OAuthError::new("expired_token", "The code has expired or was used. Begin the sign-in again.")
}

fn replayed() -> OAuthError {
    OAuthError::proof("The proof was used before.")
}

fn unavailable(error: &anyhow::Error) -> OAuthError {
    tracing::warn!(error = format!("{error:#}"), "a program could not be served");
    OAuthError::unavailable("The sign-in could not be kept. Try again in a moment.")
}

fn trade_error(error: &TradeError) -> OAuthError {
    match error {
        TradeError::Grant => {
            OAuthError::new("invalid_grant", "The sign-in does not count any more. Run `safeconduct login` again.")
        }
        TradeError::Failed(error) => unavailable(error),
    }
}

fn sentence(error: &str) -> String {
    let mut letters = error.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect::<String>() + ".")
}

impl Tokens for Desk {
    fn origin(&self) -> &str {
        &self.0.origin
    }

    fn begin_device<'a>(&'a self, client: &'a Client, proof: String, machine: String) -> OAuthAnswer<'a, DeviceBegun> {
        Box::pin(async move {
            let proven = self.proven_by_stranger(client, &proof, "/oauth/device_authorization")?;
            let machine = Machine::new(&machine, client.ip);
            let waiting = self.0.begin_machine(proven.key, machine).map_err(|e| unavailable(&e))?;
            let waiting = waiting.ok_or_else(OAuthError::too_often)?;
            let verification_uri = format!("{}/activate", self.0.origin);
            Ok(DeviceBegun {
                device_code: waiting.device.reveal(),
                user_code: waiting.user.to_string(),
                verification_uri_complete: format!("{verification_uri}?user_code={}", waiting.user),
                verification_uri,
                expires_in: waiting.life.secs(),
                interval: INTERVAL.secs(),
            })
        })
    }

    fn trade<'a>(&'a self, client: &'a Client, proof: String, grant: Grant) -> OAuthAnswer<'a, Issued> {
        Box::pin(async move {
            let path = "/oauth/token";
            let secrets = match grant {
                Grant::Device { code } => {
                    let proven = self.proven(&proof, path)?;
                    self.trade_device(&proven, &code).await?
                }
                Grant::Code { code, verifier, redirect } => {
                    let proven = self.proven_by_stranger(client, &proof, path)?;
                    let code: Token = code.parse().map_err(|_| trade_error(&TradeError::Grant))?;
                    let traded = lock(&self.0.programs.codes).trade(
                        &code.digest(Purpose::AuthorisationCode),
                        &verifier,
                        &redirect,
                        &proven.key,
                        self.0.now(),
                    );
                    let (given, machine) = traded.ok_or_else(|| trade_error(&TradeError::Grant))?;
                    self.0.open_program(given, &proven.key, machine).await.map_err(|e| trade_error(&e))?
                }
                Grant::Refresh { token } => {
                    let proven = self.proven(&proof, path)?;
                    let token: Token = token.parse().map_err(|_| trade_error(&TradeError::Grant))?;
                    let hash = TokenHash::of_refresh(token.reveal().as_bytes());
                    if !self.0.sessions().is_refresh_of(&hash, proven.key.as_str()) {
                        return Err(trade_error(&TradeError::Grant));
                    }
                    if !self.0.take_proof(&proven) {
                        return Err(replayed());
                    }
                    self.0.refresh_program(&token, &proven.key).await.map_err(|e| trade_error(&e))?
                }
            };
            Ok(self.issued(&secrets))
        })
    }

    fn revoke<'a>(&'a self, client: &'a Client, proof: String, token: String) -> OAuthAnswer<'a, ()> {
        Box::pin(async move {
            let proven = self.proven_by_stranger(client, &proof, "/oauth/revoke")?;
            let Ok(token) = token.parse::<Token>() else { return Ok(()) };
            self.0.revoke_program(&token, &proven.key).await.map_err(|e| unavailable(&e))
        })
    }

    fn session<'a>(&'a self, _: &'a Client, shown: Shown) -> OAuthAnswer<'a, ProgramSession> {
        Box::pin(async move {
            let session = self.session_of(&shown, "GET", "/oauth/session")?;
            let current = self.0.current();
            let estate = &current.config.estate;
            let port = self.0.origin.rsplit_once(':').and_then(|(_, p)| p.parse().ok()).unwrap_or(443);
            let row = |app: &safeconduct_model::Application| {
                let host = app.hosts.first()?;
                Some(TunnelRow { id: app.id.clone(), name: app.name.clone(), address: origin(host.as_str(), port) })
            };
            let applications = estate.applications.values().filter(|a| a.is_tcp()).filter_map(row).collect();
            let name = estate.people.get(&session.person).map_or_else(String::new, |p| p.name.clone());
            Ok(ProgramSession {
                session: session.id,
                person: session.person,
                name,
                methods: session.methods.into_iter().collect(),
                proven: session.proven,
                until: session.until,
                applications,
            })
        })
    }

    fn state<'a>(&'a self, _: &'a Client, shown: Shown, purpose: StatedPurpose) -> OAuthAnswer<'a, ()> {
        Box::pin(async move {
            let session = self.session_of(&shown, "POST", "/oauth/purpose")?;
            let current = self.0.current();
            let settings = &current.config.settings;
            if current.snapshot.application(&purpose.app).is_none() {
                return Err(OAuthError::new("invalid_request", "There is no such application."));
            }
            if !settings.purposes.contains(&purpose.purpose) {
                let known: Vec<&str> = settings.purposes.iter().map(String::as_str).collect();
                let words = format!("There is no such purpose; there are: {}.", known.join(", "));
                return Err(OAuthError::new("invalid_request", words));
            }
            let ticket = purpose.ticket.trim();
            if ticket.chars().count() > MAX_TICKET || ticket.chars().any(char::is_control) {
                let words = format!("A ticket has {MAX_TICKET} characters at most, on one line.");
                return Err(OAuthError::new("invalid_request", words));
            }
            let ticket = Some(ticket.to_owned()).filter(|t| !t.is_empty());
            let stated = Stated { purpose: purpose.purpose, ticket };
            self.0.state_purpose(&session.id, purpose.app, stated).await.map_err(|e| unavailable(&e))
        })
    }
}
