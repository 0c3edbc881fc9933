//! One provider: its documents, its keys, and the exchange of a code for verified claims.

use std::sync::Arc;

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod, CoreGrantType, CoreIdToken,
    CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AccessToken, AdditionalProviderMetadata, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    EndpointNotSet, EndpointSet, IssuerUrl, JsonWebKeySet, Nonce, OAuth2TokenResponse as _, PkceCodeVerifier,
    ProviderMetadata, RedirectUrl, RequestTokenError, SignatureVerificationError, TokenResponse as _, TokenUrl,
};
use safeconduct_authn::oidc::{self as checks, Claims, Expected, MAX_SKEW};
use safeconduct_model::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{ProviderConfig, ProviderError};
use crate::HttpsClient;

/// How long the documents of a provider are used before they are fetched again.
const DOCUMENTS_LIFE: Duration = Duration::from_hours(12);
/// How long after a failure the provider is left alone.
const RETRY_COOLDOWN: Duration = Duration::from_secs(5);
/// How long after a fetch of keys an unknown key does not cause another.
const KEYS_COOLDOWN: Duration = Duration::from_secs(60);

/// Members of the provider's metadata that the library does not know.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct More {
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for More {}

type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type ReadyClient = CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet, EndpointNotSet>;

/// The documents of a provider, as fetched.
pub(super) struct Ready {
    metadata: Metadata,
    token_url: TokenUrl,
    keys: CoreJsonWebKeySet,
    fetched: Timestamp,
}

impl Ready {
    /// Whether the provider says that every answer names its issuer.
    pub(super) fn promises_issuer(&self) -> bool {
        self.metadata.additional_metadata().authorization_response_iss_parameter_supported
    }
}

#[derive(Default)]
struct Documents {
    ready: Option<Arc<Ready>>,
    failed: Option<Timestamp>,
    keys_fetched: Option<Timestamp>,
}

pub(super) struct Provider {
    pub(super) config: ProviderConfig,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    http: HttpsClient,
    documents: Mutex<Documents>,
}

