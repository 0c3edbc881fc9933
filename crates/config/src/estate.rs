//! `estate/*.toml`: people, groups, assets, applications, grants.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_access::{Grant, Grantee};
use safeconduct_model::{
    Action, AppId, Application, Asset, AssetId, AssetKind, Class, Group, GroupId, Hardening, Host, Mode, Person,
    PersonId, RouteRule, Site, SiteId, TCP_SCHEME,
};

use crate::reader::{At, Faults, Table, Text, parse};

/// The id of the application that is Safeconduct's own console.
pub const CONSOLE: &str = "safeconduct";

/// What the estate files say. Everything in it points at something that exists.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// People by id.
    pub people: BTreeMap<PersonId, Person>,
    /// Groups by id.
    pub groups: BTreeMap<GroupId, Group>,
    /// The protect surface.
    pub assets: BTreeMap<AssetId, Asset>,
    /// Applications by id, the console among them.
    pub applications: BTreeMap<AppId, Application>,
    /// Dated grants.
    pub grants: Vec<Grant>,
    /// Sites whose applications are reached through connectors.
    pub sites: BTreeMap<SiteId, Site>,
}

impl Estate {
    /// Every group that a person belongs to, directly or through another; `None` if there is no such person.
    #[must_use]
    pub fn groups_of(&self, person: &PersonId) -> Option<BTreeSet<GroupId>> {
        let mut open: Vec<&GroupId> = self.people.get(person)?.groups.iter().collect();
        let mut found = BTreeSet::new();
        while let Some(id) = open.pop() {
            if found.insert(id.clone()) {
                open.extend(self.groups.get(id).into_iter().flat_map(|g| &g.parents));
            }
        }
        Some(found)
    }
}

/// A thing and where it was written, until everything is read and can be checked against each other.
pub(crate) struct Written<T> {
    pub(crate) at: At,
    pub(crate) thing: T,
}

#[derive(Default)]
struct Draft {
    people: Vec<Written<Person>>,
    groups: Vec<Written<Group>>,
    assets: Vec<Written<Asset>>,
    applications: Vec<Written<Application>>,
    grants: Vec<Written<Grant>>,
    sites: Vec<Written<Site>>,
}

pub(crate) fn read(sources: &[Text], portal: Option<&Host>, faults: &mut Faults) -> Estate {
    let mut draft = Draft::default();
    for source in sources {
        let document = parse(source, faults);
        let mut root = Table::new(source, "the file", document.get_ref(), 0);
        for t in root.tables("group", faults) {
            draft.groups.extend(group(t, faults));
        }
        for t in root.tables("person", faults) {
            draft.people.extend(person(t, faults));
        }
        for t in root.tables("asset", faults) {
            draft.assets.extend(asset(t, faults));
        }
        for t in root.tables("application", faults) {
            draft.applications.extend(application(t, faults));
        }
        for t in root.tables("grant", faults) {
            draft.grants.extend(grant(t, faults));
        }
        for t in root.tables("site", faults) {
            draft.sites.extend(crate::sites::site(t, faults));
        }
        root.done(faults);
    }
    assemble(draft, portal, faults)
}

fn group(mut t: Table<'_>, faults: &mut Faults) -> Option<Written<Group>> {
    let id = t.required::<GroupId>("id", "give the group an id", faults);
    let name = t.parsed::<String>("name", "", faults);
    let parents = t.list::<GroupId>("parents", "name groups by id", faults).unwrap_or_default();
    let at = t.at.clone();
    t.done(faults);
    let id = id?;
    Some(Written {
        at,
        thing: Group { name: name.unwrap_or_else(|| id.to_string()), id, parents: parents.into_iter().collect() },
    })
}

