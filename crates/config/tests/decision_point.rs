//! `[decision_point]`: what is refused, and what absence means.

use safeconduct_config::{Config, Surface, Text, Texts, starter};

const GOOD: &str = r#"
[decision_point]
listen = "0.0.0.0:8445"
client_ca = "clients/ca.pem"

[decision_point.stores.todo.types]
user = "App::User"

[decision_point.clients.backend]
token_sha256_file = "clients/backend.sha256"
stores = ["todo"]
may = ["evaluate"]

[decision_point.clients.edge]
certificate = "edge.example.com"
may = ["ext_authz", "auth_request"]
"#;

fn texts(more: &str) -> Texts {
    let mut files = starter("acme.localhost");
    files.push(Text { file: "clients/backend.sha256".into(), text: format!("{}  -\n", "ab".repeat(32)) });
    files.push(Text { file: "clients/broken.sha256".into(), text: "abc".into() });
    let mut texts = Texts::from_files(files);
    texts.main.text.push_str(more);
    texts
}

fn told(more: &str) -> String {
    match Config::check(&texts(more)) {
        Ok(_) => String::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn a_decision_point_is_read_whole() {
    let config = Config::check(&texts(GOOD)).expect("no fault");
    let point = config.settings.decision_point.expect("there is one");
    assert_eq!((point.default_store.as_deref(), point.tls), (Some("todo"), true), "the only store is the default");
    assert_eq!(point.stores["todo"].folder.as_deref(), Some("stores/todo"));
    assert_eq!(point.stores["todo"].types["user"], "App::User");
    assert_eq!(point.clients["backend"].token.expect("from the file").bytes(), &[0xab; 32]);
    assert!(point.clients["edge"].may.contains(&Surface::AuthRequest) && point.clients["edge"].stores.is_empty());
    assert!(!format!("{:?}", point.clients).contains("ab"), "a digest does not print");
    assert_eq!(point.ports.into_iter().collect::<Vec<_>>(), [443]);
    assert!(Config::check(&texts("")).expect("no fault").settings.decision_point.is_none());
}

#[test]
fn every_fault_is_told_with_what_to_do() {
    let client = |lines: &str| format!("{GOOD}\n[decision_point.clients.x]\n{lines}\n");
    for (more, wanted) in [
        (GOOD.replace("listen = \"0.0.0.0:8445\"", ""), "[decision_point] needs `listen`"),
        (GOOD.replace("listen", "tls = false\nlisten"), "may listen on loopback only"),
        (GOOD.replace("listen", "url = \"pdp.example.com\"\nlisten"), "`pdp.example.com` is not an origin"),
        (GOOD.replace("listen", "default_store = \"gone\"\nlisten"), "there is no store `gone`"),
        (GOOD.replace("client_ca = \"clients/ca.pem\"", ""), "`certificate` needs the authority"),
        (client("may = [\"evaluate\"]\nstores = [\"todo\"]"), "the client `x` has nothing to prove itself with"),
        (client("certificate = \"x\""), "the client `x` may ask nothing"),
        (client("certificate = \"x\"\nmay = [\"search\"]"), "the client `x` may ask no store"),
        (client("certificate = \"x\"\nmay = [\"search\"]\nstores = [\"gone\"]"), "there is no store `gone`"),
        (client("certificate = \"x\"\nmay = [\"everything\"]"), "`everything` is none of evaluate, search"),
        (client("token_sha256 = \"abc\"\nmay = [\"ext_authz\"]"), "not a SHA-256"),
        (
            client("token_sha256_file = \"clients/gone.sha256\"\nmay = [\"ext_authz\"]"),
            "there is no file `clients/gone.sha256`",
        ),
        (
            client("token_sha256_file = \"clients/broken.sha256\"\nmay = [\"ext_authz\"]"),
            "clients/broken.sha256 is not a SHA-256",
        ),
        (
            client("certificate = \"x\"\nmay = [\"ext_authz\"]\ncolour = 1"),
            "[decision_point.clients.x] has no key `colour`",
        ),
        (format!("{GOOD}\n[decision_point.stores.other]\nfolder = \"../etc\""), "`../etc` is not a folder in `stores`"),
        (format!("{GOOD}\n[decision_point.stores.Other]"), "is not a"),
        (
            format!("{GOOD}\n[decision_point.stores.safeconduct]\nfolder = \"stores/x\""),
            "is built in and has no folder",
        ),
    ] {
        let told = told(&more);
        assert!(told.contains(wanted), "{wanted}\n--\n{told}");
        assert!(told.starts_with("safeconduct.toml:"), "{told}");
    }
}
