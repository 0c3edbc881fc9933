//! TLS to applications: whose certificates count.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// TLS that trusts the public authorities, and those of the file if one is named.
pub(crate) fn tls(dir: &Path, ca_file: Option<&str>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    if let Some(file) = ca_file {
        let path = dir.join(file);
        let told = || format!("[upstream] ca_file: {}", path.display());
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<_, _>>).with_context(told)?;
        ensure!(!certificates.is_empty(), "{}: there is no certificate in it", told());
        for certificate in certificates {
            roots.add(certificate).with_context(told)?;
        }
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