fn person(mut t: Table<'_>, faults: &mut Faults) -> Option<Written<Person>> {
    let id = t.required::<PersonId>("id", "give the person an id", faults);
    let name = t.parsed::<String>("name", "", faults);
    let email = t.parsed::<String>("email", "", faults);
    let groups = t.list::<GroupId>("groups", "name groups by id", faults).unwrap_or_default();
    let active = t.flag("active", faults).unwrap_or(true);
    let at = t.at.clone();
    t.done(faults);
    let id = id?;
    let name = name.unwrap_or_else(|| id.to_string());
    Some(Written { at, thing: Person { id, name, email, groups: groups.into_iter().collect(), active } })
}

fn asset(mut t: Table<'_>, faults: &mut Faults) -> Option<Written<Asset>> {
    let id = t.required::<AssetId>("id", "give the asset an id", faults);
    let name = t.parsed::<String>("name", "", faults);
    let kind = t.word("kind", AssetKind::from_name, "data, application, asset, service", faults);
    let class = t.word("class", Class::from_name, CLASSES, faults);
    let owner = t.parsed::<PersonId>("owner", "name a person by id", faults);
    let note = t.parsed::<String>("note", "", faults).unwrap_or_default();
    let at = t.at.clone();
    t.done(faults);
    let id = id?;
    let thing = Asset {
        name: name.unwrap_or_else(|| id.to_string()),
        id,
        kind: kind.unwrap_or(AssetKind::Data),
        class: class.unwrap_or_default(),
        owner,
        note,
    };
    Some(Written { at, thing })
}

const CLASSES: &str = "low, moderate, high, critical";

fn application(mut t: Table<'_>, faults: &mut Faults) -> Option<Written<Application>> {
    let id = t.required::<AppId>("id", "give the application an id", faults);
    let name = t.parsed::<String>("name", "", faults);
    let hosts = t.list::<Host>("hosts", "name the hosts under which it is published", faults).unwrap_or_default();
    let upstream = t.required::<Upstream>(
        "upstream",
        "say where it runs, as in \"http://127.0.0.1:8080\", or \"tcp://127.0.0.1:5432\" for tunnels",
        faults,
    );
    let connector = t.parsed::<SiteId>("connector", "name a site by id", faults);
    let mode = t.word("mode", mode, "observe, enforce", faults);
    let class = t.word("class", Class::from_name, CLASSES, faults);
    let assets = t.list::<AssetId>("assets", "name assets by id", faults).unwrap_or_default();
    let owner = t.parsed::<PersonId>("owner", "name a person by id", faults);
    let own = t.table("hardening", faults);
    let hardened = own.as_ref().map(|h| h.at.clone());
    let everywhere = own.map(|h| hardening(h, Hardening::default(), faults)).unwrap_or_default();
    let mut routes = Vec::new();
    for r in t.tables("route", faults) {
        routes.extend(route(r, everywhere, faults));
    }
    if connector.is_some() && upstream.as_ref().is_some_and(|u| u.0.starts_with(TCP_SCHEME)) {
        let what = "a connector carries no tunnels: it dials http, https, h2 and h2c";
        faults.tell(&t.at, what, "write the address as it is reached from the connector, or remove `connector`");
    }
    let tcp = upstream.as_ref().is_some_and(|u| u.0.starts_with(TCP_SCHEME));
    let told = id.as_ref().map(AppId::to_string).unwrap_or_default();
    for r in routes.iter().filter(|r| tcp && !opens_tunnels(r)) {
        faults.tell(
            &t.at,
            format!("the route for `{}` speaks of requests, and `{told}` is reached by tunnels alone", r.path),
            "a tunnel is opened with the method CONNECT on the path /: write path = \"/\" without methods, or with \"CONNECT\"",
        );
    }
    let on_routes = routes.iter().any(|r| r.hardening.is_some()).then_some(&t.at);
    for at in hardened.iter().chain(on_routes).filter(|_| tcp) {
        let what = "hardening speaks of requests, and a tunnel has none";
        faults.tell(at, what, "remove [application.hardening] and the `hardening` of its routes");
    }
    let at = t.at.clone();
    if hosts.is_empty() {
        faults.tell(&at, "[[application]] needs `hosts`", "name the hosts under which it is published");
    }
    t.done(faults);
    let id = id?;
    let thing = Application {
        name: name.unwrap_or_else(|| id.to_string()),
        id,
        hosts,
        upstream: upstream?.0,
        connector,
        mode: mode.unwrap_or(Mode::Enforce),
        class: class.unwrap_or(Class::Low),
        assets: assets.into_iter().collect(),
        owner,
        routes,
        hardening: everywhere,
    };
    Some(Written { at, thing })
}

