//! Every fault is told, each with file, line and remedy, and nothing else is.

use safeconduct_config::{Config, Text, Texts, starter};

fn with(file: &str, text: &str) -> Texts {
    let mut files = starter("acme.localhost");
    match files.iter_mut().find(|f| f.file == file) {
        Some(f) => f.text = text.to_owned(),
        None => files.push(Text { file: file.to_owned(), text: text.to_owned() }),
    }
    Texts::from_files(files)
}

fn faults(file: &str, text: &str) -> Vec<String> {
    match Config::check(&with(file, text)) {
        Ok(_) => vec![],
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// The faults of one more estate file.
fn more(text: &str) -> String {
    faults("estate/more.toml", text).join("\n")
}

#[test]
fn all_faults_of_all_files_come_at_once() {
    let mut texts =
        with("estate/more.toml", "[[person]]\nid = \"Bob\"\n\n[[person]]\nid = \"eve\"\ngroups = [\"ghosts\"]\n");
    texts.main.text = texts.main.text.replace("zone = \"Europe/Berlin\"", "zone = \"Europe/Bielefeld\"\nzzone = 1");
    let told: Vec<String> = Config::check(&texts).expect_err("three faults").iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].starts_with("estate/more.toml:2:") && told[0].contains("`Bob` is not a person id"), "{}", told[0]);
    assert!(
        told[1].starts_with("estate/more.toml:4:") && told[1].contains("there is no group `ghosts`"),
        "{}",
        told[1]
    );
    assert!(told[2].contains("no time zone is called `Europe/Bielefeld`"), "{}", told[2]);
    assert!(told[3].contains("no key `zzone`") && told[3].contains("did you mean `zone`?"), "{}", told[3]);
}

#[test]
fn names_that_point_nowhere_are_faults() {
    let app = "[[application]]\nid = \"a\"\nhosts = [\"a.acme.localhost\"]\nupstream = \"http://127.0.0.1:1\"\n";
    assert_eq!(more(app), "");
    assert!(more(&format!("{app}owner = \"ghost\"")).contains("there is no person `ghost`"));
    assert!(more(&format!("{app}assets = [\"ghost\"]")).contains("there is no asset `ghost`"));
    assert!(more("[[asset]]\nid = \"x\"\nowner = \"ghost\"").contains("there is no person `ghost`"));
}

#[test]
fn a_host_belongs_to_one_application() {
    let twice = "[[application]]\nid = \"a\"\nhosts = [\"wiki.acme.localhost\"]\nupstream = \"http://127.0.0.1:1\"";
    assert!(more(twice).contains("belongs to `"), "{}", more(twice));
    let portal = twice.replace("wiki.", "portal.");
    assert!(more(&portal).contains("is the portal's"));
}

#[test]
fn nt_45_nobody_grants_to_himself_and_no_grant_is_for_ever() {
    let grant =
        "[[grant]]\nid = \"g\"\nperson = \"admin\"\napplication = \"wiki\"\npurpose = \"audit\"\nby = \"admin\"\n";
    assert!(more(grant).contains("`from` and `until`"));
    let dated = format!("{grant}from = 2026-01-01T00:00:00Z\nuntil = 2026-02-01T00:00:00Z\n");
    assert!(more(&dated).contains("nobody grants to himself"), "{}", more(&dated));
    let reversed = dated.replace("2026-02", "2025-02");
    assert!(more(&reversed).contains("ends before it begins"));
}

#[test]
fn shapes_are_checked() {
    for (text, told) in [
        (
            "[[application]]\nid = \"a\"\nhosts = [\"A.example\"]\nupstream = \"http://127.0.0.1:1\"",
            "is not a host name",
        ),
        ("[[application]]\nid = \"a\"\nhosts = [\"a.example\"]\nupstream = \"127.0.0.1:1\"", "http://host:port"),
        ("[[application]]\nid = \"a\"\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:0\"", "http://host:port"),
        (
            "[[application]]\nid = \"safeconduct\"\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:1\"",
            "taken by the console",
        ),
        ("[[asset]]\nid = \"a\"\nclass = \"secret\"", "use one of: low"),
        ("[[person]]\nid = 7", "is a whole number, not a text"),
        ("person = 7", "not a list of tables"),
        ("[[person]]\nname = \"x\"", "needs `id`"),
        ("[[person]", "this is not TOML"),
    ] {
        assert!(more(text).contains(told), "{text}\n→ {}", more(text));
    }
}

