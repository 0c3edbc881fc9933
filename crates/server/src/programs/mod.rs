//! Sessions of programs: from a person's yes on the portal to tokens that count beside a proof of their key, and to their end.

mod desk;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use safeconduct_access::bound::{ACCESS_LIFE, BoundError, Pair, Proof};
use safeconduct_access::{Session, SessionError, TokenHash, Visitor};
use safeconduct_authn::code_grant::{CodeGrants, Request};
use safeconduct_authn::device_grant::{Answer, DeviceGrants, Machine, REQUEST_LIFE};
use safeconduct_authn::dpop::{self, DpopError, Expected, Proven, Seen, Thumbprint};
use safeconduct_authn::one_time::{Purpose, Token};
use safeconduct_authn::rate::Rate;
use safeconduct_authn::user_code::UserCode;
use safeconduct_gateway::{BoundToken, TokenRefused, TokenShown};
use safeconduct_model::{Duration, PersonId, SessionEventKind, SessionId, Timestamp};

pub(crate) use desk::Desk;

use crate::clock;
use crate::house::{House, new_session_id, new_token};

/// Over which time tries are counted.
const WINDOW: Duration = Duration::from_mins(5);
/// How often one address may ask to sign in, in the window.
const ASKS_PER_ADDRESS: usize = 60;
/// How many codes one person may try, in the window: they have 34 bits, and there may be ten thousand of them.
const GUESSES_PER_PERSON: usize = 20;

