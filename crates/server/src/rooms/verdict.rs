//! The record of one verdict.

use std::sync::Arc;

use safeconduct_console::Trouble;
use safeconduct_console::view::{Again, Answered, Box5, Effect, Lease, Link, Proof, SpokenRule, Verdict, W};
use safeconduct_model::{
    Access, Action, CutCause, Entry, Failing, Mode, Outcome, Reason, Record, Refusal, RuleId, Timestamp,
};
use safeconduct_policy::{Rule, Snapshot};
use safeconduct_store::Entries;

use crate::house::{Current, House};
use crate::rooms::five::{boxes, clock};
use crate::rooms::links::{Naming, answered, named};
use crate::rooms::{not_found, unavailable};

/// The record, decided once more under today's policy if that is asked for.
pub(crate) async fn view(house: &House, seq: u64, again: bool) -> Result<Verdict, Trouble> {
    let entry = house.index.entry(seq).await.map_err(|e| unavailable("The index", &e))?.ok_or_else(not_found)?;
    let (hash, previous) = hashes(house, seq).await?;
    let signed = house.ledger.health().signed;
    let (request, revision, took_us) = match &entry.record {
        Record::Access(a) => (a.ask.request.clone(), a.revision, a.took_us),
        Record::Refusal(r) => (r.request.clone(), 0, 0),
        _ => return Err(not_found()),
    };
    let checkpoint = checkpoint(seq, signed);
    let proof = Proof { seq, request, revision, hash, previous, checkpoint, took_us };
    let current = house.current();
    match &entry.record {
        Record::Access(access) => {
            let ended = ended(house, access).await?;
            Ok(of_access(house, &current, access, proof, ended, again))
        }
        Record::Refusal(refusal) => Ok(of_refusal(house, &current, &entry, refusal, proof)),
        _ => Err(not_found()),
    }
}

/// The hash of a record, and of the one in front.
async fn hashes(house: &House, seq: u64) -> Result<(String, String), Trouble> {
    let ledger = house.ledger_dir();
    let read = tokio::task::spawn_blocking(move || {
        Entries::from_seq(&ledger, seq.saturating_sub(1))?.take(2).collect::<Result<Vec<_>, _>>()
    });
    let lines = read.await.map_err(|e| unavailable("Reading the ledger", &e))?;
    let lines = lines.map_err(|e| unavailable("The ledger", &e))?;
    let of = |wanted: u64| lines.iter().find(|l| l.entry.seq == wanted).map(|l| l.hash.clone());
    let hash = of(seq).ok_or_else(not_found)?;
    let previous = seq.checked_sub(1).and_then(of).unwrap_or_else(|| "none; this is the first record".to_owned());
    Ok((hash, previous))
}

/// The newest checkpoint, where it covers the record.
fn checkpoint(seq: u64, signed: u64) -> Option<String> {
    (seq < signed).then(|| format!("signed; the newest checkpoint covers #0 to #{}", signed - 1))
}

/// When and why the live connection ended that the request opened.
async fn ended(house: &House, access: &Access) -> Result<Option<(Timestamp, CutCause)>, Trouble> {
    let about = house.index.by_request(&access.ask.request).await.map_err(|e| unavailable("The index", &e))?;
    Ok(about.iter().find_map(|entry| match &entry.record {
        Record::Cut(cut) => Some((entry.at, cut.cause)),
        _ => None,
    }))
}

fn of_access(
    house: &House,
    current: &Arc<Current>,
    access: &Access,
    proof: Proof,
    ended: Option<(Timestamp, CutCause)>,
    again: bool,
) -> Verdict {
    let (ask, at) = (&access.ask, access.decided);
    let snapshot = &current.snapshot;
    let zone = snapshot.zone();
    let app = snapshot.application(&ask.what.app).map(AsRef::as_ref);
    let (reason, remedies) = match &access.outcome {
        Outcome::Permit { .. } => (None, vec![]),
        Outcome::Deny { reason, remedies, .. } => (Some(*reason), named(house, remedies.clone())),
    };
    let device = ask.place.device.as_ref().map(|d| {
        let kind = if d.managed { "managed" } else { "unmanaged" };
        let named = house.device(&d.id);
        Link { text: format!("the {kind} device {}", named.text), href: named.href }
    });
    Verdict {
        answered: answered(access.permitted(), access.mode, &ask.who.principal),
        at,
        clock: clock(at, zone),
        who: house.principal(&ask.who.principal),
        action: ask.what.action,
        app: house.app(&ask.what.app),
        request_line: format!("{} {}", ask.what.method, ask.what.path),
        device,
        purpose: ask.why.purpose(at).map(str::to_owned),
        mode: access.mode,
        reason,
        boxes: boxes(access, app, zone, house),
        rules: rules(access, snapshot),
        lock: lock(access),
        remedies,
        lease: lease(house, access, ended),
        proof,
        again: again.then(|| decide_again(access, snapshot)),
    }
}

