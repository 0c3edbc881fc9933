//! The five boxes of a verdict: who, what, when, where, why, each with its facts, their source and age.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_console::view::{Box5, Link, ReadFact, W};
use safeconduct_model::{
    Access, Application, Auth, Check, DeviceFacts, Failing, GrantFacts, Method, Outcome, Timestamp,
};
use safeconduct_policy::OTHER_NETWORK;

use crate::rooms::links::Naming;

/// The wall clock at an instant: `14:02 on Wednesday, 30 September`.
pub(crate) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    local(at, zone).map_or_else(|| at.to_string(), |z| z.strftime("%H:%M on %A, %-d %B").to_string())
}

fn local(at: Timestamp, zone: &TimeZone) -> Option<jiff::Zoned> {
    Some(jiff::Timestamp::from_millisecond(at.millis()).ok()?.to_zoned(zone.clone()))
}

/// Whether a failing condition speaks of a fact, by the name that policies give it.
pub(crate) fn speaks_of(failing: &Failing, path: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let text = failing.condition.as_str();
    ["context.", "context has "].iter().any(|before| {
        let whole = format!("{before}{path}");
        text.match_indices(&whole).any(|(at, found)| ends(&text[at + found.len()..]))
    })
}

/// The names that policies give to checks.
fn check_path(check: Check) -> String {
    format!("device.{}", check.name())
}

/// What a way to prove an identity is called.
pub(crate) const fn method(method: Method) -> &'static str {
    match method {
        Method::Password => "password",
        Method::Totp => "one-time code",
        Method::Passkey => "passkey",
        Method::Oidc => "identity provider",
        Method::OidcMfa => "identity provider, several factors",
        Method::OidcPhishingResistant => "identity provider, phishing-resistant",
        Method::Certificate => "certificate",
        Method::SetupLink => "one-time link",
    }
}

fn yes(b: bool) -> Option<String> {
    Some(if b { "yes" } else { "no" }.to_owned())
}

/// Facts while they are put together.
struct Facts<'a> {
    /// What the candidate rules read.
    read: BTreeSet<&'a str>,
    failing: &'a [Failing],
    list: Vec<ReadFact>,
}

impl Facts<'_> {
    /// A fact that is always shown.
    fn show(&mut self, path: &str, name: &str, value: Option<String>, source: &str, since: Option<Timestamp>) {
        let fact = ReadFact {
            name: name.to_owned(),
            value,
            source: source.to_owned(),
            since,
            read: self.read.contains(path),
            failed: self.failing.iter().any(|f| speaks_of(f, path)),
        };
        self.list.push(fact);
    }

    /// A fact that is shown where a rule read it.
    fn if_read(&mut self, path: &str, name: &str, value: Option<String>, source: &str, since: Option<Timestamp>) {
        let matters = self.read.contains(path) || self.failing.iter().any(|f| speaks_of(f, path));
        if matters {
            self.show(path, name, value, source, since);
        }
    }

    /// What the scope of a rule names. It is read by every rule that was a candidate.
    fn scope(&mut self, name: &str, value: Option<String>, source: &str, failed: bool) {
        let read = !self.read.is_empty() || !self.failing.is_empty();
        self.list.push(ReadFact { name: name.to_owned(), value, source: source.to_owned(), since: None, read, failed });
    }

    fn into_box(self, w: W, answer: Link) -> Box5 {
        Box5 { w, answer, facts: self.list }
    }
}

/// The five boxes of a recorded verdict.
pub(crate) fn boxes(access: &Access, app: Option<&Application>, zone: &TimeZone, names: &dyn Naming) -> Vec<Box5> {
    let failing: &[Failing] = match &access.outcome {
        Outcome::Permit { .. } => &[],
        Outcome::Deny { failing, .. } => failing,
    };
    let facts = || Facts { read: access.facts.iter().map(String::as_str).collect(), failing, list: Vec::new() };
    vec![
        who(access, names, facts()),
        what(access, app, names, facts()),
        when(access, zone, facts()),
        place(access, names, facts()),
        why(access, facts()),
    ]
}

