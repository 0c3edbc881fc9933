//! Sign-in at OpenID providers: authorization code flow with PKCE, bound to one browser, one provider and one purpose.

mod provider;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use openidconnect::core::{CoreAuthPrompt, CoreAuthenticationFlow};
use openidconnect::{CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope};
use safeconduct_authn::oidc::{self as checks, Claims};
use safeconduct_authn::one_time::{Digest, Purpose, Token};
use safeconduct_authn::return_to::ReturnTo;
use safeconduct_model::{Duration, PersonId, SessionId, Timestamp};
use thiserror::Error;
use zeroize::Zeroizing;

use self::provider::Provider;
use crate::open::Open;
use crate::proven::random_token;
use crate::{Accounts, AccountsError, HttpsClient, HttpsError, Proven, SignInError};

/// How recently a provider must have authenticated the person at a step-up.
const STEP_UP_MAX_AGE: Duration = crate::CEREMONY_LIFE;
/// The longest code or state that is read.
const MAX_PARAMETER_BYTES: usize = 4_096;

/// The secret of a client at its provider. It does not print.
#[derive(Clone)]
pub struct ClientSecretText(Zeroizing<String>);

impl ClientSecretText {
    /// From the text of the configuration.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecretText([redacted])")
    }
}

/// How a first sign-in finds the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It does not: an operator links people beforehand.
    None,
    /// By the e-mail address, which the provider must have verified.
    Email,
    /// By a claim that holds the person's id, such as `preferred_username`. Only for a provider that does not let people
    /// choose it.
    Claim(String),
}

impl Link {
    /// Reads `none`, `email` or `claim:NAME`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "email" => Some(Self::Email),
            _ => text.strip_prefix("claim:").filter(|c| !c.is_empty()).map(|c| Self::Claim(c.to_owned())),
        }
    }
}

/// An OpenID provider, as the configuration states it.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Its name in our addresses.
    pub id: String,
    /// Its issuer, exactly as in its documents.
    pub issuer: String,
    /// Our id there.
    pub client_id: String,
    /// Our secret there; `None` for a public client.
    pub client_secret: Option<ClientSecretText>,
    /// Our callback, exactly as registered there.
    pub redirect_uri: String,
    /// Scopes besides `openid`.
    pub scopes: Vec<String>,
    /// How a first sign-in finds the person.
    pub link: Link,
    /// The claim that lists groups, if it is of use.
    pub groups_claim: Option<String>,
    /// Whether the provider is believed about `amr` and `acr`.
    pub trust_methods: bool,
}

/// The people of the organisation, to find the one who signs in for the first time.
pub trait People: Send + Sync + 'static {
    /// Whether there is such a person.
    fn knows(&self, person: &PersonId) -> bool;
    /// The one person with this address, in lower case. `None` if there is none or more than one.
    fn by_email(&self, email: &str) -> Option<PersonId>;
}

/// What a sign-in at a provider is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcPurpose {
    /// A new session.
    SignIn,
    /// More proof for a session. The provider must authenticate the person anew, and it must be the same person.
    StepUp(PersonId, SessionId),
}

/// A sign-in that begins. Neither the cookie nor the address, which holds state and nonce, prints.
pub struct OidcBegun {
    /// The address at the provider.
    pub location: String,
    /// The value of the `__Host-` cookie that binds the sign-in to this browser.
    pub flow: String,
}

impl fmt::Debug for OidcBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OidcBegun([redacted])")
    }
}

/// What came back through the browser, all of it untrusted. Code, state and cookie do not print.
#[derive(Clone, Default)]
pub struct OidcAnswer {
    /// The code.
    pub code: Option<String>,
    /// The state.
    pub state: Option<String>,
    /// The issuer (RFC 9207).
    pub iss: Option<String>,
    /// The error code.
    pub error: Option<String>,
    /// The value of the cookie.
    pub flow: Option<String>,
}

impl fmt::Debug for OidcAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcAnswer").field("iss", &self.iss).field("error", &self.error).finish_non_exhaustive()
    }
}