#[test]
fn a_list_of_trusted_keys_names_at_least_one_and_whole_ones() {
    let key = "2f8d4e07a31acf50d5e38852bd7808aebf95cc9f52d58748b0b056acf9ae0fad";
    let check = |keys: &str| {
        let mut texts = Texts::from_files(starter("acme.localhost"));
        texts.main.text.push_str(&format!("\n[policy]\ntrusted_keys = {keys}\n"));
        Config::check(&texts)
    };
    let config = check(&format!("[\"{key}\"]")).expect("a key");
    assert_eq!(config.settings.trusted_keys[0][..2], [0x2f, 0x8d]);
    for (keys, words) in [
        ("[]".to_owned(), "names no key"),
        (format!("[\"{}\"]", key.to_uppercase()), "64 lower-case hexadecimal digits"),
        (format!("[\"{}\"]", &key[2..]), "64 lower-case hexadecimal digits"),
        ("\"x\"".to_owned(), "not a list"),
    ] {
        let faults = check(&keys).expect_err(&keys);
        assert!(faults[0].to_string().contains(words), "{keys}: {}", faults[0]);
    }
}

#[test]
fn issuers_are_https_unless_loopback_is_allowed() {
    let oidc = |issuer: &str, more: &str| {
        let main =
            starter("acme.localhost").into_iter().find(|f| f.file == "safeconduct.toml").expect("it is there").text;
        let oidc = format!("\n[[oidc]]\nid = \"corp\"\nclient_id = \"x\"\nissuer = \"{issuer}\"\n{more}");
        faults("safeconduct.toml", &(main + &oidc)).join("\n")
    };
    assert_eq!(oidc("https://login.example", ""), "");
    assert!(oidc("http://login.example", "allow_http_loopback = true").contains("must begin with https://"));
    assert!(oidc("http://127.0.0.1:9", "").contains("allow_http_loopback"));
    assert_eq!(oidc("http://127.0.0.1:9", "allow_http_loopback = true"), "");
}

#[test]
fn groups_are_transitive() {
    let texts = with(
        "estate/more.toml",
        "[[group]]\nid = \"a\"\nparents = [\"b\"]\n[[group]]\nid = \"b\"\nparents = [\"a\", \"staff\"]\n\
         [[person]]\nid = \"eve\"\ngroups = [\"a\"]\n",
    );
    let config = Config::check(&texts).expect("a cycle is harmless");
    let groups = config.estate.groups_of(&"eve".parse().expect("id")).expect("eve exists");
    assert_eq!(groups.iter().map(|g| g.as_str()).collect::<Vec<_>>(), ["a", "b", "staff"]);
    assert!(config.estate.groups_of(&"ghost".parse().expect("id")).is_none());
}

#[test]
fn an_application_behind_tunnels_is_told_apart_and_takes_no_rules_for_requests() {
    let app = |more: &str| {
        let head = "[[application]]\nid = \"db\"\nhosts = [\"db.acme.localhost\"]\n";
        faults("estate/more.toml", &format!("{head}{more}")).join("\n")
    };
    assert_eq!(app("upstream = \"tcp://127.0.0.1:5432\"\n"), "");
    let route = "[[application.route]]\npath = \"/\"\naction = \"read\"\n";
    assert_eq!(app(&format!("upstream = \"tcp://127.0.0.1:5432\"\n{route}")), "");
    let told = app(&format!("upstream = \"tcp://127.0.0.1:5432\"\n{}", route.replace("\"/\"", "\"/wiki/*\"")));
    assert!(told.contains("`/wiki/*`") && told.contains("CONNECT"), "{told}");
    let told = app("upstream = \"tcp://127.0.0.1:5432\"\n[application.hardening]\nmerge_slashes = true\n");
    assert!(told.contains("remove [application.hardening]"), "{told}");
    for bad in ["tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://a/b:1", "tls://a:1", "tcp://u@a:1"] {
        assert!(app(&format!("upstream = \"{bad}\"\n")).contains("http://host:port; https, h2, h2c and tcp"), "{bad}");
    }
    let config = Config::check(&with(
        "estate/more.toml",
        "[[application]]\nid = \"db\"\nhosts = [\"db.acme.localhost\"]\nupstream = \"tcp://127.0.0.1:5432\"\n",
    ));
    let estate = config.expect("a configuration").estate;
    let told: Vec<(&str, bool)> = estate.applications.values().map(|a| (a.id.as_str(), a.is_tcp())).collect();
    assert!(told.contains(&("db", true)) && told.iter().filter(|(_, tcp)| *tcp).count() == 1, "{told:?}");
}

