//! The upstream and the other proxies, each on one thread, keeping connections alive on both sides.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::contestant::{Contestant, Size, Who};
use super::process::{Cores, Running, find, free_port, pinned};

/// Where everything lies that a run writes.
pub(crate) struct Place {
    pub folder: PathBuf,
    pub cores: Cores,
}

/// The ports of one that speaks everything.
struct Ports {
    plain: SocketAddr,
    plain2: SocketAddr,
    tls: SocketAddr,
}

impl Ports {
    fn any() -> Result<Self> {
        Ok(Self { plain: free_port()?, plain2: free_port()?, tls: free_port()? })
    }

    fn put(&self, text: &str) -> String {
        let text = text.replace("PLAIN2", &self.plain2.port().to_string());
        text.replace("PLAIN", &self.plain.port().to_string()).replace("TLSPORT", &self.tls.port().to_string())
    }
}

impl Place {
    fn papers(&self) -> PathBuf {
        self.folder.join("papers")
    }

    fn put(&self, text: &str) -> String {
        text.replace("PAPERS", &self.papers().display().to_string())
            .replace("FOLDER", &self.folder.display().to_string())
    }

    fn contestant(&self, who: Who, running: Running, ports: &Ports, credentials: Vec<(String, String)>) -> Contestant {
        Contestant {
            who,
            running,
            plain: Some(ports.plain),
            plain2: Some(ports.plain2),
            tls: ports.tls,
            ca: self.papers().join("ca.pem"),
            credentials,
        }
    }
}

/// The upstream, which is also the contestant without a proxy.
pub(crate) fn upstream(place: &Place) -> Result<Contestant> {
    let ports = Ports::any()?;
    fs::write(place.folder.join("64k"), "x".repeat(Size::Large.bytes()))?;
    let servers = UPSTREAM.replace("SMALL", &"x".repeat(Size::Small.bytes()));
    let running = nginx(place, "upstream", &ports, &servers, place.cores.others.as_deref())?;
    Ok(place.contestant(Who::Direct, running, &ports, session()))
}

/// nginx as a bare proxy: nobody is identified, nothing is decided or recorded.
pub(crate) fn nginx_proxy(place: &Place, upstream: SocketAddr) -> Result<Contestant> {
    let ports = Ports::any()?;
    let servers = PROXY.replace("UPSTREAM", &upstream.to_string());
    let running = nginx(place, "nginx", &ports, &servers, place.cores.proxy.as_deref())?;
    Ok(place.contestant(Who::Nginx, running, &ports, session()))
}

fn nginx(place: &Place, name: &str, ports: &Ports, servers: &str, cores: Option<&str>) -> Result<Running> {
    let text = NGINX.replace("SERVERS", servers).replace("LISTEN", NGINX_LISTEN).replace("NAME", name);
    let file = place.folder.join(format!("{name}.conf"));
    fs::write(&file, place.put(&ports.put(&text)))?;
    let program = find("nginx").context("nginx is not installed; `cargo xtask bench gateway --install` does that")?;
    let mut command = pinned(cores, &program);
    command.arg("-p").arg(&place.folder).arg("-c").arg(&file);
    let mut running = Running::start(name, &mut command, &place.folder.join(format!("{name}.log")))?;
    running.serves(ports.tls)?;
    Ok(running)
}

/// `HAProxy` as a bare proxy.
pub(crate) fn haproxy(place: &Place, upstream: SocketAddr) -> Result<Contestant> {
    let ports = Ports::any()?;
    let file = place.folder.join("haproxy.cfg");
    fs::write(&file, place.put(&ports.put(HAPROXY)).replace("UPSTREAM", &upstream.to_string()))?;
    let program =
        find("haproxy").context("haproxy is not installed; `cargo xtask bench gateway --install` does that")?;
    let mut command = pinned(place.cores.proxy.as_deref(), &program);
    command.arg("-db").arg("-f").arg(&file);
    let mut running = Running::start("haproxy", &mut command, &place.folder.join("haproxy.log"))?;
    running.serves(ports.tls)?;
    Ok(place.contestant(Who::Haproxy, running, &ports, session()))
}

/// Envoy, which checks a signed token on every request and then one rule over what the token says.
pub(crate) fn envoy(place: &Place, program: &Path, upstream: SocketAddr) -> Result<Contestant> {
    let mut ports = Ports::any()?;
    ports.plain2 = ports.plain;
    let jwks = fs::read_to_string(place.papers().join("jwks.json")).context("there is no key set")?;
    let token = fs::read_to_string(place.papers().join("token")).context("there is no token")?;
    let plain = envoy_listener("plain", ports.plain, "");
    let tls = envoy_listener("tls", ports.tls, ENVOY_TLS);
    let text = ENVOY.replace("LISTENERS", &format!("{plain}{tls}")).replace("JWKS", &jwks);
    let text = text.replace("UPSTREAM_PORT", &upstream.port().to_string());
    let file = place.folder.join("envoy.yaml");
    fs::write(&file, place.put(&text))?;
    let mut command = pinned(place.cores.proxy.as_deref(), program);
    command.arg("-c").arg(&file).args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]);
    let mut running = Running::start("envoy", &mut command, &place.folder.join("envoy.log"))?;
    running.serves(ports.tls)?;
    let mut credentials = session();
    credentials.push(("authorization".to_owned(), format!("Bearer {token}")));
    Ok(place.contestant(Who::Envoy, running, &ports, credentials))
}

