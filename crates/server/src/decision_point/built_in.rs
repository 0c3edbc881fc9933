//! The built-in store: the gateway's own policies, asked about with facts that the caller hands in.
//!
//! A subject is a `person`, a resource an `application`, an action `read`, `write` or `admin`. Groups, grants, the named network
//! and the country come from here; what the caller does not say of sign-in, device and purpose is absent, and absence denies.

use std::collections::BTreeSet;

use safeconduct_model::{
    Action, AppId, Ask, Auth, Check, DeviceFacts, Duration, Method, PersonId, Place, Principal, Reason, RequestId,
    Stated, Timestamp, What, Who, Why,
};
use safeconduct_policy::Verdict;
use safeconduct_policy::engine::Sought;
use safeconduct_policy::store::{Decision, Evaluation, MAX_PAGE, Page, Row, SearchRefused, Seek};
use serde_json::{Map, Value};

use crate::house::{Current, House, new_request_id};
use crate::locks::Somebody;

/// Results of a page where nothing is said.
const PAGE: usize = 100;
/// The most candidates that are decided for one page.
const MAX_LOOKS: usize = 5_000;
/// How long a question lasts.
const MOMENT: Duration = Duration::from_secs(60);

type Object = Map<String, Value>;

/// Decides as the gateway would.
pub(super) fn evaluate(house: &House, current: &Current, asked: &Evaluation, request: &RequestId) -> Decision {
    let now = house.now();
    match ask(house, current, asked, request, now) {
        Err(what) => no(Reason::BadRequest, what),
        Ok(_) if !house.clock.is_reliable() => no(Reason::ClockUnreliable, "the clock cannot be trusted".to_owned()),
        Ok(ask) => match current.snapshot.decide(&ask, now) {
            Verdict::Permit(permit) => Decision {
                permitted: true,
                reason: None,
                for_user: None,
                detail: format!("permitted until {}", permit.until()),
                rules: permit.grounds().rules.iter().map(ToString::to_string).collect(),
            },
            Verdict::Denial(denial) => {
                let failing: Vec<&str> = denial.failing.iter().map(|f| f.words.as_str()).collect();
                let detail = if failing.is_empty() { denial.reason.words().to_owned() } else { failing.join("; ") };
                let rules = denial.grounds.rules.iter().map(ToString::to_string).collect();
                Decision { rules, ..no(denial.reason, detail) }
            }
        },
    }
}

fn no(reason: Reason, detail: String) -> Decision {
    Decision { permitted: false, reason: Some(reason), for_user: None, detail, rules: Vec::new() }
}

/// Everyone, everything or every action for which the question is permitted now.
pub(super) fn search(house: &House, seek: &Seek) -> Result<Page, SearchRefused> {
    let current = house.current();
    let estate = &current.config.estate;
    let revision = current.snapshot.revision().to_string();
    let after = match seek.token.as_deref().filter(|t| !t.is_empty()) {
        None => None,
        Some(token) => match token.split_once('~') {
            Some((was, _)) if was != revision => {
                return Err(SearchRefused::Outdated { was: was.to_owned(), is: revision });
            }
            Some((_, after)) => Some(after),
            None => return Err(SearchRefused::Foreign),
        },
    };
    let ids: Vec<&str> = match seek.sought {
        Sought::Principal if seek.ask.subject.kind == "person" => estate.people.keys().map(PersonId::as_str).collect(),
        Sought::Resource if seek.ask.resource.kind == "application" => {
            estate.applications.keys().map(AppId::as_str).collect()
        }
        Sought::Action => {
            let mut names: Vec<&str> = Action::ALL.iter().map(|a| a.name()).collect();
            names.sort_unstable();
            names
        }
        Sought::Principal | Sought::Resource => Vec::new(),
    };
    let limit = seek.limit.unwrap_or(PAGE).min(MAX_PAGE);
    let mut page = Page::default();
    let mut last = "";
    for (looks, id) in ids.into_iter().filter(|id| after.is_none_or(|after| *id > after)).enumerate() {
        if page.rows.len() == limit || looks == MAX_LOOKS {
            page.next = Some(format!("{revision}~{last}"));
            break;
        }
        last = id;
        let mut asked = seek.ask.clone();
        let side = match seek.sought {
            Sought::Principal => &mut asked.subject.id,
            Sought::Action => &mut asked.action.name,
            Sought::Resource => &mut asked.resource.id,
        };
        id.clone_into(side);
        if evaluate(house, &current, &asked, &new_request_id()).permitted {
            page.rows.push(Row { id: id.to_owned() });
        }
    }
    Ok(page)
}

fn part<'o>(of: &'o Object, name: &str) -> Result<Option<&'o Object>, String> {
    match of.get(name).filter(|v| !v.is_null()) {
        None => Ok(None),
        Some(Value::Object(part)) => Ok(Some(part)),
        Some(_) => Err(format!("`context.{name}` is not an object")),
    }
}

