//! Listeners, trusted hops and threads: what may be said, and what is refused at start.

use safeconduct_config::{Config, Settings, Texts, starter};

/// The settings with other lines below `[listen]`, and more at the end.
fn with(listen: &str, more: &str) -> Result<Settings, String> {
    let mut texts = Texts::from_files(starter("acme.localhost"));
    texts.main.text = texts.main.text.replace("[listen]\n", &format!("[listen]\n{listen}\n"));
    texts.main.text.push_str(more);
    let told = |faults: Vec<safeconduct_model::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    Config::check(&texts).map(|c| c.settings).map_err(|faults| told(faults).join("\n"))
}

fn refused(listen: &str, more: &str) -> String {
    with(listen, more).map(|_| ()).expect_err(listen)
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    for at in ["127.0.0.1:8080", "[::1]:8080", "127.9.9.9:0"] {
        let settings = with(&format!("plain = \"{at}\""), "").expect(at);
        assert_eq!(settings.listen.plain.map(|a| a.to_string()).as_deref(), Some(at));
    }
    for at in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
        let told = refused(&format!("plain = \"{at}\""), "");
        assert!(told.contains("other machines") && told.contains("loopback"), "{at}: {told}");
    }
    assert_eq!(with("", "").expect("as it is").listen.plain, None, "absence serves no plain HTTP");
}

#[test]
fn nt_04_trusting_everybody_is_refused_at_start_and_an_empty_list_trusts_nobody() {
    for all in ["0.0.0.0/0", "::/0", "::ffff:0:0/96"] {
        let told = refused(&format!("trusted_proxies = [\"10.0.0.0/8\", \"{all}\"]"), "");
        assert!(told.contains("trusts everybody"), "{all}: {told}");
    }
    let none = with("trusted_proxies = []", "").expect("an empty list is a list").listen;
    assert!(!none.trusts([127, 0, 0, 1].into()) && !none.trusts([10, 0, 0, 1].into()));
    let some = with("trusted_proxies = [\"10.0.0.0/8\"]", "").expect("a list").listen;
    assert!(some.trusts([10, 0, 0, 1].into()) && !some.trusts([127, 0, 0, 1].into()));
}

#[test]
fn nt_05_a_proxy_header_that_nobody_may_send_is_refused_at_start() {
    let told = refused("proxy_protocol = true", "");
    assert!(told.contains("trusts nobody"), "{told}");
    let told = refused("proxy_protocol = true\ntrusted_proxies = [\"0.0.0.0/0\"]", "");
    assert!(told.contains("trusts everybody") && !told.contains("trusts nobody"), "one fault is told once: {told}");
    assert!(
        with("proxy_protocol = true\ntrusted_proxies = [\"10.0.0.1/32\"]", "").expect("a hop").listen.proxy_protocol
    );
}

#[test]
fn spans_go_to_this_machine_or_over_tls() {
    let traces = |lines: &str| with("", &format!("\n[traces]\n{lines}\n"));
    let settings = traces("endpoint = \"http://127.0.0.1:4318/v1/traces\"\nevery = 1").expect("loopback");
    assert_eq!(settings.traces.map(|t| t.every), Some(1));
    assert!(traces("endpoint = \"https://collector.example/v1/traces\"").is_ok());
    assert!(traces("endpoint = \"http://collector.example/v1/traces\"").expect_err("plain").contains("https://"));
    assert!(traces("endpoint = \"http://127.0.0.1.evil.example/\"").expect_err("another host").contains("https://"));
    assert!(traces("every = 10").expect_err("nowhere").contains("needs `endpoint`"));
    assert_eq!(with("", "").expect("as it is").traces, None, "off by default");
}

#[test]
fn a_public_authority_is_named_whole_or_not_at_all() {
    let acme = |lines: &str| with("", &format!("\n[acme]\n{lines}\n"));
    let good = "directory = \"https://ca.example/dir\"\ncontact = \"ops@example.com\"\nterms_agreed = true\n\
                hosts = [\"wiki.acme.localhost\"]";
    assert_eq!(acme(good).expect("whole").acme.map(|a| a.hosts.len()), Some(1));
    assert_eq!(with("", "").expect("as it is").acme, None, "absence asks nobody");
    for (from, to, told) in [
        ("true", "false", "terms_agreed = true"),
        ("terms_agreed = true\n", "", "terms_agreed = true"),
        ("https://ca", "http://ca", "must begin with https://"),
        ("ops@example.com", "mailto:ops@example.com", "one e-mail address"),
        ("[\"wiki.acme.localhost\"]", "[]", "1 to 500 hosts"),
        ("wiki.acme.localhost", "localhost", "no public authority vouches"),
        ("wiki.acme.localhost", "192.0.2.7", "no public authority vouches"),
        ("hosts =", "host =", "did you mean `hosts`?"),
    ] {
        let refused = acme(&good.replace(from, to)).expect_err(to);
        assert!(refused.contains(told), "{to}: {refused}");
    }
    let both = "\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    assert!(acme(&format!("{good}{both}")).expect_err("both").contains("remove one of the two"));
}

#[test]
fn threads_are_a_number_within_bounds_and_the_cores_decide_without() {
    assert_eq!(with("", "").expect("as it is").threads, None);
    assert_eq!(with("", "\n[gateway]\nthreads = 256\n").expect("the bound").threads, Some(256));
    for bad in ["0", "257", "-1", "\"4\"", "1.5"] {
        assert!(refused("", &format!("\n[gateway]\nthreads = {bad}\n")).contains("from 1 to 256"), "{bad}");
    }
    assert!(refused("", "\n[gateway]\nthread = 2\n").contains("did you mean `threads`?"));
}