/// A person whom a provider vouched for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Federated {
    /// Who, and how it was proven.
    pub proven: Proven,
    /// Where to go.
    pub return_to: ReturnTo,
    /// What it was for, as stated at the beginning.
    pub purpose: OidcPurpose,
    /// The groups that the provider names, if a claim is configured.
    pub groups: Vec<String>,
    /// Whether this sign-in linked the identity to the person for the first time.
    pub newly_linked: bool,
}

/// Why a sign-in at a provider did not succeed.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// No provider of this name.
    #[error("there is no identity provider `{0}`")]
    Unknown(String),
    /// The configuration of a provider is not usable.
    #[error("identity provider `{0}`: {1}")]
    Config(String, String),
    /// The provider does not answer, or not as it should.
    #[error("the identity provider could not be asked: {0}")]
    Http(#[from] HttpsError),
    /// A document of the provider is not usable.
    #[error("the identity provider's {0} is not usable: {1}")]
    Document(&'static str, String),
    /// The sign-in is not open, belongs to another browser, or the like.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The provider did not sign the person in.
    #[error("the identity provider did not sign the person in ({0})")]
    Declined(String),
    /// The provider did not exchange the code.
    #[error("the identity provider did not accept the code")]
    Code,
    /// The ID token does not hold.
    #[error("the ID token was refused: {0}")]
    Token(String),
    /// A check of the answer failed.
    #[error(transparent)]
    Check(#[from] checks::OidcError),
    /// Nobody of the organisation is linked to this identity.
    #[error("this identity is not linked to a person of the organisation")]
    NotLinked,
    /// The answer is about another person than the one who began.
    #[error("the sign-in was for another person")]
    OtherPerson,
}

impl From<AccountsError> for ProviderError {
    fn from(error: AccountsError) -> Self {
        Self::SignIn(error.into())
    }
}

struct Flow {
    provider: String,
    cookie: Digest,
    nonce: String,
    verifier: String,
    purpose: OidcPurpose,
    return_to: ReturnTo,
}

/// The configured providers.
pub struct Providers {
    providers: BTreeMap<String, Provider>,
    accounts: Arc<Accounts>,
    people: Arc<dyn People>,
    flows: Open<Flow>,
}

impl Providers {
    /// Checks the configuration. No provider is asked yet.
    ///
    /// # Errors
    /// [`ProviderError::Config`] names the provider and what is wrong.
    pub fn new(
        configs: Vec<ProviderConfig>,
        http: &HttpsClient,
        accounts: Arc<Accounts>,
        people: Arc<dyn People>,
    ) -> Result<Self, ProviderError> {
        let mut providers = BTreeMap::new();
        for config in configs {
            let id = config.id.clone();
            if providers.insert(id.clone(), Provider::new(config, http.clone())?).is_some() {
                return Err(ProviderError::Config(id, "the name is used twice".to_owned()));
            }
        }
        Ok(Self { providers, accounts, people, flows: Open::new(Purpose::Ceremony) })
    }

    /// The names of the providers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// Fetches the documents of all providers, so that the first sign-in is quick. Says which ones did not answer; they are
    /// asked again when they are needed.
    pub async fn warm_up(&self, now: Timestamp) -> Vec<(String, ProviderError)> {
        let mut faults = Vec::new();
        for (name, provider) in &self.providers {
            if let Err(error) = provider.ready(now).await {
                faults.push((name.clone(), error));
            }
        }
        faults
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn begin(
        &self,
        provider: &str,
        purpose: OidcPurpose,
        return_to: ReturnTo,
        now: Timestamp,
    ) -> Result<OidcBegun, ProviderError> {
        let provider = self.provider(provider)?;
        let ready = provider.ready(now).await?;
        let (cookie, nonce, verifier) = (random_token()?, random_token()?.reveal(), random_token()?.reveal());
        let step_up = matches!(purpose, OidcPurpose::StepUp(..));
        let flow = Flow {
            provider: provider.config.id.clone(),
            cookie: cookie.digest(Purpose::SignInFlow),
            nonce: nonce.clone(),
            verifier: verifier.clone(),
            purpose,
            return_to,
        };
        let state = self.flows.begin(flow, now)?;
        let client = provider.client(&ready)?;
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier));
        let mut request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, || CsrfToken::new(state), || Nonce::new(nonce))
            .add_scopes(provider.config.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        if step_up {
            request = request
                .add_prompt(CoreAuthPrompt::Login)
                .set_max_age(std::time::Duration::from_millis(STEP_UP_MAX_AGE.millis()));
        }
        let (location, _, _) = request.url();
        Ok(OidcBegun { location: location.into(), flow: cookie.reveal() })
    }

    /// Ends a sign-in. `session` is who is signed in at this browser now, for a step-up.
    ///
    /// # Errors
    /// [`ProviderError`]; whatever it is, the sign-in is over.
    pub async fn finish(
        &self,
        provider: &str,
        answer: OidcAnswer,
        session: Option<(&PersonId, &SessionId)>,
        now: Timestamp,
    ) -> Result<Federated, ProviderError> {
        let provider = self.provider(provider)?;
        let state = answer.state.filter(|s| s.len() <= MAX_PARAMETER_BYTES).ok_or(SignInError::NotOpen)?;
        let flow = self.flows.take(&state, now)?;
        let cookie = answer.flow.and_then(|text| text.parse::<Token>().ok()).ok_or(SignInError::NotOpen)?;
        if flow.provider != provider.config.id || !cookie.digest(Purpose::SignInFlow).matches(&flow.cookie) {
            return Err(SignInError::NotOpen.into());
        }
        if let OidcPurpose::StepUp(person, of) = &flow.purpose
            && session != Some((person, of))
        {
            return Err(ProviderError::OtherPerson);
        }
        let ready = provider.ready(now).await?;
        checks::check_response_issuer(answer.iss.as_deref(), ready.promises_issuer(), &provider.config.issuer)?;
        if let Some(error) = answer.error {
            return Err(ProviderError::Declined(error.chars().filter(char::is_ascii_graphic).take(60).collect()));
        }
        let code = answer.code.filter(|c| c.len() <= MAX_PARAMETER_BYTES).ok_or(ProviderError::Code)?;
        let max_age = matches!(flow.purpose, OidcPurpose::StepUp(..)).then_some(STEP_UP_MAX_AGE);
        let claims = provider.redeem(&ready, code, flow.verifier, &flow.nonce, max_age, now).await?;
        let (person, newly_linked) = self.person(&provider.config, &claims).await?;
        if let OidcPurpose::StepUp(expected, _) = &flow.purpose
            && *expected != person
        {
            return Err(ProviderError::OtherPerson);
        }
        let groups = provider.config.groups_claim.as_deref().map(|name| claims.list(name)).unwrap_or_default();
        let proven = Proven::new(person, claims.methods(provider.config.trust_methods));
        Ok(Federated { proven, return_to: flow.return_to, purpose: flow.purpose, groups, newly_linked })
    }

    /// The person behind an identity: linked before, or found once by the configured claim.
    async fn person(&self, config: &ProviderConfig, claims: &Claims) -> Result<(PersonId, bool), ProviderError> {
        if let Some(person) = self.accounts.linked(&config.issuer, claims.subject()) {
            return if self.people.knows(&person) { Ok((person, false)) } else { Err(ProviderError::NotLinked) };
        }
        let found = match &config.link {
            Link::None => None,
            Link::Email => claims.verified_email().and_then(|email| self.people.by_email(email.as_str())),
            Link::Claim(name) => claims.text(name).and_then(|text| text.parse().ok()),
        };
        let person = found.filter(|p: &PersonId| self.people.knows(p)).ok_or(ProviderError::NotLinked)?;
        self.accounts.link(&config.issuer, claims.subject(), &person).await?;
        Ok((person, true))
    }

    fn provider(&self, name: &str) -> Result<&Provider, ProviderError> {
        self.providers.get(name).ok_or_else(|| {
            ProviderError::Unknown(name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(60).collect())
        })
    }
}

#[cfg(test)]
mod tests;
