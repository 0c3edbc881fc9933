//! Who stands behind credentials: from cookie, certificate and address to the facts that policy reads. In memory only.

use std::net::IpAddr;

use safeconduct_access::Session;
use safeconduct_gateway::{ClientCertificate, Credentials, Identity};
use safeconduct_model::{AppId, Application, DeviceFacts, DeviceId, Principal, Timestamp, Who, Why};

use crate::devices::Proof;
use crate::house::{Current, House, session_hash};
use crate::locks::Somebody;

impl House {
    /// Who asks, as far as it is proven. Anything that does not hold leaves nobody.
    pub(crate) fn who_is(&self, credentials: &Credentials, app: &AppId, now: Timestamp) -> Identity {
        let current = self.current();
        let mut identity = Identity::nobody();
        let settings = &current.config.settings;
        identity.network = settings.network_of(credentials.peer).map(str::to_owned);
        identity.country = self.country_of(credentials.peer);
        let Some(application) = current.config.estate.applications.get(app) else { return identity };
        let Some(session) = self.session_of(credentials, application, now) else { return identity };
        self.fill(&mut identity, &current, &session, Some(credentials.certificate.as_ref()), app, now);
        identity
    }

    /// The device behind a certificate that TLS verified. Certificates live in the system's time, whatever a demo's clock shows.
    pub(crate) fn device_shown(&self, certificate: &ClientCertificate) -> Option<DeviceId> {
        safeconduct_gateway::ca::device_of(&certificate.der, crate::clock::system())
    }

    /// Whether a session may go on over a connection that shows this device, or none. A session is never carried to another
    /// device; and a device that proves itself by certificate does so on every connection: a cookie alone is a stolen one.
    pub(crate) fn device_holds(&self, session: &Session, shown: Option<&DeviceId>) -> bool {
        match (&session.device, shown) {
            (Some(bound), Some(shown)) => bound == shown,
            // A device that is not known any more holds nothing.
            (Some(bound), None) => self.devices().get(bound).is_some_and(|d| d.proof == Proof::Browser),
            (None, _) => true,
        }
    }

    /// What a session comes to for an application, as if its person asked now. For pages that say what would open.
    pub(crate) fn identity_of(&self, session: &Session, app: &AppId, ip: IpAddr, now: Timestamp) -> Identity {
        let current = self.current();
        let mut identity = Identity::nobody();
        identity.network = current.config.settings.network_of(ip).map(str::to_owned);
        identity.country = self.country_of(ip);
        self.fill(&mut identity, &current, session, None, app, now);
        identity
    }

    fn session_of(&self, credentials: &Credentials, app: &Application, now: Timestamp) -> Option<Session> {
        if let Some(bound) = &credentials.token {
            // The token was proven at the door, for an address of this very host.
            let known = app.hosts.contains(&credentials.host);
            return known.then(|| self.sessions().of_key(&bound.session, &bound.key, now).cloned()).flatten();
        }
        let token = credentials.cookie.as_ref()?.expose().parse().ok()?;
        // A secret is good for the host it was given to, and that host must be one of the application's.
        let host = Some(&credentials.host).filter(|h| app.hosts.contains(h))?;
        self.sessions().find(&session_hash(&token), host, now).map(|(session, _)| session.clone())
    }

    /// Fills in what a session comes to. Without a connection nothing is known of a certificate, and none is asked for.
    fn fill(
        &self,
        identity: &mut Identity,
        current: &Current,
        session: &Session,
        connection: Option<Option<&ClientCertificate>>,
        app: &AppId,
        now: Timestamp,
    ) {
        let estate = &current.config.estate;
        let Some(groups) = estate.groups_of(&session.person).filter(|_| self.is_active(&session.person)) else {
            return;
        };
        let shown = connection.flatten().and_then(|c| self.device_shown(c));
        if connection.is_some() && !self.device_holds(session, shown.as_ref()) {
            return;
        }
        let device = session.device.clone().or(shown);
        let somebody =
            Somebody { person: &session.person, groups: &groups, session: Some(&session.id), device: device.as_ref() };
        let (lock, grant) = self.lock_and_grant(current, &somebody, app, now);
        identity.lock = lock;
        identity.why = Why { stated: session.stated.get(app).cloned(), grant };
        identity.device = device.and_then(|id| self.device_facts(current, &id));
        identity.who = Who { principal: Principal::Person(session.person.clone()), groups, auth: Some(session.auth()) };
    }

    /// The facts of a device that the organisation knows.
    pub(crate) fn device_facts(&self, current: &Current, id: &DeviceId) -> Option<DeviceFacts> {
        let settings = &current.config.settings;
        Some(self.devices().get(id)?.facts(&settings.required_checks, settings.report_max_age))
    }

    pub(crate) fn country_of(&self, ip: IpAddr) -> Option<String> {
        let found = self.geoip.as_ref()?.lookup(ip).ok()?;
        let country = found.decode::<maxminddb::geoip2::Country<'_>>().ok()??;
        country.country.iso_code.map(str::to_owned)
    }
}