fn who(access: &Access, names: &dyn Naming, mut facts: Facts<'_>) -> Box5 {
    let who = &access.ask.who;
    let auth = who.auth.as_ref();
    let at = auth.map(|a| a.at);
    let groups: Vec<String> = who.groups.iter().map(|g| names.group(g).text).collect();
    let answer = names.principal(&who.principal);
    facts.scope("identity", auth.map(|_| answer.text.clone()), "session", auth.is_none());
    facts.scope("groups", Some(groups.join(", ")).filter(|g| !g.is_empty()), "configuration", false);
    let methods = auth.map(|a| a.methods.iter().map(|m| method(*m)).collect::<Vec<_>>().join(", "));
    facts.show("auth", "proven by", methods, "session", at);
    facts.if_read("auth.mfa", "two factors", yes(auth.is_some_and(Auth::is_mfa)), "session", at);
    let resists = yes(auth.is_some_and(Auth::is_phishing_resistant));
    facts.if_read("auth.phishing_resistant", "phishing-resistant", resists, "session", at);
    let age = at.map(|at| format!("{} old", access.decided.since(at)));
    facts.if_read("auth.age", "age of the proof", age, "session", at);
    facts.into_box(W::Who, answer)
}

fn what(access: &Access, app: Option<&Application>, names: &dyn Naming, mut facts: Facts<'_>) -> Box5 {
    let what = &access.ask.what;
    let answer = names.app(&what.app);
    let action_failed = facts.failing.iter().any(|f| f.condition.starts_with("action in "));
    facts.scope("application", Some(answer.text.clone()), "host name", false);
    facts.scope("kind of use", Some(what.action.name().to_owned()), "route table or method", action_failed);
    facts.show("method", "method", Some(what.method.clone()), "request", None);
    facts.show("path", "path", Some(what.path.clone()), "request, normalised", None);
    if let Some(app) = app {
        facts.show("resource.class", "class today", Some(app.class.name().to_owned()), "configuration", None);
    }
    let text = format!("{} {}", what.action.name(), answer.text);
    facts.into_box(W::What, Link { text, href: answer.href })
}

fn when(access: &Access, zone: &TimeZone, mut facts: Facts<'_>) -> Box5 {
    let at = access.decided;
    let part = |format: &str| local(at, zone).map(|z| z.strftime(format).to_string());
    let named = zone.iana_name().unwrap_or("the configured zone").to_owned();
    facts.show("time", "instant", Some(at.to_string()), "clock of the server", None);
    facts.show("weekday", "weekday", part("%A"), &named, None);
    facts.show("minute", "time of day", part("%H:%M"), &named, None);
    facts.into_box(W::When, Link::plain(clock(at, zone)))
}

fn place(access: &Access, names: &dyn Naming, mut facts: Facts<'_>) -> Box5 {
    let (place, now) = (&access.ask.place, access.decided);
    let device = place.device.as_ref();
    let network = place.network.clone().unwrap_or_else(|| OTHER_NETWORK.to_owned());
    facts.show("net.ip", "address", Some(place.ip.to_string()), "connection", None);
    facts.show("net.zone", "network", Some(network), "configuration", None);
    facts.if_read("net.country", "country", place.country.clone(), "GeoIP file", None);
    facts.show("device.known", "known device", yes(device.is_some()), "device proof", None);
    let reported = device.and_then(|d| d.reported);
    facts.show("device.managed", "managed", device.and_then(|d| yes(d.managed)), "enrolment", None);
    let compliant = device.and_then(|d| yes(d.is_compliant(now)));
    facts.show("device.compliant", "compliant", compliant, "posture report", reported);
    for check in Check::ALL {
        let passes = |d: &DeviceFacts| yes(d.passes(check, now));
        let name = check.name().replace('_', " ");
        facts.if_read(&check_path(check), &name, device.and_then(passes), "posture report", reported);
    }
    let answer = device.map_or_else(|| Link::plain("no device that proved itself"), |d| names.device(&d.id));
    facts.into_box(W::Where, answer)
}

