//! Which client of the configuration asks, and whether it may.

use http::StatusCode;
use safeconduct_api::{ApiError, Asker, Proof};
use safeconduct_config::{DecisionClient, DecisionPoint, Surface};
use sha2::{Digest, Sha256};

/// The client behind a proof, if it may ask this of that store.
pub(super) fn admit(
    point: &DecisionPoint,
    proof: &Proof,
    surface: Surface,
    store: Option<&str>,
) -> Result<Asker, ApiError> {
    let digest = proof.token.as_ref().map(|token| Sha256::digest(token.as_bytes()));
    let digest = digest.as_ref().map(|d| d.as_slice());
    let mut known = point.clients.iter().filter(|(_, client)| proves(client, digest, &proof.names.0));
    let unknown = || ApiError::new(StatusCode::UNAUTHORIZED, "client_unknown", "The client did not prove itself.");
    let (name, client) = known.next().ok_or_else(unknown)?;
    let forbidden = |words: &str| ApiError::new(StatusCode::FORBIDDEN, "client_may_not", words);
    if !client.may.contains(&surface) {
        return Err(forbidden(&format!("The client may not ask this; it needs \"{}\".", surface.name())));
    }
    let store = match surface {
        Surface::Evaluate | Surface::Search | Surface::Review => {
            let wanted = store.or(point.default_store.as_deref());
            let wanted =
                wanted.ok_or_else(|| ApiError::not_found("There is no default store; name one in the path."))?;
            // Whether a store exists is no business of a client that may not ask it.
            if !client.stores.contains(wanted) || !point.stores.contains_key(wanted) {
                return Err(forbidden("The client may not ask this store."));
            }
            wanted
        }
        Surface::ExtAuthz | Surface::ForwardAuth | Surface::AuthRequest => "",
    };
    Ok(Asker { name: name.clone(), store: store.to_owned() })
}

/// Everything that the client is configured with must be shown.
fn proves(client: &DecisionClient, digest: Option<&[u8]>, names: &[String]) -> bool {
    let token = client.token.is_none_or(|wanted| digest.is_some_and(|given| same(wanted.bytes(), given)));
    let certificate = client.certificate.as_ref().is_none_or(|wanted| names.contains(wanted));
    token && certificate && (client.token.is_some() || client.certificate.is_some())
}

/// Compares in a time that does not depend on the content.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use safeconduct_api::CertificateNames;
    use safeconduct_config::DecisionStore;

    use super::*;

    /// `printf %s secret | sha256sum`
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn point() -> DecisionPoint {
        let client =
            |token: Option<&str>, certificate: Option<&str>, stores: &[&str], may: &[Surface]| DecisionClient {
                token: token.map(|t| t.parse().expect("a digest")),
                certificate: certificate.map(str::to_owned),
                stores: stores.iter().map(|s| (*s).to_owned()).collect(),
                may: may.iter().copied().collect(),
            };
        DecisionPoint {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: true,
            url: None,
            client_ca: None,
            ports: [443].into(),
            default_store: Some("todo".into()),
            clients: BTreeMap::from([
                ("app".into(), client(Some(SECRET), None, &["todo"], &[Surface::Evaluate])),
                ("mesh".into(), client(None, Some("mesh.test"), &[], &[Surface::ExtAuthz])),
            ]),
            stores: ["todo", "other"].map(|n| (n.to_owned(), DecisionStore::default())).into(),
        }
    }

    fn told(token: Option<&str>, names: &[&str], surface: Surface, store: Option<&str>) -> String {
        let names = CertificateNames(names.iter().map(|n| (*n).to_owned()).collect());
        let proof = Proof { token: token.map(str::to_owned), names, ip: None };
        match admit(&point(), &proof, surface, store) {
            Ok(asker) => format!("{} {}", asker.name, asker.store),
            Err(error) => format!("{} {}", error.status().as_u16(), error.code()),
        }
    }

    #[test]
    fn a_client_asks_what_it_may_and_nothing_else() {
        assert_eq!(told(Some("secret"), &[], Surface::Evaluate, None), "app todo");
        assert_eq!(told(Some("secret"), &[], Surface::Evaluate, Some("todo")), "app todo");
        assert_eq!(told(Some("secret"), &[], Surface::Evaluate, Some("other")), "403 client_may_not");
        assert_eq!(told(Some("secret"), &[], Surface::Evaluate, Some("nowhere")), "403 client_may_not");
        assert_eq!(told(Some("secret"), &[], Surface::Search, None), "403 client_may_not");
        assert_eq!(told(Some("secret"), &[], Surface::ForwardAuth, None), "403 client_may_not");
        assert_eq!(told(None, &["mesh.test"], Surface::ExtAuthz, None), "mesh ");
    }

    #[test]
    fn who_proves_nothing_is_unknown() {
        for token in [None, Some(""), Some("Secret"), Some(SECRET)] {
            assert_eq!(told(token, &[], Surface::Evaluate, None), "401 client_unknown", "{token:?}");
        }
        assert_eq!(told(None, &["other.test"], Surface::ExtAuthz, None), "401 client_unknown");
    }
}