/// What waits, and what must not come twice.
pub(crate) struct Programs {
    devices: Mutex<DeviceGrants<Proof>>,
    codes: Mutex<CodeGrants<(Proof, Machine)>>,
    seen: Mutex<Seen>,
    asks: Mutex<Rate<IpAddr>>,
    guesses: Mutex<Rate<PersonId>>,
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            devices: Mutex::default(),
            codes: Mutex::default(),
            seen: Mutex::default(),
            asks: Mutex::new(Rate::new(ASKS_PER_ADDRESS, WINDOW)),
            guesses: Mutex::new(Rate::new(GUESSES_PER_PERSON, WINDOW)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// New secrets for a program.
pub(crate) struct Secrets {
    pub access: Token,
    pub refresh: Token,
    pub session: Session,
}

impl Secrets {
    /// How long the access token counts from now on.
    pub(crate) fn life(&self, now: Timestamp) -> Duration {
        self.session.until.since(now).min(ACCESS_LIFE)
    }
}

/// A machine that waits: its own code, and the one for people.
pub(crate) struct Waiting {
    pub device: Token,
    pub user: UserCode,
    pub life: Duration,
}

/// Why tokens cannot be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TradeError {
    /// The grant does not count: never given, used, too old, of another key.
    #[error("the grant does not count; sign in again")]
    Grant,
    /// Something failed on our side.
    #[error("tokens could not be made: {0:#}")]
    Failed(#[from] anyhow::Error),
}

impl House {
    /// Checks the proof of a request to the portal. Whether it is new is asked later, once its key is known to count.
    pub(crate) fn check_proof(&self, proof: &str, expected: &Expected<'_>) -> Result<Proven, DpopError> {
        // Proofs live in the system's time, whatever a demo's clock shows: they are made on other machines.
        dpop::verify(proof, expected, clock::system())
    }

    /// Takes a proof. Says whether it is new.
    pub(crate) fn take_proof(&self, proven: &Proven) -> bool {
        lock(&self.programs.seen).take(proven, clock::system())
    }

    /// Whether an address may ask once more.
    pub(crate) fn may_ask(&self, ip: IpAddr) -> bool {
        lock(&self.programs.asks).admit(ip, self.now())
    }

    /// Proves the token of a tunnel: it is known and fresh, its key signed for this address and this token, just now and for
    /// the first time.
    pub(crate) fn prove_token(&self, shown: &TokenShown<'_>, now: Timestamp) -> Result<BoundToken, TokenRefused> {
        let expected = Expected { method: shown.method, uri: shown.uri, token: Some(shown.token) };
        let session = self.session_shown(shown.token, shown.proof, &expected, now).map_err(TokenRefused)?;
        let key = session.bound.as_ref().map(|b| b.key.as_str().into()).ok_or(TokenRefused("token_unknown"))?;
        Ok(BoundToken { session: session.id, key })
    }

    /// The session behind a token and its proof, or the stable code of why there is none.
    pub(crate) fn session_shown(
        &self,
        token: &str,
        proof: &str,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Session, &'static str> {
        let proven = self.check_proof(proof, expected).map_err(DpopError::code)?;
        let token: Token = token.parse().map_err(|_| "token_unknown")?;
        let hash = TokenHash::of_access(token.reveal().as_bytes());
        let session = self.sessions().by_access(&hash, proven.key.as_str(), now).cloned().map_err(|e| match e {
            BoundError::Unknown | BoundError::Reused(_) => "token_unknown",
            BoundError::Expired => "token_expired",
            BoundError::OtherKey => "token_of_another_key",
        })?;
        if self.take_proof(&proven) { Ok(session) } else { Err("proof_replayed") }
    }

    /// Lets a machine wait for the answer of a person; none if there is no room.
    pub(crate) fn begin_machine(&self, key: Thumbprint, machine: Machine) -> Result<Option<Waiting>> {
        let device = new_token()?;
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
        let user = UserCode::from_random(bytes);
        let digest = device.digest(Purpose::DeviceCode);
        let begun = lock(&self.programs.devices).begin(user, digest, key, machine, self.now());
        Ok(begun.is_ok().then_some(Waiting { device, user, life: REQUEST_LIFE }))
    }

    /// The machine that waits under a code, and since when. Guessing codes is counted.
    pub(crate) fn machine_waiting(
        &self,
        by: &PersonId,
        code: &str,
    ) -> Result<Option<(UserCode, Machine, Timestamp)>, &'static str> {
        let now = self.now();
        if !lock(&self.programs.guesses).admit(by.clone(), now) {
            return Err("Too many codes were tried. Wait five minutes.");
        }
        let Some(code) = UserCode::read(code) else { return Ok(None) };
        let devices = lock(&self.programs.devices);
        Ok(devices.waiting(&code, now).map(|open| (code, open.machine.clone(), open.since)))
    }

    /// Keeps the answer of a person to a machine. Says whether it still waited.
    pub(crate) fn answer_machine(&self, code: &UserCode, yes: Option<Proof>) -> bool {
        let answer = yes.map_or(Answer::Deny, Answer::Approve);
        lock(&self.programs.devices).answer(code, answer, self.now())
    }

    /// A code for a program that a person let in through their browser; none if there is no room.
    pub(crate) fn give_code(&self, request: Request, proof: Proof, machine: Machine) -> Result<Option<Token>> {
        let code = new_token()?;
        let digest = code.digest(Purpose::AuthorisationCode);
        let kept = lock(&self.programs.codes).begin(digest, request, (proof, machine), self.now());
        Ok(kept.then_some(code))
    }

    /// What the session of a visitor has proven: no more goes to a program, and not for longer.
    pub(crate) fn proof_of(&self, visitor: &Visitor) -> Option<Proof> {
        let sessions = self.sessions();
        let session = sessions.get(&visitor.auth.session, self.now())?;
        Some(Proof {
            person: session.person.clone(),
            methods: session.methods.clone(),
            proven: session.proven,
            until: session.until,
            stated: session.stated.clone(),
        })
    }

    /// Opens the session of a program that somebody let in.
    pub(crate) async fn open_program(
        &self,
        proof: Proof,
        key: &Thumbprint,
        machine: Machine,
    ) -> Result<Secrets, TradeError> {
        if !self.is_active(&proof.person) || self.lock_on_sign_in(&proof.person, None).is_err() {
            return Err(TradeError::Grant);
        }
        let (access, refresh) = (new_token()?, new_token()?);
        let begun = {
            let pair = pair(&access, &refresh);
            let (id, now) = (new_session_id()?, self.now());
            let key = key.to_string();
            self.sessions().begin_bound(id, proof, key, machine.name.clone(), pair, machine.ip, now)
        };
        let (session, gave_way) = match begun {
            Ok(begun) => begun,
            Err(SessionError::Ended) => return Err(TradeError::Grant),
            Err(error) => return Err(TradeError::Failed(error.into())),
        };
        if let Some(old) = gave_way {
            self.after_end(old, SessionEventKind::Ended).await?;
        }
        self.keep_session(&session).await?;
        let person = session.person.as_str();
        let detail = format!("session {}, asked from {}", session.id, machine.ip);
        self.record_change(person, "machine.sign_in", &machine.name, &detail).await.context("recording the sign-in")?;
        let recorded = self.record_session(&session, SessionEventKind::Began)?;
        recorded.durable().await.context("recording the session")?;
        Ok(Secrets { access, refresh, session })
    }

    /// Trades a refresh token for the next pair. One that two parties hold ends its session.
    pub(crate) async fn refresh_program(&self, token: &Token, key: &Thumbprint) -> Result<Secrets, TradeError> {
        let (access, refresh) = (new_token()?, new_token()?);
        let hash = TokenHash::of_refresh(token.reveal().as_bytes());
        let next = pair(&access, &refresh);
        let refreshed = self.sessions().refresh(&hash, key.as_str(), next, self.now());
        match refreshed {
            Ok(session) if self.is_active(&session.person) => {
                self.keep_session(&session).await?;
                Ok(Secrets { access, refresh, session })
            }
            Err(BoundError::Reused(id)) => {
                self.end_reused(&id).await?;
                Err(TradeError::Grant)
            }
            Ok(_) | Err(_) => Err(TradeError::Grant),
        }
    }

    async fn end_reused(&self, id: &SessionId) -> Result<()> {
        tracing::warn!(session = %id, "a refresh token was used by two parties; its session ends");
        self.record_system("alarm", &format!("a refresh token of session {id} was used by two parties; it was ended"));
        self.end_session(id, SessionEventKind::Ended).await.map(|_| ())
    }

    /// Ends the session to which a refresh token belongs, for who holds its key.
    pub(crate) async fn revoke_program(&self, token: &Token, key: &Thumbprint) -> Result<()> {
        let hash = TokenHash::of_refresh(token.reveal().as_bytes());
        let (access, refresh) = (new_token()?, new_token()?);
        // Trading it proves that it counts; what comes of it is gone with the session.
        let session = self.sessions().refresh(&hash, key.as_str(), pair(&access, &refresh), self.now());
        match session {
            Ok(session) => self.end_session(&session.id, SessionEventKind::SignedOut).await.map(|_| ()),
            Err(BoundError::Reused(id)) => self.end_reused(&id).await,
            Err(_) => Ok(()),
        }
    }
}

fn pair(access: &Token, refresh: &Token) -> Pair {
    Pair {
        access: TokenHash::of_access(access.reveal().as_bytes()),
        refresh: TokenHash::of_refresh(refresh.reveal().as_bytes()),
    }
}