/// One line of the route table, with what it opts out of; what it does not name is as it is for the whole application.
fn route(mut t: Table<'_>, everywhere: Hardening, faults: &mut Faults) -> Option<RouteRule> {
    let methods = t.list::<Verb>("methods", "write methods in upper case, as in \"GET\"", faults).unwrap_or_default();
    let path = t.required::<RoutePath>("path", "a path, or a prefix with * at its end", faults);
    let action = t.word("action", Action::from_name, "read, write, admin", faults);
    let own = t.table("hardening", faults).map(|h| hardening(h, everywhere, faults));
    if action.is_none() && own.is_none() {
        let what = "[[application.route]] needs `action` or `hardening`";
        faults.tell(&t.at, what, "say what such requests count as (read, write, admin), or what they opt out of");
    }
    t.done(faults);
    Some(RouteRule { methods: methods.into_iter().map(|m| m.0).collect(), path: path?.0, action, hardening: own })
}

fn hardening(mut t: Table<'_>, otherwise: Hardening, faults: &mut Faults) -> Hardening {
    let hardening = Hardening {
        allow_encoded_slash: t.flag("allow_encoded_slash", faults).unwrap_or(otherwise.allow_encoded_slash),
        merge_slashes: t.flag("merge_slashes", faults).unwrap_or(otherwise.merge_slashes),
        allow_semicolon: t.flag("allow_semicolon", faults).unwrap_or(otherwise.allow_semicolon),
        drop_underscore_headers: t.flag("drop_underscore_headers", faults).unwrap_or(otherwise.drop_underscore_headers),
    };
    t.done(faults);
    hardening
}

fn mode(text: &str) -> Option<Mode> {
    [Mode::Observe, Mode::Enforce].into_iter().find(|m| m.name() == text)
}

/// Whether a line of the route table speaks of opening a tunnel.
fn opens_tunnels(route: &RouteRule) -> bool {
    matches!(route.path.as_str(), "/" | "/*") && (route.methods.is_empty() || route.methods.contains("CONNECT"))
}

/// An upstream: a protocol, a host and a port, nothing more. `http`, `https`, `h2` (HTTP/2 over TLS), `h2c` (HTTP/2 without)
/// or `tcp`.
struct Upstream(String);

impl std::str::FromStr for Upstream {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not of the form http://host:port; https, h2, h2c and tcp are known too");
        let schemes = ["http://", "https://", "h2://", "h2c://", TCP_SCHEME];
        let rest = schemes.into_iter().find_map(|scheme| text.strip_prefix(scheme));
        let (host, port) = rest.and_then(|r| r.rsplit_once(':')).ok_or_else(bad)?;
        let host_fits =
            host.parse::<Host>().is_ok() || host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok();
        match port.parse::<u16>() {
            Ok(1..) if host_fits => Ok(Self(text.to_owned())),
            _ => Err(bad()),
        }
    }
}

struct Verb(String);

impl std::str::FromStr for Verb {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(format!("`{text}` is not a request method")) }
    }
}

struct RoutePath(String);

impl std::str::FromStr for RoutePath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_suffix('*').unwrap_or(text);
        if !text.starts_with('/') || path.contains(['*', '?', '#', ' ']) {
            return Err(format!("`{text}` is not a path; begin with /, and use * at the end only"));
        }
        if is_canonical(path) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is no canonical path, so no request would ever be on this route; write it without //, dot \
                 segments and encoded letters, and encodings in upper case, as in %2F"
            ))
        }
    }
}