fn why(access: &Access, mut facts: Facts<'_>) -> Box5 {
    let (why, now) = (&access.ask.why, access.decided);
    let grant: Option<&GrantFacts> = why.live_grant(now);
    let source = match (grant, &why.stated) {
        (Some(grant), _) => format!("grant {}", grant.id),
        (None, Some(_)) => "stated by the person".to_owned(),
        (None, None) => "nothing was stated or granted".to_owned(),
    };
    let since = grant.map(|g| g.from);
    let purpose = why.purpose(now).map(str::to_owned);
    facts.show("purpose", "purpose", purpose.clone(), &source, since);
    facts.show("ticket", "ticket", why.ticket(now).map(str::to_owned), &source, since);
    facts.if_read("granted", "dated grant", yes(grant.is_some()), "configuration", since);
    facts.into_box(W::Why, Link::plain(purpose.unwrap_or_else(|| "no purpose stated".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::links::testing::Few;

    /// Ada reads the ledger in a quarter-end close, from a managed laptop whose endpoint protection is off.
    fn access() -> Access {
        let line = r#"{"decided":1790776920000,"verdict":"deny","reason":"device_not_compliant","mode":"enforce","revision":3,
          "failing":[{"condition":"context.device.endpoint_protection","words":"with current endpoint protection","found":"no"}],
          "facts":["device.endpoint_protection","device.managed","minute","purpose","weekday"],
          "ask":{"request":"r1","who":{"principal":{"person":"ada"},"groups":["finance"],
            "auth":{"session":"s1","methods":["passkey"],"at":1790776000000,"until":1790780520000}},
           "what":{"app":"ledger","action":"read","method":"GET","path":"/q3"},
           "place":{"ip":"10.20.0.7","network":"office","device":{"id":"lt-07","managed":true,"reported":1790776900000,
             "max_age":86400000,"passed":["disk_encrypted"],"required":["endpoint_protection"]}},
           "why":{"stated":{"purpose":"quarter-end-close"}}}}"#;
        serde_json::from_str(line).expect("a record")
    }

    fn fact<'b>(boxes: &'b [Box5], w: W, name: &str) -> &'b ReadFact {
        let of = boxes.iter().find(|b| b.w == w).expect("five boxes");
        of.facts.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("{name} in {of:?}"))
    }

    #[test]
    fn the_five_boxes_come_in_order_and_answer() {
        let boxes = boxes(&access(), None, &TimeZone::get("Europe/Berlin").expect("bundled"), &Few);
        let answers: Vec<(&str, &str)> = boxes.iter().map(|b| (b.w.name(), b.answer.text.as_str())).collect();
        assert_eq!(
            answers,
            [
                ("Who", "Ada Lovelace"),
                ("What", "read The Q3 ledger"),
                ("When", "16:02 on Wednesday, 30 September"),
                ("Where", "Ada's laptop"),
                ("Why", "quarter-end-close"),
            ]
        );
    }

    #[test]
    fn what_was_read_and_what_failed_is_marked_and_nothing_else() {
        let boxes = boxes(&access(), None, &TimeZone::UTC, &Few);
        let failed: Vec<&str> =
            boxes.iter().flat_map(|b| &b.facts).filter(|f| f.failed).map(|f| f.name.as_str()).collect();
        assert_eq!(failed, ["endpoint protection"]);
        let protection = fact(&boxes, W::Where, "endpoint protection");
        assert_eq!(
            (protection.value.as_deref(), protection.read, protection.source.as_str()),
            (Some("no"), true, "posture report")
        );
        assert_eq!(protection.since.map(Timestamp::millis), Some(1_790_776_900_000));
        assert!(fact(&boxes, W::Where, "managed").read && !fact(&boxes, W::Where, "address").read);
        assert!(fact(&boxes, W::When, "time of day").read && !fact(&boxes, W::When, "instant").read);
        assert_eq!(fact(&boxes, W::Why, "ticket").value, None);
    }

    #[test]
    fn a_condition_speaks_of_whole_names_only() {
        let failing =
            |condition: &str| Failing { condition: condition.into(), words: String::new(), found: String::new() };
        assert!(speaks_of(&failing("context.minute >= 480"), "minute"));
        assert!(speaks_of(&failing("context.net.ip.isInRange(ip(\"10.0.0.0/8\"))"), "net.ip"));
        assert!(speaks_of(&failing("context has net.country"), "net.country"));
        assert!(!speaks_of(&failing("context.time_of_day"), "time"));
        assert!(!speaks_of(&failing("context.purpose == \"context\""), "path"));
    }
}
