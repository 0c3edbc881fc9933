//! Applications: what they are, who uses them, what policy says of them.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_config::CONSOLE;
use safeconduct_console::Trouble;
use safeconduct_console::view::{App, AppRow, Fact, Link, OptOut, Share};
use safeconduct_model::{AppId, Application, Host, LockTarget, Mode, PersonId, Principal, Timestamp};

use crate::house::{Current, House};
use crate::rooms::digest::{Digest, day_of};
use crate::rooms::links::{Naming, count};
use crate::rooms::locks;
use crate::rooms::map::{asker, fold, groups_of, usage};
use crate::rooms::today::under_todays_policy;
use crate::rooms::watch::{self, Wanted};
use crate::rooms::{Rooms, WINDOW_DAYS, not_found, window};

/// How many recent verdicts a page of one thing shows.
pub(crate) const RECENT: usize = 20;

/// How an application was used.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppUse {
    /// Everybody who got through.
    pub(crate) people: BTreeSet<PersonId>,
    /// Requests that policy allowed, of all requests of people and workloads that had proven who they are.
    pub(crate) covered: Share,
    /// The last time that somebody got through.
    pub(crate) last: Option<Timestamp>,
}

/// How each application was used since the day `since`. Requests of nobody are sign-ins to come, not use.
pub(crate) fn by_app(digest: &Digest, since: i64) -> BTreeMap<AppId, AppUse> {
    let mut found: BTreeMap<AppId, AppUse> = BTreeMap::new();
    for (key, counts) in digest.uses(since) {
        if key.who == Principal::Nobody {
            continue;
        }
        let app = found.entry(key.app.clone()).or_default();
        app.covered.all += counts.total();
        app.covered.of += counts.allowed;
        if counts.passed() > 0 {
            app.people.extend(key.who.person().cloned());
            app.last = app.last.max(Some(counts.last));
        }
    }
    found
}

/// Where people open an application: its first host, with the port of the portal.
pub(crate) fn address(origin: &str, host: &Host) -> String {
    let rest = origin.strip_prefix("https://").unwrap_or(origin);
    let port = rest.split_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
    format!("https://{host}{port}/")
}

/// Where an application of this house opens.
pub(crate) fn address_of(house: &House, app: &Application) -> String {
    if app.id.as_str() == CONSOLE {
        return format!("{}/console", house.origin);
    }
    app.hosts.first().map_or_else(String::new, |host| address(&house.origin, host))
}

/// A fact of the configuration.
pub(crate) fn configured(name: &str, value: Link) -> Fact {
    Fact { name: name.to_owned(), value, source: "configuration".to_owned(), since: None }
}

fn row(house: &House, current: &Current, app: &Application, used: &AppUse) -> AppRow {
    AppRow {
        id: app.id.clone(),
        name: app.name.clone(),
        address: address_of(house, app),
        mode: app.mode,
        class: app.class,
        owner: app.owner.as_ref().map(|o| house.person(o)),
        rules: count(current.snapshot.rules().iter().filter(|r| r.covers_application(app)).count()),
        people: count(used.people.len()),
        covered: used.covered,
    }
}

/// The list.
pub(crate) async fn apps(rooms: &Rooms) -> Result<Vec<AppRow>, Trouble> {
    let house = &rooms.house;
    let since = day_of(window(house.now(), WINDOW_DAYS));
    let used = under_todays_policy(rooms, rooms.digest(move |digest| by_app(digest, since)).await?).await;
    let (current, nothing) = (house.current(), AppUse::default());
    let of = |app: &Application| row(house, &current, app, used.get(&app.id).unwrap_or(&nothing));
    Ok(current.config.estate.applications.values().map(of).collect())
}

