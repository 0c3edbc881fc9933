use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use safeconduct_model::{
    Access, Action, Ask, Auth, Duration, Entry, GroupId, Method, Mode, Outcome, PersonId, Place, Principal, Reason,
    Record, Timestamp, What, Who, Why,
};

use crate::{Asker, Map, Standing, rows, table};

/// One use, as small as a test wants it.
#[derive(Clone, Debug)]
struct Use {
    who: &'static str,
    app: &'static str,
    action: Action,
    minutes: u64,
    yes: bool,
    mode: Mode,
    path: u8,
    again: bool,
}

fn entry(seq: u64, u: &Use) -> Entry {
    let decided = Timestamp::from_millis(1_790_776_800_000) + Duration::from_mins(u.minutes);
    let outcome = if u.yes {
        Outcome::Permit { until: Timestamp::MAX }
    } else {
        Outcome::Deny { reason: Reason::NoRule, failing: vec![], remedies: vec![] }
    };
    let auth = Auth {
        session: format!("s-{}", u.minutes % 50).parse().expect("id"),
        methods: [Method::Passkey].into(),
        at: decided,
        until: Timestamp::MAX,
    };
    let ask = Ask {
        request: format!("r{seq}").parse().expect("id"),
        who: Who {
            principal: Principal::Person(u.who.parse().expect("id")),
            groups: BTreeSet::new(),
            auth: Some(auth),
        },
        what: What {
            app: u.app.parse().expect("id"),
            action: u.action,
            method: "GET".into(),
            path: format!("/p/{}", u.path),
        },
        place: Place { ip: [10, 0, 0, 1].into(), network: Some("office".into()), country: None, device: None },
        why: Why::default(),
        lock: None,
    };
    let access = Access {
        ask,
        decided,
        outcome,
        mode: u.mode,
        revision: 1,
        rules: vec![],
        facts: vec![],
        took_us: 0,
        again: u.again,
        would: None,
    };
    Entry { seq, at: decided, record: Record::Access(Box::new(access)) }
}

fn one(who: &'static str, app: &'static str) -> Use {
    Use { who, app, action: Action::Read, minutes: 0, yes: true, mode: Mode::Enforce, path: 0, again: false }
}

fn entries(uses: &[Use]) -> Vec<Entry> {
    uses.iter().enumerate().map(|(i, u)| entry(i as u64, u)).collect()
}

fn any_use() -> impl Strategy<Value = Use> {
    (
        prop::sample::select(vec!["ada", "bob", "cyd", "dan"]),
        prop::sample::select(vec!["wiki", "bank", "mail"]),
        prop::sample::select(Action::ALL.to_vec()),
        0u64..40_000,
        any::<bool>(),
        prop::sample::select(vec![Mode::Observe, Mode::Enforce]),
        0u8..80,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(who, app, action, minutes, yes, mode, path, again)| Use {
            who,
            app,
            action,
            minutes,
            yes,
            mode,
            path,
            again,
        })
}

fn bounded(entries: &[Entry], bound: usize) -> Map {
    let mut map = Map::with_bound(TimeZone::UTC, bound);
    entries.iter().for_each(|e| map.add(e));
    map
}

proptest! {
    #[test]
    fn parts_merge_to_the_whole_in_any_order(uses in prop::collection::vec(any_use(), 0..120), cut in 0usize..120, bound in 1usize..20) {
        let all = entries(&uses);
        let cut = cut.min(all.len());
        let whole = bounded(&all, bound);
        let mut front = bounded(&all[..cut], bound);
        front.merge(&bounded(&all[cut..], bound));
        prop_assert_eq!(&front, &whole);
        let mut turned = all.clone();
        turned.reverse();
        prop_assert_eq!(&bounded(&turned, bound), &whole);
        prop_assert!(whole.len() <= bound);
    }

    #[test]
    fn folding_into_groups_loses_no_count(uses in prop::collection::vec(any_use(), 0..120)) {
        let map = Map::of(TimeZone::UTC, &entries(&uses));
        let groups = |p: &PersonId| -> BTreeSet<GroupId> {
            let both = ["staff".parse().expect("id"), if p.as_str() < "c" { "early" } else { "late" }.parse().expect("id")];
            both.into()
        };
        let sum = |edges: &[crate::Edge]| edges.iter().fold([0; 4], |[p, d, w, a], e| {
            [p + e.stats.passed, d + e.stats.denied, w + e.stats.would_be_denied, a + e.stats.again]
        });
        prop_assert_eq!(sum(&map.by_group(&groups)), sum(&map.by_person()));
        let naive = uses.iter().filter(|u| !u.again && (u.yes || u.mode == Mode::Observe)).count() as u64;
        prop_assert_eq!(sum(&map.by_person())[0], naive);
    }
}