/// The same question, put to today's policy at the instant of the record.
fn decide_again(access: &Access, snapshot: &Snapshot) -> Again {
    let verdict = snapshot.decide(&access.ask, access.decided);
    Again {
        revision: snapshot.revision(),
        permitted: verdict.policy_permits(),
        reason: verdict.denial().map(|d| d.reason),
        rules: verdict.grounds().rules.iter().map(Link::rule).collect(),
    }
}

/// Whether the rules of `snapshot` are those that answered: the same revision, and they give the same answer again.
fn is_at_hand(access: &Access, snapshot: &Snapshot) -> bool {
    if access.revision != snapshot.revision() {
        return false;
    }
    let verdict = snapshot.decide(&access.ask, access.decided);
    let failing = match &access.outcome {
        Outcome::Permit { .. } => &[][..],
        Outcome::Deny { failing, .. } => failing,
    };
    verdict.policy_permits() == access.permitted()
        && verdict.grounds().rules == access.rules
        && verdict.denial().map_or(&[][..], |d| &d.failing) == failing
}

/// The lock that denied, if one did.
fn lock(access: &Access) -> Option<Link> {
    let lock = access.ask.lock.as_ref().filter(|_| access.reason() == Some(Reason::Locked))?;
    Some(Link::to(format!("{}: {}", lock.on, lock.message), "/console/locks"))
}

/// The rules that spoke; of a denial that none spoke, the rule that came nearest.
fn rules(access: &Access, snapshot: &Snapshot) -> Vec<SpokenRule> {
    if access.reason() == Some(Reason::Locked) {
        return vec![];
    }
    let at_hand = is_at_hand(access, snapshot);
    let text = |rule: Option<&Arc<Rule>>| rule.filter(|_| at_hand).map_or_else(String::new, |r| r.text.clone());
    let failing: &[Failing] = match &access.outcome {
        Outcome::Permit { .. } => &[],
        Outcome::Deny { failing, .. } => failing,
    };
    if !access.rules.is_empty() {
        let spoke = |id: &RuleId| {
            let rule = snapshot.rule(id);
            // What spoke in a permit opens, what spoke in a denial forbids.
            let effect = if access.permitted() { Effect::Permit } else { Effect::Forbid };
            let link = if rule.is_some() { Link::rule(id) } else { Link::plain(id.as_str()) };
            SpokenRule { rule: link, effect, held: true, cedar: text(rule), failing: failing.to_vec() }
        };
        return access.rules.iter().map(spoke).collect();
    }
    if failing.is_empty() {
        return vec![];
    }
    let near = snapshot.rules().iter().find(|r| at_hand && misses(r, access, snapshot, failing));
    let link =
        near.map_or_else(|| Link::plain(format!("a rule of revision {}", access.revision)), |r| Link::rule(&r.id));
    vec![SpokenRule { rule: link, effect: Effect::Permit, held: false, cedar: text(near), failing: failing.to_vec() }]
}

/// Whether a permit speaks of the asker and the application, and holds every condition that failed.
fn misses(rule: &Rule, access: &Access, snapshot: &Snapshot, failing: &[Failing]) -> bool {
    let about = snapshot.application(&access.ask.what.app).is_some_and(|app| rule.covers_application(app));
    let conditions: Vec<String> = rule.when.iter().map(ToString::to_string).collect();
    let lifts: Vec<String> = rule.unless.iter().map(|e| format!("!({e})")).collect();
    let names: Vec<&str> = rule.actions.iter().map(|a| a.name()).collect();
    let action = format!("action in [{}]", names.join(", "));
    let has = |f: &Failing| f.condition == action || conditions.contains(&f.condition) || lifts.contains(&f.condition);
    rule.effect == safeconduct_policy::Effect::Permit
        && about
        && rule.covers_principal(&access.ask)
        && failing.iter().all(has)
}

/// On what a permit rests, until when, how it ended.
fn lease(names: &dyn Naming, access: &Access, ended: Option<(Timestamp, CutCause)>) -> Option<Lease> {
    let Outcome::Permit { until } = access.outcome else { return None };
    let ask = &access.ask;
    let mut rests_on = Vec::new();
    if let Some(auth) = &ask.who.auth {
        rests_on.push(names.session(&auth.session, &ask.who.principal));
    }
    if let Some(device) = ask.place.device.as_ref().filter(|_| access.facts.iter().any(|f| f.starts_with("device."))) {
        let named = names.device(&device.id);
        rests_on.push(Link { text: format!("posture of {}", named.text), href: named.href });
    }
    let reads_why = access.facts.iter().any(|f| matches!(f.as_str(), "purpose" | "ticket" | "granted"));
    if let Some(grant) = ask.why.live_grant(access.decided).filter(|_| reads_why) {
        rests_on.push(Link::plain(format!("grant {} for {}", grant.id, grant.purpose)));
    }
    rests_on.push(Link::to(format!("policy revision {}", access.revision), "/console/policy"));
    Some(Lease { rests_on, until, ended })
}

