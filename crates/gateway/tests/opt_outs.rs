//! Opt-outs by route: what one route lets through is refused on every other, and no spelling changes the route.
//! A safe default that cannot be left where an application needs it breaks that application (pomerium#6638).
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{ADA, House, Setup, house, snapshot};
use safeconduct_gateway::Control as _;
use safeconduct_model::{Action, Application, Hardening, RouteRule};

fn route(methods: &[&str], path: &str, action: Option<Action>, hardening: Option<Hardening>) -> RouteRule {
    RouteRule { methods: methods.iter().map(|m| (*m).to_owned()).collect(), path: path.into(), action, hardening }
}

const SLASH: Hardening = Hardening { allow_encoded_slash: true, ..STRICT };
const STRICT: Hardening = Hardening {
    allow_encoded_slash: false,
    merge_slashes: false,
    allow_semicolon: false,
    drop_underscore_headers: false,
};

/// A wiki with an interface whose names hold slashes, and a part of it that is for administrators.
async fn stage(everywhere: Hardening) -> House {
    let house = house(Setup {
        rules: r#"@id("staff") permit(principal in Group::"staff", action in [Action::"read", Action::"write"], resource);"#.into(),
        ..Setup::default()
    })
    .await;
    let mut apps: Vec<Application> = house.control.snapshot().sources().applications.clone();
    let wiki = apps.iter_mut().find(|a| a.id.as_str() == "wiki").unwrap();
    wiki.hardening = everywhere;
    wiki.routes = vec![
        route(&[], "/api/admin/*", Some(Action::Admin), None),
        route(&["GET"], "/api/*", Some(Action::Read), Some(SLASH)),
        route(&["GET"], "/hooks/*", None, Some(Hardening { drop_underscore_headers: true, ..STRICT })),
        route(&[], "/strict/*", None, Some(STRICT)),
    ];
    let rules = house.control.snapshot().sources().policies[0].text.clone();
    house.control.snapshot.store(std::sync::Arc::new(snapshot(2, &rules, apps)));
    house
}

async fn asks(house: &House, method: &str, path: &str, fields: &str) -> u16 {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\n{fields}\r\n");
    house.raw(head).await.status()
}

#[tokio::test]
async fn nt_01_an_encoded_slash_goes_as_data_where_its_route_lets_it_and_nowhere_else() {
    let house = stage(STRICT).await;
    assert_eq!(asks(&house, "GET", "/api/projects/group%2fname", "").await, 200);
    assert_eq!(house.upstream.targets(), ["/api/projects/group%2Fname"], "as it was decided, and not decoded");
    let decided = house.control.verdicts().pop().unwrap();
    assert_eq!((decided.ask.what.path.as_str(), decided.ask.what.action), ("/api/projects/group%2Fname", Action::Read));

    for (method, path) in [
        ("GET", "/wiki/a%2fb"),
        ("POST", "/api/projects/group%2fname"),
        ("GET", "/api%2fprojects"),
        ("GET", "/hooks/a%2fb"),
        ("GET", "/strict/a%2fb"),
    ] {
        assert_eq!(asks(&house, method, path, "").await, 400, "{method} {path}");
        assert_eq!(house.control.refusals().pop().unwrap().detail, "path_encoded_slash", "{method} {path}");
    }
    // A slash that an application would decode leads to the part for administrators: neither route takes it.
    for path in ["/api/admin%2fusers", "/api/%2fadmin%2fusers", "/api/admin%5cusers"] {
        assert_eq!(asks(&house, "GET", path, "").await, 400, "{path}");
        assert_eq!(house.control.refusals().pop().unwrap().detail, "path_of_two_routes", "{path}");
    }
    for path in ["/api/x%2f..%2fadmin", "/api/%2e%2e%2fadmin", "/api/a%252fb"] {
        assert_eq!(asks(&house, "GET", path, "").await, 400, "{path}");
    }
    assert_eq!(asks(&house, "GET", "/api/admin/users", "").await, 403, "the part for administrators is one for policy");
    assert_eq!(house.upstream.targets().len(), 1, "nothing else arrived");
}

#[tokio::test]
async fn an_opt_out_of_the_whole_application_does_not_reach_a_route_that_is_strict() {
    let house = stage(Hardening::OPEN).await;
    assert_eq!(asks(&house, "GET", "/wiki/a%2fb;v=1", "").await, 200);
    assert_eq!(asks(&house, "GET", "/wiki//c", "").await, 200);
    assert_eq!(house.upstream.targets(), ["/wiki/a%2Fb;v=1", "/wiki/c"]);
    for path in ["/strict/a%2fb", "/strict/a;b", "/strict//b", "//strict/b"] {
        assert_eq!(asks(&house, "GET", path, "").await, 400, "{path}");
    }
    // No spelling of a way to a strict route, or to the administrators', comes through as another path.
    for path in ["/%2fstrict/x", "/;/strict/x", "/strict%2fx", "/strict;a/x", "/api%2fadmin/x", "/api;a/admin/x"] {
        assert_eq!(asks(&house, "GET", path, "").await, 400, "{path}");
        assert_eq!(house.control.refusals().pop().unwrap().detail, "path_of_two_routes", "{path}");
    }
    assert_eq!(house.upstream.targets().len(), 2);
}

#[tokio::test]
async fn nt_68_underscores_are_dropped_on_the_route_that_says_so_and_refused_elsewhere() {
    let house = stage(STRICT).await;
    assert_eq!(asks(&house, "GET", "/hooks/push", "x_user: eve\r\n").await, 200);
    assert!(!house.upstream.log().contains("eve"), "{}", house.upstream.log());
    for (method, path) in [("GET", "/wiki"), ("POST", "/hooks/push"), ("GET", "/hooks"), ("GET", "/api/x")] {
        assert_eq!(asks(&house, method, path, "x_user: eve\r\n").await, 400, "{method} {path}");
        assert_eq!(house.control.refusals().pop().unwrap().detail, "underscore_in_name", "{method} {path}");
    }
    assert_eq!(house.upstream.targets().len(), 1);
}