fn flag(of: &Object, path: &str, name: &str) -> Result<bool, String> {
    match of.get(name).filter(|v| !v.is_null()) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("`context.{path}.{name}` is not true or false")),
    }
}

fn text<'o>(of: &'o Object, name: &str) -> Result<Option<&'o str>, String> {
    match of.get(name).filter(|v| !v.is_null()) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`context.{name}` is not a text")),
    }
}

/// The question as the gateway would put it.
fn ask(
    house: &House,
    current: &Current,
    asked: &Evaluation,
    request: &RequestId,
    now: Timestamp,
) -> Result<Ask, String> {
    if asked.subject.kind != "person" {
        return Err(format!("this store knows no subject type `{}`; ask about a `person`", asked.subject.kind));
    }
    if asked.resource.kind != "application" {
        return Err(format!("this store knows no resource type `{}`; ask about an `application`", asked.resource.kind));
    }
    let action = Action::from_name(&asked.action.name)
        .ok_or_else(|| format!("this store knows no action `{}`; ask about read, write or admin", asked.action.name))?;
    let app: AppId = asked.resource.id.parse().map_err(|_| format!("`{}` is no application", asked.resource.id))?;
    let person: PersonId = asked.subject.id.parse().map_err(|_| format!("`{}` is no person", asked.subject.id))?;
    let (settings, estate, context) = (&current.config.settings, &current.config.estate, &asked.context);
    let groups = estate.groups_of(&person).filter(|_| house.is_active(&person));
    let auth = part(context, "auth")?.map(|given| auth(given, now)).transpose()?;
    let stated = text(context, "purpose")?.map(|purpose| stated(purpose, text(context, "ticket"))).transpose()?;
    let ip = part(context, "net")?.map(|net| text(net, "ip")).transpose()?.flatten();
    let ip = ip.ok_or("`context.net.ip` is missing")?;
    let ip: std::net::IpAddr = ip.parse().map_err(|_| "`context.net.ip` is not an address")?;
    let ip = ip.to_canonical();
    let given = part(context, "device")?.map(|given| device(given, settings, now)).transpose()?.flatten();
    let (lock, grant) = match &groups {
        Some(groups) => {
            let device = given.as_ref().map(|d| &d.id);
            let session = auth.as_ref().map(|a| &a.session);
            house.lock_and_grant(current, &Somebody { person: &person, groups, session, device }, &app, now)
        }
        None => (None, None),
    };
    let why = Why { stated, grant };
    let who = match groups {
        Some(groups) => Who { principal: Principal::Person(person), groups, auth },
        None => Who { principal: Principal::Nobody, groups: BTreeSet::new(), auth: None },
    };
    let usual = if action == Action::Read { "GET" } else { "POST" };
    Ok(Ask {
        request: request.clone(),
        who,
        what: What {
            app,
            action,
            method: text(context, "method")?.unwrap_or(usual).to_owned(),
            path: text(context, "path")?.unwrap_or("/").to_owned(),
        },
        place: Place {
            ip,
            network: settings.network_of(ip).map(str::to_owned),
            country: house.country_of(ip),
            device: given,
        },
        why,
        lock,
    })
}

fn stated(purpose: &str, ticket: Result<Option<&str>, String>) -> Result<Stated, String> {
    Ok(Stated { purpose: purpose.to_owned(), ticket: ticket?.map(str::to_owned) })
}

/// A sign-in as the caller vouches for it. An age that is not said is older than any bound.
fn auth(given: &Object, now: Timestamp) -> Result<Auth, String> {
    let mut methods = BTreeSet::from([Method::Oidc]);
    if flag(given, "auth", "mfa")? {
        methods.insert(Method::OidcMfa);
    }
    if flag(given, "auth", "phishing_resistant")? {
        methods.insert(Method::OidcPhishingResistant);
    }
    let at = match given.get("age").filter(|v| !v.is_null()) {
        None => Timestamp::default(),
        Some(age) => now - Duration::from_secs(age.as_u64().ok_or("`context.auth.age` is not a number of seconds")?),
    };
    Ok(Auth { session: "question".parse().expect("a fixed id is valid"), methods, at, until: now + MOMENT })
}

/// A device as the caller vouches for it. Whether it is compliant is worked out from its checks.
fn device(
    given: &Object,
    settings: &safeconduct_config::Settings,
    now: Timestamp,
) -> Result<Option<DeviceFacts>, String> {
    if given.get("known").is_some_and(|known| known != &Value::Bool(true)) {
        return Ok(None);
    }
    let mut passed = BTreeSet::new();
    for check in Check::ALL {
        if flag(given, "device", check.name())? {
            passed.insert(check);
        }
    }
    Ok(Some(DeviceFacts {
        id: "question".parse().expect("a fixed id is valid"),
        managed: flag(given, "device", "managed")?,
        reported: Some(now),
        max_age: settings.report_max_age,
        passed,
        required: settings.required_checks.clone(),
    }))
}