/// Whether a path is spelled as the gateway spells it.
fn is_canonical(path: &str) -> bool {
    let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    let encoded = path.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2).filter(|d| d.iter().all(|b| upper(*b)));
        let byte = digits.and_then(|_| u8::from_str_radix(&rest[..2], 16).ok());
        byte.is_some_and(|b| !b.is_ascii_alphanumeric() && !b"-._~\0".contains(&b))
    });
    let plain = path.bytes().all(|b| matches!(b, 0x21..=0x7e) && !b"\"<>\\^`{|}".contains(&b));
    let segments = path.split('/').all(|segment| !matches!(segment, "." | ".."));
    encoded && plain && segments && !path.contains("//")
}

fn grant(mut t: Table<'_>, faults: &mut Faults) -> Option<Written<Grant>> {
    let id = t.required("id", "give the grant an id", faults);
    let person = t.parsed::<PersonId>("person", "name a person by id", faults);
    let group = t.parsed::<GroupId>("group", "name a group by id", faults);
    let app = t.required("application", "name an application by id", faults);
    let purpose = t.required("purpose", "say what it is for", faults);
    let ticket = t.parsed("ticket", "", faults);
    let from = t.instant("from", faults);
    let until = t.instant("until", faults);
    let by = t.required("by", "say who gave it", faults);
    let at = t.at.clone();
    t.done(faults);
    let to = match (person, group) {
        (Some(p), None) => Some(Grantee::Person(p)),
        (None, Some(g)) => Some(Grantee::Group(g)),
        _ => {
            faults.tell(&at, "[[grant]] needs either `person` or `group`", "name exactly one of the two");
            None
        }
    };
    let (Some(from), Some(until)) = (from, until) else {
        faults.tell(
            &at,
            "[[grant]] needs `from` and `until`",
            "a grant without an end is standing privilege; give both instants",
        );
        return None;
    };
    if until <= from {
        faults.tell(&at, "the grant ends before it begins", "put `until` after `from`");
    }
    Some(Written { at, thing: Grant { id: id?, to: to?, app: app?, purpose: purpose?, ticket, from, until, by: by? } })
}