#[test]
fn a_route_opts_out_for_itself_and_what_it_does_not_name_is_as_in_the_application() {
    let app = |more: &str| {
        let head =
            "[[application]]\nid = \"git\"\nhosts = [\"git.acme.localhost\"]\nupstream = \"http://127.0.0.1:1\"\n";
        format!("{head}{more}")
    };
    let text = app("[application.hardening]\nmerge_slashes = true\n\n\
         [[application.route]]\npath = \"/api/*\"\nmethods = [\"GET\"]\nhardening = { allow_encoded_slash = true }\n\n\
         [[application.route]]\npath = \"/hooks/*\"\naction = \"write\"\nhardening = { merge_slashes = false }\n\n\
         [[application.route]]\npath = \"/plain\"\naction = \"read\"\n");
    let estate = Config::check(&with("estate/more.toml", &text)).expect("a configuration").estate;
    let git = estate.applications.values().find(|a| a.id.as_str() == "git").expect("it is there");
    let taken = |h: safeconduct_model::Hardening| {
        h.named().into_iter().filter(|(_, taken)| *taken).map(|(name, _)| name).collect::<Vec<_>>()
    };
    let routes: Vec<_> = git.routes.iter().map(|r| (r.action.is_some(), r.hardening.map(taken))).collect();
    let own = Some(vec!["allow_encoded_slash", "merge_slashes"]);
    assert_eq!(
        (taken(git.hardening), routes),
        (vec!["merge_slashes"], vec![(false, own), (true, Some(vec![])), (true, None)])
    );

    let told = |more: &str| faults("estate/more.toml", &app(more)).join("\n");
    let route = |rest: &str| told(&format!("[[application.route]]\npath = \"/a/*\"\n{rest}"));
    assert!(route("").contains("needs `action` or `hardening`"));
    assert!(route("hardening = { allow_slash = true }\n").contains("allow_slash"), "a misspelt opt-out is an error");
    assert!(route("hardening = { merge_slashes = \"yes\" }\n").contains("merge_slashes"));
    for (path, fine) in [
        ("/a/%2Fb*", true),
        ("/a/b.c/.d", true),
        ("/a/%20b", true),
        ("/a%2fb", false),
        ("/%61dmin/*", false),
        ("/a//b", false),
        ("/a/../b", false),
        ("/a/.", false),
        ("/a%", false),
        ("/a%0", false),
        ("/ä", false),
    ] {
        let told = told(&format!("[[application.route]]\npath = \"{path}\"\naction = \"read\"\n"));
        assert_eq!(told.is_empty(), fine, "{path}: {told}");
        assert!(fine || told.contains("canonical"), "{path}: {told}");
    }
    let told = faults(
        "estate/more.toml",
        "[[application]]\nid = \"db\"\nhosts = [\"db.acme.localhost\"]\nupstream = \"tcp://127.0.0.1:5432\"\n\
         [[application.route]]\npath = \"/\"\naction = \"read\"\nhardening = { merge_slashes = true }\n",
    );
    assert!(told.join("\n").contains("the `hardening` of its routes"), "{told:?}");
}

proptest::proptest! {
    /// No text makes the check panic, and what it tells always has a place.
    #[test]
    fn any_text_is_answered(text in "[\\[\\]a-z =\"\n0-9._{}#,]{0,200}") {
        if let Err(faults) = Config::check(&with("estate/more.toml", &text)) {
            proptest::prop_assert!(faults.iter().all(|f| f.line > 0 && !f.what.is_empty()));
        }
    }
}