/// A request that was refused before anybody or anything was known of it.
fn of_refusal(house: &House, current: &Current, entry: &Entry, refusal: &Refusal, proof: Proof) -> Verdict {
    let zone = current.snapshot.zone();
    let app = refusal.app.as_ref();
    let named = app.map_or_else(|| Link::plain("no known host"), |a| house.app(a));
    let when = clock(entry.at, zone);
    let boxed = |w: W, answer: Link| Box5 { w, answer, facts: vec![] };
    let who = Link::plain(format!("a client at {}", refusal.ip));
    Verdict {
        answered: Answered::Refused,
        at: entry.at,
        clock: when.clone(),
        who: who.clone(),
        action: Action::Read,
        app: named.clone(),
        request_line: refusal.detail.clone(),
        device: None,
        purpose: None,
        mode: app.and_then(|a| current.snapshot.application(a)).map_or(Mode::Enforce, |a| a.mode),
        reason: Some(refusal.reason),
        boxes: vec![
            boxed(W::Who, Link::plain("nobody was asked")),
            boxed(W::What, named),
            boxed(W::When, Link::plain(when)),
            boxed(W::Where, Link::plain(refusal.ip.to_string())),
            boxed(W::Why, Link::plain("nothing was stated")),
        ],
        rules: vec![],
        lock: None,
        remedies: vec![],
        lease: None,
        proof,
        again: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::digest::testing::entry;
    use crate::rooms::links::testing::Few;
    use safeconduct_policy::{PolicyText, Sources};

    fn access(permit: bool) -> Access {
        match entry(7, 1_790_776_920_000, "ada", "ledger", permit, "enforce").record {
            Record::Access(access) => *access,
            other => panic!("{other:?}"),
        }
    }

    fn snapshot(text: &str) -> Snapshot {
        let app = serde_json::from_str(
            r#"{"id":"ledger","name":"Ledger","hosts":[],"upstream":"http://127.0.0.1:1","mode":"enforce","class":"high",
                "assets":[],"owner":null,"routes":[],"hardening":{"allow_encoded_slash":false,"merge_slashes":false,
                "allow_semicolon":false,"drop_underscore_headers":false}}"#,
        );
        let policies = vec![PolicyText { file: "policies/x.cedar".into(), text: text.into() }];
        let applications = vec![app.expect("an application")];
        let sources = Sources { policies, applications, assets: vec![], zone: jiff::tz::TimeZone::UTC };
        Snapshot::build(1, sources).unwrap_or_else(|f| panic!("{}", f[0]))
    }

    #[test]
    fn the_text_of_a_rule_is_shown_only_while_it_still_gives_the_same_answer() {
        let same = snapshot("@id(\"r-ledger\") permit(principal, action == Action::\"read\", resource);");
        let shown = rules(&access(true), &same);
        assert_eq!((shown.len(), shown[0].held, shown[0].cedar.is_empty()), (1, true, false));
        let other = snapshot("@id(\"r-other\") permit(principal, action == Action::\"read\", resource);");
        let shown = rules(&access(true), &other);
        assert_eq!(
            (shown[0].rule.text.as_str(), shown[0].rule.href.as_deref(), shown[0].cedar.as_str()),
            ("r-ledger", None, "")
        );
    }

    #[test]
    fn the_nearest_rule_is_the_one_whose_conditions_failed() {
        let now = snapshot(
            "@id(\"far\") permit(principal, action, resource) when { context.granted };\n\
             @id(\"near\") permit(principal, action, resource) when { context.device.managed };",
        );
        let asked = access(true);
        let denied = now.decide(&asked.ask, asked.decided).record(&asked.ask, asked.decided, Mode::Enforce, 9);
        let shown = rules(&denied, &now);
        assert_eq!((shown.len(), shown[0].rule.text.as_str(), shown[0].held), (1, "near", false), "{denied:?}");
        assert!(shown[0].cedar.contains("context.device.managed"));
        let again = decide_again(&denied, &now);
        assert!(!again.permitted && again.reason == denied.reason());
    }

    #[test]
    fn a_permit_names_what_it_rests_on() {
        let lease =
            lease(&Few, &access(true), Some((Timestamp::default(), CutCause::DeviceChanged))).expect("a permit");
        let on: Vec<&str> = lease.rests_on.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(on, ["session s-ada of Ada Lovelace", "policy revision 1"]);
        assert!(lease.ended.is_some());
        assert!(super::lease(&Few, &access(false), None).is_none());
    }

    #[test]
    fn a_checkpoint_is_claimed_only_where_it_reaches() {
        assert_eq!(checkpoint(9, 9), None);
        assert_eq!(checkpoint(8, 9).as_deref(), Some("signed; the newest checkpoint covers #0 to #8"));
    }
}
