//! The index against a list that is scanned.

use proptest::prelude::*;

use super::*;

fn interests(
    session: u8,
    person: u8,
    device: Option<u8>,
    groups: Vec<u8>,
    app: u8,
    grant: Option<u8>,
    until: i64,
) -> Interests {
    Interests {
        session: Some(format!("s{session}").parse().unwrap()),
        person: Some(format!("p{person}").parse().unwrap()),
        device: device.map(|d| format!("d{d}").parse().unwrap()),
        groups: groups.into_iter().map(|g| format!("g{g}").parse().unwrap()).collect(),
        app: format!("a{app}").parse().unwrap(),
        grant: grant.map(|g| format!("w{g}").parse().unwrap()),
        until: Timestamp::from_millis(until),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Register(Interests),
    Remove(usize),
    Extend(usize, Interests),
    Ask(Signal),
    Due(i64),
}

fn any_interests() -> impl Strategy<Value = Interests> {
    let few = 0u8..3;
    let groups = proptest::collection::vec(0u8..3, 0..3);
    (
        few.clone(),
        few.clone(),
        proptest::option::of(few.clone()),
        groups,
        few.clone(),
        proptest::option::of(few),
        0i64..20,
    )
        .prop_map(|(s, p, d, g, a, w, u)| interests(s, p, d, g, a, w, u))
}

fn any_signal() -> impl Strategy<Value = Signal> {
    let of = |letter: &'static str| (0u8..4).prop_map(move |n| format!("{letter}{n}"));
    prop_oneof![
        of("s").prop_map(|t| Signal::SessionEnded(t.parse().unwrap())),
        of("p").prop_map(|t| Signal::PersonChanged(t.parse().unwrap())),
        of("d").prop_map(|t| Signal::DeviceChanged(t.parse().unwrap())),
        of("g").prop_map(|t| Signal::GroupChanged(t.parse().unwrap())),
        of("w").prop_map(|t| Signal::GrantChanged(t.parse().unwrap())),
        of("a").prop_map(|t| Signal::AppChanged(t.parse().unwrap())),
        Just(Signal::PolicyPublished),
        Just(Signal::Everything),
        prop::sample::select(vec!["person p", "device d", "group g", "session s", "grant w", "application a"])
            .prop_flat_map(|what| (Just(what), 0u8..4))
            .prop_map(|(what, n)| {
                let (kind, letter) = what.split_once(' ').unwrap();
                Signal::Locked(LockTarget::of(kind, &format!("{letter}{n}")).unwrap())
            }),
        Just(Signal::Locked(LockTarget::of("site", "here").unwrap())),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_interests().prop_map(Step::Register),
        1 => (0usize..12).prop_map(Step::Remove),
        1 => (0usize..12, any_interests()).prop_map(|(n, i)| Step::Extend(n, i)),
        3 => any_signal().prop_map(Step::Ask),
        1 => (0i64..22).prop_map(Step::Due),
    ]
}

fn touches(signal: &Signal, i: &Interests) -> bool {
    match signal {
        Signal::SessionEnded(id) => i.session.as_ref() == Some(id),
        Signal::PersonChanged(id) => i.person.as_ref() == Some(id),
        Signal::DeviceChanged(id) => i.device.as_ref() == Some(id),
        Signal::GroupChanged(id) => i.groups.contains(id),
        Signal::GrantChanged(id) => i.grant.as_ref() == Some(id),
        Signal::AppChanged(id) => i.app == *id,
        Signal::Locked(LockTarget::Session(id)) => i.session.as_ref() == Some(id),
        Signal::Locked(LockTarget::Person(id)) => i.person.as_ref() == Some(id),
        Signal::Locked(LockTarget::Device(id)) => i.device.as_ref() == Some(id),
        Signal::Locked(LockTarget::Group(id)) => i.groups.contains(id),
        Signal::Locked(LockTarget::Grant(id)) => i.grant.as_ref() == Some(id),
        Signal::Locked(LockTarget::Application(id)) => i.app == *id,
        Signal::Locked(_) | Signal::PolicyPublished | Signal::Everything => true,
    }
}

proptest! {
    #[test]
    fn the_index_answers_as_a_scan_does(steps in proptest::collection::vec(any_step(), 0..60)) {
        let mut index = Leases::new();
        let mut list: Vec<(LeaseId, Interests)> = Vec::new();
        for step in steps {
            match step {
                Step::Register(i) => list.push((index.register(i.clone()), i)),
                Step::Remove(n) if n < list.len() => {
                    let (id, i) = list.remove(n);
                    prop_assert_eq!(index.remove(id), Some(i));
                    prop_assert_eq!(index.remove(id), None);
                }
                Step::Extend(n, i) if n < list.len() => {
                    list[n].1 = i.clone();
                    prop_assert!(index.extend(list[n].0, i));
                }
                Step::Remove(n) | Step::Extend(n, _) => {
                    prop_assert!(!index.extend(LeaseId(1_000 + n as u64), interests(0, 0, None, vec![], 0, None, 0)));
                }
                Step::Ask(signal) => {
                    let scan: Vec<_> = list.iter().filter(|(_, i)| touches(&signal, i)).map(|(id, _)| *id).collect();
                    prop_assert_eq!(index.affected(&signal), scan);
                }
                Step::Due(now) => {
                    let now = Timestamp::from_millis(now);
                    let mut scan: Vec<_> = list.iter().filter(|(_, i)| i.until <= now).map(|(id, i)| (i.until, *id)).collect();
                    scan.sort();
                    prop_assert_eq!(index.due(now), scan.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
                    prop_assert_eq!(index.next_due(), list.iter().map(|(_, i)| i.until).min());
                }
            }
            prop_assert_eq!(index.len(), list.len());
        }
    }
}

#[test]
fn an_empty_index_keeps_nothing_behind() {
    let mut index = Leases::new();
    let id = index.register(interests(1, 1, Some(1), vec![1, 2], 1, Some(1), 5));
    index.remove(id);
    assert!(
        index.is_empty() && index.by_group.0.is_empty() && index.by_session.0.is_empty() && index.by_end.is_empty()
    );
}

#[test]
fn an_id_never_comes_back() {
    let mut index = Leases::new();
    let first = index.register(interests(1, 1, None, vec![], 1, None, 5));
    index.remove(first);
    assert_ne!(index.register(interests(1, 1, None, vec![], 1, None, 5)), first);
}
