use super::*;
use crate::session::Lifetimes;

fn at(s: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000) + Duration::from_secs(s)
}

fn pair(n: u8) -> Pair {
    Pair { access: TokenHash::of_access(&[n]), refresh: TokenHash::of_refresh(&[n]) }
}

fn ip() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

fn proof(until: u64) -> Proof {
    let person = "ada".parse().expect("id");
    Proof { person, methods: [Method::Passkey].into(), proven: at(0), until: at(until), stated: BTreeMap::new() }
}

fn begun() -> (Sessions, SessionId) {
    let mut all = Sessions::new(Lifetimes { absolute: Duration::from_hours(12), idle: Duration::from_hours(1) });
    let id: SessionId = "s1".parse().expect("id");
    let made = all.begin_bound(id.clone(), proof(30_000), "key".into(), "laptop".into(), pair(1), ip(), at(10));
    made.expect("there is room");
    (all, id)
}

#[test]
fn nt_24_a_token_without_its_key_opens_nothing() {
    let (mut all, _) = begun();
    let token = pair(1).access;
    assert_eq!(all.by_access(&token, "key", at(11)).map(|s| s.person.as_str().to_owned()), Ok("ada".to_owned()));
    assert_eq!(all.by_access(&token, "thief", at(11)).map(|_| ()), Err(BoundError::OtherKey));
    assert_eq!(all.refresh(&pair(1).refresh, "thief", pair(2), at(11)), Err(BoundError::OtherKey));
    assert!(all.by_access(&token, "key", at(12)).is_ok(), "a thief's try changes nothing");
}

#[test]
fn nt_18_one_kind_of_secret_is_never_another() {
    let (mut all, id) = begun();
    let host = "wiki".parse().expect("host");
    assert!(all.find(&pair(1).access, &host, at(11)).is_none(), "a token is no cookie");
    assert!(all.find(&TokenHash::of(&[1]), &host, at(11)).is_none());
    assert_eq!(all.by_access(&pair(1).refresh, "key", at(11)).map(|_| ()), Err(BoundError::Unknown));
    assert_eq!(all.refresh(&pair(1).access, "key", pair(2), at(11)), Err(BoundError::Unknown));
    let cookie = TokenHash::of(b"cookie");
    let browser: SessionId = "s2".parse().expect("id");
    let begun = all.begin(browser, "ada".parse().expect("id"), [].into(), host, cookie, ip(), at(11));
    begun.expect("there is room");
    assert_eq!(all.by_access(&cookie, "key", at(12)).map(|_| ()), Err(BoundError::Unknown), "a cookie is no token");
    assert!(all.of_key(&id, "key", at(12)).is_some() && all.of_key(&id, "thief", at(12)).is_none());
    assert!(all.of_key(&"s2".parse().expect("id"), "", at(12)).is_none(), "a browser's session has no key");
}

#[test]
fn an_access_token_ends_soon_and_the_next_one_takes_its_place() {
    let (mut all, id) = begun();
    let ends = 10 + ACCESS_LIFE.secs();
    assert!(all.by_access(&pair(1).access, "key", at(ends - 1)).is_ok());
    assert_eq!(all.by_access(&pair(1).access, "key", at(ends)).map(|_| ()), Err(BoundError::Expired));
    all.refresh(&pair(1).refresh, "key", pair(2), at(ends)).expect("it is live");
    assert!(all.by_access(&pair(2).access, "key", at(ends + 1)).is_ok());
    assert_eq!(all.by_access(&pair(1).access, "key", at(ends + 1)).map(|_| ()), Err(BoundError::Unknown));
    assert!(all.end(&id).is_some());
    for token in [pair(1), pair(2)] {
        assert_eq!(all.by_access(&token.access, "key", at(ends + 2)).map(|_| ()), Err(BoundError::Unknown));
        assert_eq!(all.refresh(&token.refresh, "key", pair(3), at(ends + 2)), Err(BoundError::Unknown));
    }
    assert!(all.by_bound.is_empty(), "nothing of an ended session is kept");
}

#[test]
fn a_lost_answer_may_be_asked_for_again_and_later_it_is_a_theft() {
    let (mut all, id) = begun();
    all.refresh(&pair(1).refresh, "key", pair(2), at(20)).expect("first");
    all.refresh(&pair(1).refresh, "key", pair(3), at(40)).expect("the answer was lost");
    assert_eq!(all.refresh(&pair(2).refresh, "key", pair(4), at(41)), Err(BoundError::Unknown), "nobody got that one");
    assert_eq!(all.refresh(&pair(1).refresh, "key", pair(4), at(80)), Err(BoundError::Reused(id)));
}

#[test]
fn a_session_never_outlives_the_proof_that_it_began_with() {
    let (mut all, id) = begun();
    let mut n = 1;
    for s in (600..29_900).step_by(500) {
        all.refresh(&pair(n).refresh, "key", pair(n + 1), at(s)).expect("it is live");
        n += 1;
    }
    assert!(all.get(&id, at(29_999)).is_some());
    assert_eq!(all.by_access(&pair(n).access, "key", at(30_000)).map(|_| ()), Err(BoundError::Unknown));
    assert_eq!(all.refresh(&pair(n).refresh, "key", pair(99), at(30_000)), Err(BoundError::Unknown));
    let late = all.begin_bound("s9".parse().expect("id"), proof(5), "key".into(), String::new(), pair(9), ip(), at(5));
    assert_eq!(late.map(|_| ()), Err(SessionError::Ended));
}

#[test]
fn access_tokens_are_bounded_and_all_come_back_from_the_store() {
    let (mut all, id) = begun();
    for n in 1..20 {
        all.refresh(&pair(n).refresh, "key", pair(n + 1), at(20 + u64::from(n))).expect("it is live");
    }
    let kept = all.get(&id, at(50)).expect("live").clone();
    assert!(all.by_bound.len() <= ACCESS_TOKENS + 2);
    let mut again = Sessions::new(all.lifetimes);
    again.restore(kept.clone());
    assert!(again.by_access(&pair(20).access, "key", at(51)).is_ok());
    assert!(format!("{kept:?}").contains("[redacted]"));
}