/// What an application opts out of: everywhere, then by route where that differs.
fn opt_outs(app: &Application) -> Vec<OptOut> {
    let everywhere = app.hardening.named();
    let mut found: Vec<OptOut> = Vec::new();
    found.extend(everywhere.iter().filter(|(_, taken)| *taken).map(|(name, taken)| OptOut {
        route: None,
        name,
        taken: *taken,
    }));
    for route in &app.routes {
        let Some(own) = route.hardening else { continue };
        let methods = route.methods.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let at = format!("{methods} {}", route.path);
        let differs = own.named().into_iter().zip(everywhere).filter(|(own, everywhere)| own != everywhere);
        found.extend(differs.map(|((name, taken), _)| OptOut { route: Some(at.trim().to_owned()), name, taken }));
    }
    found
}

/// One application.
pub(crate) async fn app(rooms: &Rooms, id: &AppId) -> Result<App, Trouble> {
    let house = &rooms.house;
    let current = house.current();
    let estate = &current.config.estate;
    let app = estate.applications.get(id).ok_or_else(not_found)?;
    let since = day_of(window(house.now(), WINDOW_DAYS));
    let (wanted, groups) = (id.clone(), groups_of(estate));
    let (used, folded) =
        rooms.digest(move |digest| (by_app(digest, since), fold(digest, since, &groups, |u| u.app == wanted))).await?;
    let used = under_todays_policy(rooms, used).await;
    let wanted = Wanted { app: Some(id.clone()), limit: RECENT, ..Wanted::default() };
    let (verdicts, _) = watch::verdicts(house, &wanted).await?;
    let on_it: BTreeSet<_> =
        watch::live(house).into_iter().filter(|l| l.app == *id).filter_map(|l| l.session).collect();
    let hosts = app.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mode = match app.mode {
        Mode::Observe => "observe: whoever is signed in gets through, and what policy would say is recorded",
        Mode::Enforce => "enforce: policy decides",
    };
    let mut facts = vec![
        configured("hosts", Link::plain(hosts)),
        configured("upstream", Link::plain(app.upstream.clone())),
        configured("mode", Link::plain(mode)),
        configured("class", Link::plain(app.class.name())),
        configured("owner", app.owner.as_ref().map_or_else(|| Link::plain("nobody named"), |o| house.person(o))),
        configured("route table", Link::plain(format!("{} lines", app.routes.len()))),
    ];
    facts.extend(locks::facts(house, &LockTarget::Application(id.clone())));
    if let Some(site) = &app.connector {
        facts.extend(locks::facts(house, &LockTarget::Site(site.clone())));
    }
    let nothing = AppUse::default();
    Ok(App {
        row: row(house, &current, app, used.get(id).unwrap_or(&nothing)),
        facts,
        assets: (app.assets.iter().filter_map(|a| estate.assets.get(a)))
            .map(|a| (house.asset(&a.id), a.class))
            .collect(),
        rules: (current.snapshot.rules().iter().filter(|r| r.covers_application(app)))
            .map(|r| Link::rule(&r.id))
            .collect(),
        opt_outs: opt_outs(app),
        usage: usage(folded.iter().map(|f| (asker(&**house, &f.who).name, f.counts)).collect()),
        sessions: watch::sessions(house, |s| on_it.contains(&s.id)),
        verdicts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::digest::testing::entry;

    #[test]
    fn an_application_opens_at_the_port_of_the_portal() {
        let host: Host = "wiki.example.com".parse().expect("host");
        assert_eq!(address("https://portal.example.com:8443", &host), "https://wiki.example.com:8443/");
        assert_eq!(address("https://portal.example.com", &host), "https://wiki.example.com/");
    }

    #[test]
    fn coverage_counts_what_policy_allowed_of_all_that_was_asked() {
        let mut digest = Digest::default();
        for (seq, who, permit, mode) in
            [(0, "ada", true, "enforce"), (1, "bob", false, "observe"), (2, "eve", false, "enforce")]
        {
            digest.add(&entry(seq, 1_790_000_000_000, who, "wiki", permit, mode));
        }
        let used = &by_app(&digest, 0)[&"wiki".parse().expect("id")];
        assert_eq!(used.covered, Share::new(1, 3));
        assert_eq!(used.people.len(), 2, "the denied one did not use it");
    }
}