#[test]
fn a_group_stands_for_its_members_when_most_of_them_use_it() {
    let map = Map::of(
        TimeZone::UTC,
        &entries(&[one("ada", "wiki"), one("bob", "wiki"), one("cyd", "bank"), one("dan", "wiki")]),
    );
    let groups = |p: &PersonId| -> BTreeSet<GroupId> {
        if p.as_str() == "dan" { BTreeSet::new() } else { ["staff".parse().expect("id")].into() }
    };
    let who: Vec<String> = rows(&map.by_group(&groups)).into_iter().map(|r| format!("{} {}", r.who, r.app)).collect();
    assert_eq!(who, ["cyd bank", "staff (2 of 3) wiki", "dan wiki"]);
}

#[test]
fn what_policy_would_deny_is_told_apart_from_what_it_denied() {
    let no = |mode| Use { yes: false, mode, ..one("ada", "wiki") };
    let map = Map::of(TimeZone::UTC, &entries(&[no(Mode::Observe)]));
    let edge = &map.by_person()[0];
    assert_eq!((edge.stats.passed, edge.stats.denied, edge.stats.would_be_denied), (1, 0, 1));
    assert_eq!(edge.stats.standing(), Standing::WouldBeDenied);
    let map = Map::of(TimeZone::UTC, &entries(&[no(Mode::Enforce)]));
    let edge = &map.by_person()[0];
    assert_eq!((edge.stats.passed, edge.stats.denied, edge.stats.standing()), (0, 1, Standing::Denied));
    assert_eq!(edge.who, Asker::One(Principal::Person("ada".parse().expect("id"))));
    assert_eq!(edge.stats.week.words(), "", "a denied attempt is no use");
}

#[test]
fn a_bound_that_was_hit_is_told() {
    let uses: Vec<Use> = (0..40).map(|i| Use { path: i, minutes: u64::from(i), ..one("ada", "wiki") }).collect();
    let mut map = Map::of(TimeZone::UTC, &entries(&uses));
    assert_eq!(map.gaps(), ["1 edges have more paths than are kept", "1 edges have more sessions than are kept"]);
    map.merge(&bounded(&entries(&[one("zoe", "wiki")]), 0));
    assert_eq!(map.gaps()[0], "1 verdicts lie beyond the bound of 50000 edges");
    assert_eq!(map.records(), 41);
}

#[test]
fn the_table_lines_up_and_shows_what_always_held() {
    let text = table(&rows(&Map::of(TimeZone::UTC, &entries(&[one("ada", "wiki"), one("ada", "wiki")])).by_person()));
    assert_eq!(
        text,
        "WHO  APPLICATION  ACTION  PASSED  DENIED  STANDING  HOURS      ALWAYS\n\
         ada  wiki         read    2       0       allowed   Wed 14-15  phishing-resistant sign-in, network office\n"
    );
}

#[test]
fn edges_and_rows_are_json() {
    let map = Map::of(TimeZone::UTC, &entries(&[one("ada", "wiki")]));
    let text = serde_json::to_string(&map.by_person()).expect("edges are JSON");
    assert!(text.contains(r#""paths":{"counts":[{"key":"/p/0","count":1}],"beyond":0}"#), "{text}");
    let text = serde_json::to_string(&rows(&map.by_person())).expect("rows are JSON");
    assert!(
        text.starts_with(r#"[{"who":"ada","group":false,"app":"wiki","action":"read","standing":"allowed","passed":1"#),
        "{text}"
    );
}
