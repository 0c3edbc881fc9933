//! The identity providers of the configuration.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use safeconduct_config::{Link as ConfiguredLink, OidcProvider};
use safeconduct_directory::{Accounts, ClientSecretText, HttpsClient, Link, People, ProviderConfig, Providers};
use safeconduct_model::PersonId;

use crate::house::Current;

/// Builds the providers of the configuration that binds now. None of them is asked yet.
pub(crate) fn providers(
    dir: &Path,
    origin: &str,
    accounts: &Arc<Accounts>,
    current: &Arc<ArcSwap<Current>>,
) -> Result<Providers> {
    let configured = current.load().config.settings.oidc.clone();
    let mut roots = Vec::new();
    for file in configured.iter().filter_map(|p| p.ca_file.as_ref()) {
        roots.extend(crate::certificates::roots(dir, "[[oidc]]", file)?);
    }
    let loopback = configured.iter().any(|p| p.allow_http_loopback);
    let http = HttpsClient::new(&roots, loopback)?;
    let configs = configured.into_iter().map(|p| one(dir, origin, p)).collect::<Result<Vec<_>>>()?;
    let people: Arc<dyn People> = Arc::new(Estate(Arc::clone(current)));
    Ok(Providers::new(configs, &http, Arc::clone(accounts), people)?)
}

fn one(dir: &Path, origin: &str, p: OidcProvider) -> Result<ProviderConfig> {
    let secret = p.client_secret_file.as_ref().map(|file| {
        let text = std::fs::read_to_string(dir.join(file)).with_context(|| format!("[[oidc]] cannot read {file}"))?;
        anyhow::Ok(ClientSecretText::new(text.trim().to_owned()))
    });
    Ok(ProviderConfig {
        redirect_uri: format!("{origin}/sign-in/oidc/{}/callback", p.id),
        id: p.id,
        issuer: p.issuer,
        client_id: p.client_id,
        client_secret: secret.transpose()?,
        scopes: vec!["email".to_owned(), "profile".to_owned()],
        link: match p.link {
            ConfiguredLink::Email => Link::Email,
            ConfiguredLink::Claim(name) => Link::Claim(name),
            ConfiguredLink::Never => Link::None,
        },
        groups_claim: None,
        trust_methods: p.trust_methods,
    })
}

/// The people of the estate that binds now.
struct Estate(Arc<ArcSwap<Current>>);

impl People for Estate {
    fn knows(&self, person: &PersonId) -> bool {
        self.0.load().config.estate.people.get(person).is_some_and(|p| p.active)
    }

    fn by_email(&self, email: &str) -> Option<PersonId> {
        let current = self.0.load();
        let has = |p: &&safeconduct_model::Person| p.email.as_deref().is_some_and(|e| e.eq_ignore_ascii_case(email));
        let mut with = current.config.estate.people.values().filter(|p| p.active).filter(has);
        match (with.next(), with.next()) {
            (Some(one), None) => Some(one.id.clone()),
            _ => None,
        }
    }
}
