//! nginx with `auth_request`, as docs/decision-point.md configures it.

use std::fs;
use std::net::SocketAddr;

use crate::stage::{
    GATEWAY, Stage, WIKI, application, beside, body_of, free_port, header, needed, repository, status, through,
};

#[tokio::test(flavor = "multi_thread")]
async fn nginx_lets_pass_what_is_permitted_and_tells_why_not() {
    let nginx = needed("nginx", &[], "install the Debian package nginx, or run `cargo xtask test`, which does");
    let stage = Stage::put_up().await;
    let (app, at) = (application().await, SocketAddr::from(([127, 0, 0, 1], free_port())));
    let folder = stage.dir.path().join("nginx");
    fs::create_dir_all(&folder).expect("made");
    let place = folder.display().to_string();
    // The documentation is what is tested.
    let doc = fs::read_to_string(repository("docs/decision-point.md")).expect("readable");
    let server = doc.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an nginx block");
    let server = server
        .replace("listen 443 ssl;", &format!("listen {at};"))
        .replace("wiki.example.com", WIKI)
        .replace("http://127.0.0.1:8445", &format!("http://{}", stage.point))
        .replace("http://127.0.0.1:8080", &format!("http://{app}"))
        .replace("$scheme", "https")
        .replace("TOKEN", GATEWAY);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
        .concat();
    let config = format!(
        "daemon off;\npid {place}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n"
    );
    fs::write(folder.join("nginx.conf"), config).expect("written");
    let file = format!("{place}/nginx.conf");
    let _nginx = beside(&nginx, &["-p", &place, "-e", "stderr", "-c", &file], at, &folder.join("log")).await;

    let cookie = stage.cookie().await;
    let get =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: {WIKI}\r\nconnection: close\r\n{more}\r\n");
    let forged = "x-safeconduct-assertion: forged\r\nx-forwarded-for: 1.2.3.4\r\n";
    let yes = through(at, &get("/page?x=1", &format!("cookie: theme=dark; {cookie}\r\n{forged}"))).await;
    assert_eq!(status(&yes), 200, "{yes}");
    let seen = body_of(&yes).to_ascii_lowercase();
    assert!(seen.starts_with("get /page?x=1 ") && !seen.contains("forged"), "{seen}");
    assert!(seen.contains("x-safeconduct-assertion: ey") && seen.contains("cookie: theme=dark\r\n"), "{seen}");
    assert!(!seen.contains("__host-safeconduct"), "the application never sees the secret of the session");

    let no = through(at, &get("/secret/plan", &format!("cookie: {cookie}\r\n"))).await;
    assert_eq!(status(&no), 403, "{no}");
    let person = through(at, &get("/page", "accept: text/html\r\n")).await;
    let to = header(&person, "location").unwrap_or_default();
    assert_eq!(status(&person), 302, "{person}");
    assert!(to.starts_with(&stage.running.house.origin), "{to}");
    let program = through(at, &get("/page", "")).await;
    assert_eq!(status(&program), 401, "{program}");
    let odd = through(at, &get("/a/../secret/plan", &format!("cookie: {cookie}\r\n"))).await;
    assert_ne!(status(&odd), 200, "{odd}");

    let records = stage.accesses("/page");
    assert_eq!(records.iter().map(|a| a.permitted()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(records[0].ask.place.ip.to_string(), "127.0.0.1", "not what the client claimed");
    stage.take_down().await;
}