impl Provider {
    pub(super) fn new(config: ProviderConfig, http: HttpsClient) -> Result<Self, ProviderError> {
        let fault = |what: &str| ProviderError::Config(config.id.clone(), what.to_owned());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if config.id.is_empty() || !config.id.chars().all(plain) {
            return Err(fault("the name may hold a-z, 0-9 and - only"));
        }
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|_| fault("the issuer is not an address"))?;
        let redirect = RedirectUrl::new(config.redirect_uri.clone())
            .map_err(|_| fault("the redirect address is not an address"))?;
        if issuer.url().query().is_some() || issuer.url().fragment().is_some() {
            return Err(fault("the issuer has a query or a fragment"));
        }
        if config.client_id.is_empty() {
            return Err(fault("the client id is empty"));
        }
        Ok(Self { issuer, redirect, http, documents: Mutex::default(), config })
    }

    /// The documents of the provider, fetched if need be. While they cannot be renewed, the old ones serve.
    pub(super) async fn ready(&self, now: Timestamp) -> Result<Arc<Ready>, ProviderError> {
        let mut documents = self.documents.lock().await;
        let cooling = documents.failed.is_some_and(|at| now.since(at) < RETRY_COOLDOWN);
        match &documents.ready {
            Some(ready) if cooling || now.since(ready.fetched) < DOCUMENTS_LIFE => return Ok(Arc::clone(ready)),
            None if cooling => {
                return Err(ProviderError::Document("metadata", "it did not answer a moment ago".to_owned()));
            }
            _ => {}
        }
        match self.discover(now).await {
            Ok(ready) => {
                let ready = Arc::new(ready);
                *documents = Documents { ready: Some(Arc::clone(&ready)), failed: None, keys_fetched: Some(now) };
                Ok(ready)
            }
            Err(error) => {
                documents.failed = Some(now);
                match &documents.ready {
                    Some(old) => {
                        tracing::warn!(provider = %self.config.id, %error, "the documents of a provider could not be renewed");
                        Ok(Arc::clone(old))
                    }
                    None => Err(error),
                }
            }
        }
    }

    async fn discover(&self, now: Timestamp) -> Result<Ready, ProviderError> {
        let http = self.http.sender();
        let metadata = Metadata::discover_async(self.issuer.clone(), &http)
            .await
            .map_err(|e| ProviderError::Document("metadata", chain(&e)))?;
        let token_url = metadata
            .token_endpoint()
            .cloned()
            .ok_or_else(|| ProviderError::Document("metadata", "it has no token endpoint".to_owned()))?;
        let secure = |url: &str| url.starts_with("https://") || self.config.issuer.starts_with("http://");
        if !secure(metadata.authorization_endpoint().as_str()) {
            return Err(ProviderError::Document("metadata", "its authorization endpoint is not https".to_owned()));
        }
        let keys = metadata.jwks().clone();
        Ok(Ready { metadata, token_url, keys, fetched: now })
    }

    /// Fetches the keys again, at most once per [`KEYS_COOLDOWN`]. `None` while it is too early.
    async fn newer_keys(&self, now: Timestamp) -> Option<Arc<Ready>> {
        let mut documents = self.documents.lock().await;
        let old = documents.ready.clone()?;
        if documents.keys_fetched.is_some_and(|at| now.since(at) < KEYS_COOLDOWN) {
            return None;
        }
        documents.keys_fetched = Some(now);
        let http = self.http.sender();
        match JsonWebKeySet::fetch_async(old.metadata.jwks_uri(), &http).await {
            Ok(keys) => {
                let ready = Ready {
                    metadata: old.metadata.clone(),
                    token_url: old.token_url.clone(),
                    keys,
                    fetched: old.fetched,
                };
                documents.ready = Some(Arc::new(ready));
                documents.ready.clone()
            }
            Err(error) => {
                tracing::warn!(provider = %self.config.id, error = %chain(&error), "the keys of a provider could not be renewed");
                None
            }
        }
    }

    pub(super) fn client(&self, ready: &Ready) -> Result<ReadyClient, ProviderError> {
        let client_id = ClientId::new(self.config.client_id.clone());
        let mut client = CoreClient::new(client_id, self.issuer.clone(), ready.keys.clone());
        if let Some(secret) = &self.config.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.reveal().to_owned()));
        }
        Ok(client
            .set_auth_uri(ready.metadata.authorization_endpoint().clone())
            .set_token_uri(ready.token_url.clone())
            .set_redirect_uri(self.redirect.clone()))
    }

    /// Exchanges a code and verifies the ID token, by the library and then by our own checks.
    pub(super) async fn redeem(
        &self,
        ready: &Ready,
        code: String,
        verifier: String,
        nonce: &str,
        max_age: Option<Duration>,
        now: Timestamp,
    ) -> Result<Claims, ProviderError> {
        let http = self.http.sender();
        let client = self.client(ready)?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&http)
            .await
            .map_err(|error| {
                // The library's error can hold the body of the answer, and with it tokens: only its kind is told.
                match error {
                    RequestTokenError::ServerResponse(_) => ProviderError::Code,
                    RequestTokenError::Request(error) => error.into(),
                    RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                        ProviderError::Token("the answer of the token endpoint is malformed".to_owned())
                    }
                }
            })?;
        let id_token = answer.id_token().ok_or_else(|| ProviderError::Token("there is none".to_owned()))?;
        self.verify_signature(ready, id_token, nonce, now).await?;
        self.check_claims(id_token, answer.access_token(), nonce, max_age, now)
    }

    async fn verify_signature(
        &self,
        ready: &Ready,
        token: &CoreIdToken,
        nonce: &str,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        let first = self.verify_with(&ready.keys, token, nonce, now);
        let unknown_key = matches!(
            first,
            Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey))
        );
        let result = match (unknown_key, first) {
            (true, first) => match self.newer_keys(now).await {
                Some(newer) => self.verify_with(&newer.keys, token, nonce, now),
                None => first,
            },
            (false, first) => first,
        };
        result.map_err(|e| ProviderError::Token(chain(&e)))
    }

    fn verify_with(
        &self,
        keys: &CoreJsonWebKeySet,
        token: &CoreIdToken,
        nonce: &str,
        now: Timestamp,
    ) -> Result<(), ClaimsVerificationError> {
        // A public-client verifier has no shared secret, so no MAC can pass.
        let client_id = ClientId::new(self.config.client_id.clone());
        let at = (now - MAX_SKEW).millis().unsigned_abs();
        let verifier =
            openidconnect::core::CoreIdTokenVerifier::new_public_client(client_id, self.issuer.clone(), keys.clone())
                .set_allowed_algs(ALGORITHMS)
                .set_other_audience_verifier_fn(|_| true)
                .set_time_fn(move || (std::time::UNIX_EPOCH + std::time::Duration::from_millis(at)).into());
        token.claims(&verifier, &Nonce::new(nonce.to_owned())).map(|_| ())
    }

    /// The checks that the library leaves to us, on the very text whose signature was verified.
    fn check_claims(
        &self,
        token: &CoreIdToken,
        access_token: &AccessToken,
        nonce: &str,
        max_age: Option<Duration>,
        now: Timestamp,
    ) -> Result<Claims, ProviderError> {
        let (header, claims) = checks::read(&token.to_string())?;
        claims.check(&Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce,
            access_token: access_token.secret(),
            alg: header.alg,
            max_age,
            acr_values: &[],
            now,
        })?;
        Ok(claims)
    }
}

/// The signature algorithms that the library can verify and that we accept.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