fn envoy_listener(name: &str, at: SocketAddr, transport: &str) -> String {
    let text = ENVOY_LISTENER.replace("NAME", name).replace("NUMBER", &at.port().to_string());
    text.replace("      TLSHERE\n", transport)
}

/// A cookie as long as ours, for those who do not look at it.
fn session() -> Vec<(String, String)> {
    vec![("cookie".to_owned(), format!("theme=dark; session={}", "0".repeat(54)))]
}

const NGINX: &str = r#"daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid FOLDER/NAME.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  default_type text/plain;
  server_tokens off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path FOLDER/NAME-body;
  proxy_temp_path FOLDER/NAME-proxy;
  fastcgi_temp_path FOLDER/NAME-fastcgi;
  uwsgi_temp_path FOLDER/NAME-uwsgi;
  scgi_temp_path FOLDER/NAME-scgi;
  ssl_certificate PAPERS/certificate.pem;
  ssl_certificate_key PAPERS/key.pem;
  ssl_protocols TLSv1.3;
SERVERS}
"#;

const NGINX_LISTEN: &str = "    listen 127.0.0.1:PLAIN;
    listen 127.0.0.1:PLAIN2 http2;
    listen 127.0.0.1:TLSPORT ssl http2;
";

/// It reads the head of a request at once, whichever proxy wrote it: of the kilobyte that it has for one by default, those that
/// tell the application who asks make two reads, and the upstream shares its core with the load.
const UPSTREAM: &str = r#"  client_header_buffer_size 8k;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16 inactive=1h;
  open_file_cache_valid 1h;
  server {
LISTEN    root FOLDER;
    location = /1k { return 200 "SMALL"; }
    location = /64k { }
  }
"#;

const PROXY: &str = r#"  proxy_http_version 1.1;
  proxy_buffer_size 16k;
  proxy_buffers 8 32k;
  proxy_busy_buffers_size 64k;
  proxy_max_temp_file_size 0;
  upstream behind { server UPSTREAM; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h; }
  server {
LISTEN    location / { proxy_pass http://behind; proxy_set_header Connection ""; proxy_set_header Host $http_host; }
  }
"#;

const HAPROXY: &str = "global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
frontend in
  bind 127.0.0.1:PLAIN
  bind 127.0.0.1:PLAIN2 proto h2
  bind 127.0.0.1:TLSPORT ssl crt PAPERS/both.pem alpn h2,http/1.1
  default_backend behind
backend behind
  http-reuse always
  server upstream UPSTREAM pool-max-conn 256
";

const ENVOY_LISTENER: &str = r#"  - address: { socket_address: { address: 127.0.0.1, port_value: NUMBER } }
    filter_chains:
    -
      TLSHERE
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: NAME
          codec_type: AUTO
          use_remote_address: true
          normalize_path: true
          route_config:
            virtual_hosts:
            - { name: all, domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: app, timeout: 0s } }] }
          http_filters:
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                bench:
                  issuer: https://issuer.bench.example
                  audiences: [bench]
                  payload_in_metadata: claims
                  local_jwks: { inline_string: 'JWKS' }
              rules: [{ match: { prefix: "/" }, requires: { provider_name: bench } }]
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  readers:
                    permissions: [{ header: { name: ":method", string_match: { exact: GET } } }]
                    principals:
                    - metadata:
                        filter: envoy.filters.http.jwt_authn
                        path: [{ key: claims }, { key: group }]
                        value: { string_match: { exact: readers } }
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
"#;

const ENVOY_TLS: &str = r#"      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_params: { tls_minimum_protocol_version: TLSv1_3 }
            tls_certificates: [{ certificate_chain: { filename: PAPERS/certificate.pem }, private_key: { filename: PAPERS/key.pem } }]
"#;

const ENVOY: &str = r"static_resources:
  listeners:
LISTENERS  clusters:
  - name: app
    circuit_breakers: { thresholds: [{ max_connections: 4096, max_pending_requests: 4096, max_requests: 4096 }] }
    load_assignment: { cluster_name: app, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: UPSTREAM_PORT } } } }] }] }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_places_are_put_in() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let ports = Ports { plain: at(1), plain2: at(2), tls: at(3) };
        let text = ports.put(NGINX_LISTEN);
        assert!(text.contains("1:1;") && text.contains("1:2 http2") && text.contains("1:3 ssl"), "{text}");
        let listener = envoy_listener("tls", at(3), ENVOY_TLS);
        assert!(
            listener.contains("port_value: 3 }")
                && listener.contains("transport_socket")
                && !listener.contains("TLSHERE")
        );
        assert!(!envoy_listener("plain", at(3), "").contains("TLSHERE"));
    }
}
