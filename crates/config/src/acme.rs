//! `[acme]`: public certificates from an authority that speaks RFC 8555.

use safeconduct_model::Host;

use crate::reader::{Faults, Table};

/// The most hosts.
const MOST_HOSTS: usize = 500;

/// Where public certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The directory of the authority.
    pub directory: String,
    /// Whom the authority may write to; nobody, if left out.
    pub contact: Option<String>,
    /// The hosts that get a public certificate.
    pub hosts: Vec<Host>,
    /// More certificates to trust when talking to the authority, PEM.
    pub ca_file: Option<String>,
}

/// Reads `[acme]`.
pub(crate) fn read(t: Option<Table<'_>>, files: bool, faults: &mut Faults) -> Option<Acme> {
    let mut t = t?;
    let directory = t.required::<String>(
        "directory",
        "name the directory, as in \"https://acme-v02.api.letsencrypt.org/directory\"",
        faults,
    );
    let contact = t.parsed::<String>("contact", "name an address, as in \"ops@example.com\"", faults);
    let agreed = t.flag("terms_agreed", faults);
    let hosts = t.list::<Host>("hosts", "name hosts, as in [\"portal.example.com\"]", faults).unwrap_or_default();
    let ca_file = t.parsed("ca_file", "name a PEM file", faults);
    if agreed != Some(true) {
        let what = "the authority gives certificates to those who agree to its terms";
        faults.tell(&t.at, what, "read them, then write terms_agreed = true");
    }
    if hosts.is_empty() || hosts.len() > MOST_HOSTS {
        let what = format!("`hosts` must name 1 to {MOST_HOSTS} hosts");
        faults.tell(&t.at, what, "name the published hosts that get a public certificate");
    }
    for host in hosts.iter().filter(|h| h.as_str().parse::<std::net::IpAddr>().is_ok() || !h.as_str().contains('.')) {
        let what = format!("`hosts`: no public authority vouches for `{host}`");
        faults.tell(&t.at, what, "name a host of the public DNS; the local authority serves the others");
    }
    if directory.as_ref().is_some_and(|d| !d.starts_with("https://")) {
        faults.tell(&t.at, "`directory` must begin with https://", "correct the address");
    }
    if contact.as_ref().is_some_and(|c| !c.contains('@') || c.contains([':', ',', ' '])) {
        faults.tell(&t.at, "`contact` is one e-mail address", "write it as in \"ops@example.com\"");
    }
    if files {
        faults.tell(&t.at, "[tls] and [acme] both say where certificates come from", "remove one of the two");
    }
    t.done(faults);
    Some(Acme { directory: directory?, contact, hosts, ca_file })
}
