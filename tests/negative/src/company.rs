//! The configuration of the house: an application for each web server, strict and with every opt-out, and a few more.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// The domain of all hosts.
pub const DOMAIN: &str = "neg.localhost";
/// The five stacks.
pub const STACKS: [&str; 5] = ["nginx", "apache", "node", "python", "hyper"];

/// Writes the configuration. `ports` gives the port behind each application by the name of its server.
pub(crate) fn write(folder: &Path, https: u16, health: u16, ports: &dyn Fn(&str) -> u16) -> Result<()> {
    let mut surface = String::new();
    for stack in STACKS {
        surface += &application(stack, ports(stack), "");
        surface += &application(&format!("open-{stack}"), ports(stack), OPEN);
    }
    surface += &application("wild", ports("wild"), "");
    let raw = ports("raw");
    for (name, more) in [("raw", ""), ("other", ""), ("open-raw", OPEN), ("critical", ""), ("routes", ROUTES)] {
        let class = if name == "critical" { "class = \"critical\"\n" } else { "" };
        surface += &application(name, raw, &format!("{class}{more}"));
    }
    for (file, text) in [
        ("safeconduct.toml", MAIN.replace("HEALTH", &health.to_string()).replace("HTTPS", &https.to_string())),
        ("estate/people.toml", PEOPLE.to_owned()),
        ("estate/surface.toml", surface),
        ("policies/rules.cedar", RULES.to_owned()),
        ("oidc-secret", format!("{OIDC_SECRET}\n")),
    ] {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    fs::create_dir_all(folder.join("policies/tests"))?;
    Ok(())
}

fn application(name: &str, port: u16, more: &str) -> String {
    format!(
        "[[application]]\nid = \"{name}\"\nhosts = [\"{name}.{DOMAIN}\"]\nupstream = \"http://127.0.0.1:{port}\"\nmode = \"enforce\"\nowner = \"mira\"\n{more}\n"
    )
}

/// The secret between us and an OpenID provider, which nobody may ever read anywhere.
pub(crate) const OIDC_SECRET: &str = "canary-oidc-6f1d9f0c2b";

const MAIN: &str = r#"organisation = "Harbour Works"
zone = "Europe/Berlin"
operators = "operators"

[portal]
host = "portal.neg.localhost"

[listen]
https = "127.0.0.1:HTTPS"
health = "127.0.0.1:HEALTH"

[[oidc]]
id = "corp"
name = "Harbour sign-in"
issuer = "http://127.0.0.1:9"
client_id = "safeconduct"
client_secret_file = "oidc-secret"
link = "claim:sub"
allow_http_loopback = true
"#;

const OPEN: &str = "[application.hardening]
allow_encoded_slash = true
merge_slashes = true
allow_semicolon = true
drop_underscore_headers = true
";

const ROUTES: &str = r#"
[[application.route]]
methods = ["GET"]
path = "/reports/export"
action = "admin"

[[application.route]]
path = "/reports/*"
action = "read"

[[application.route]]
methods = ["POST", "PUT"]
path = "/search*"
action = "read"

[[application.route]]
path = "/admin*"
action = "admin"

[[application.route]]
path = "/files/secret/*"
action = "admin"

[[application.route]]
methods = ["GET"]
path = "/files/*"
hardening = { allow_encoded_slash = true }
"#;

/// The people as they are at the start; tests take `dora` out of her group and `carl` out of the company.
pub const PEOPLE: &str = r#"[[group]]
id = "staff"

[[group]]
id = "operators"
parents = ["staff"]

[[person]]
id = "mira"
name = "Mira Okafor"
email = "mira@harbour.example"
groups = ["operators"]

[[person]]
id = "ada"
name = "Ada Lindqvist"
email = "ada@harbour.example"
groups = ["staff"]

[[person]]
id = "bob"
name = "Bob Tamm"
email = "bob@harbour.example"
groups = ["staff"]

[[person]]
id = "dora"
name = "Dora Vahtra"
email = "dora@harbour.example"
groups = ["staff"]

[[person]]
id = "carl"
name = "Carl Kask"
groups = ["staff"]

[[person]]
id = "gina"
name = "Gina Rebane"
groups = ["staff"]

[[person]]
id = "hugo"
name = "Hugo Tamme"
groups = ["staff"]

[[person]]
id = "ines"
name = "Ines Kuusk"
groups = ["staff"]

[[person]]
id = "jan"
name = "Jan Lepp"
groups = ["staff"]

[[person]]
id = "kim"
name = "Kim Mets"
groups = ["staff"]

[[person]]
id = "lena"
name = "Lena Oja"
groups = ["staff"]

[[person]]
id = "mona"
name = "Mona Pihl"
groups = ["staff"]

[[person]]
id = "fred"
name = "Fred Saar"
groups = ["staff"]
active = false

[[person]]
id = "eve"
name = "Eve Noor"
email = "eve@harbour.example"
"#;

const RULES: &str = r#"@id("console-operators")
@owner("mira")
@why("Operate Safeconduct")
permit(principal in Group::"operators", action, resource == Application::"safeconduct")
when { context.auth.phishing_resistant };

@id("staff")
@owner("mira")
@why("Daily work")
permit(principal in Group::"staff", action, resource)
unless { resource == Application::"safeconduct" || context.path like "/admin*" };
"#;