/// Puts the parts together and looks for names that are taken or point nowhere.
fn assemble(draft: Draft, portal: Option<&Host>, faults: &mut Faults) -> Estate {
    let mut estate = Estate::default();
    let groups = unique(draft.groups, "group", |g| g.id.clone(), faults);
    let people = unique(draft.people, "person", |p| p.id.clone(), faults);
    let assets = unique(draft.assets, "asset", |a| a.id.clone(), faults);
    let mut applications = unique(draft.applications, "application", |a| a.id.clone(), faults);

    let no = |at: &At, what: &str, id: &str, faults: &mut Faults| {
        faults.tell(
            at,
            format!("there is no {what} `{id}`"),
            format!("add a [[{what}]] with this id, or correct the name"),
        );
    };
    for w in groups.values() {
        for parent in w.thing.parents.iter().filter(|p| !groups.contains_key(*p)) {
            no(&w.at, "group", parent.as_str(), faults);
        }
    }
    for w in people.values() {
        for group in w.thing.groups.iter().filter(|g| !groups.contains_key(*g)) {
            no(&w.at, "group", group.as_str(), faults);
        }
    }
    for w in assets.values() {
        for owner in w.thing.owner.iter().filter(|o| !people.contains_key(*o)) {
            no(&w.at, "person", owner.as_str(), faults);
        }
    }
    let mut hosts: BTreeMap<Host, AppId> = BTreeMap::new();
    for w in applications.values_mut() {
        for owner in w.thing.owner.iter().filter(|o| !people.contains_key(*o)) {
            no(&w.at, "person", owner.as_str(), faults);
        }
        for asset in &w.thing.assets {
            match assets.get(asset) {
                None => no(&w.at, "asset", asset.as_str(), faults),
                Some(known) => w.thing.class = w.thing.class.max(known.thing.class),
            }
        }
        for host in &w.thing.hosts {
            if portal == Some(host) {
                faults.tell(
                    &w.at,
                    format!("the host `{host}` is the portal's"),
                    "publish the application under another name",
                );
            } else if let Some(other) = hosts.insert(host.clone(), w.thing.id.clone()) {
                faults.tell(
                    &w.at,
                    format!("the host `{host}` belongs to `{other}` already"),
                    "give each application its own hosts",
                );
            }
        }
        if w.thing.id.as_str() == CONSOLE {
            faults.tell(&w.at, format!("the id `{CONSOLE}` is taken by the console"), "choose another id");
        }
    }
    let mut grant_ids = BTreeSet::new();
    for w in draft.grants {
        let g = &w.thing;
        if !grant_ids.insert(g.id.clone()) {
            faults.tell(&w.at, format!("a grant `{}` exists already", g.id), "give it another id");
        }
        match &g.to {
            Grantee::Person(p) if !people.contains_key(p) => no(&w.at, "person", p.as_str(), faults),
            Grantee::Group(id) if !groups.contains_key(id) => no(&w.at, "group", id.as_str(), faults),
            _ => {}
        }
        if !applications.contains_key(&g.app) && g.app.as_str() != CONSOLE {
            no(&w.at, "application", g.app.as_str(), faults);
        }
        if !people.contains_key(&g.by) {
            no(&w.at, "person", g.by.as_str(), faults);
        }
        if matches!(&g.to, Grantee::Person(p) if *p == g.by) {
            faults.tell(&w.at, "nobody grants to himself (separation of duties)", "let somebody else sign with `by`");
        }
        estate.grants.push(w.thing);
    }
    let sites = unique(draft.sites, "site", |s| s.id.clone(), faults);
    crate::sites::check(&sites, applications.values(), faults);
    estate.sites = sites.into_iter().map(|(k, w)| (k, w.thing)).collect();
    estate.groups = groups.into_iter().map(|(k, w)| (k, w.thing)).collect();
    estate.people = people.into_iter().map(|(k, w)| (k, w.thing)).collect();
    estate.assets = assets.into_iter().map(|(k, w)| (k, w.thing)).collect();
    estate.applications = applications.into_iter().map(|(k, w)| (k, w.thing)).collect();
    if let Some(portal) = portal {
        let console = console(portal.clone());
        estate.applications.insert(console.id.clone(), console);
    }
    estate
}

/// The console as an application, so that its access is decided and recorded like any other.
fn console(portal: Host) -> Application {
    let read = |path: &str| RouteRule {
        methods: ["GET".to_owned()].into(),
        path: path.to_owned(),
        action: Some(Action::Read),
        hardening: None,
    };
    let admin =
        RouteRule { methods: BTreeSet::new(), path: "*".to_owned(), action: Some(Action::Admin), hardening: None };
    Application {
        id: CONSOLE.parse().expect("a fixed id is valid"),
        name: "Safeconduct console".to_owned(),
        hosts: vec![portal],
        upstream: String::new(),
        connector: None,
        mode: Mode::Enforce,
        class: Class::High,
        assets: BTreeSet::new(),
        owner: None,
        routes: vec![read("/*"), admin],
        hardening: Hardening::default(),
    }
}

fn unique<K: Ord + std::fmt::Display, T>(
    written: Vec<Written<T>>,
    what: &str,
    id: impl Fn(&T) -> K,
    faults: &mut Faults,
) -> BTreeMap<K, Written<T>> {
    let mut found: BTreeMap<K, Written<T>> = BTreeMap::new();
    for w in written {
        let key = id(&w.thing);
        if let Some(first) = found.get(&key) {
            let where_first = format!("{}:{}", first.at.file, first.at.line);
            faults.tell(
                &w.at,
                format!("the {what} `{key}` exists already"),
                format!("it stands at {where_first}; keep one of the two"),
            );
        } else {
            found.insert(key, w);
        }
    }
    found
}
