//! A company of three people and three applications, as small as the tests allow.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// The person who administers.
pub const ADMIN: &str = "mira";

/// What differs between the tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Company {
    /// The port of the server; 0 takes any.
    pub port: u16,
    /// The port of the application behind the gateway.
    pub upstream: u16,
    /// The port of an OpenID provider.
    pub provider: Option<u16>,
}

impl Company {
    /// Writes the configuration into a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let provider = self.provider.map(|port| PROVIDER.replace("PORT", &port.to_string())).unwrap_or_default();
        let main = MAIN.replace("PORT", &self.port.to_string()) + &provider;
        let surface = SURFACE.replace("PORT", &self.upstream.to_string());
        for (file, text) in [
            ("safeconduct.toml", main.as_str()),
            ("estate/people.toml", PEOPLE),
            ("estate/surface.toml", &surface),
            ("policies/rules.cedar", RULES),
            ("oidc-secret", "a secret between the provider and the portal\n"),
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
}

const MAIN: &str = r#"organisation = "Harbour Works"
zone = "Europe/Berlin"
purposes = ["audit", "support"]
operators = "operators"

[portal]
host = "portal.harbour.localhost"

[listen]
https = "127.0.0.1:PORT"
"#;

const PROVIDER: &str = r#"
[[oidc]]
id = "corp"
name = "Harbour sign-in"
issuer = "http://127.0.0.1:PORT"
client_id = "safeconduct"
client_secret_file = "oidc-secret"
link = "claim:sub"
allow_http_loopback = true
"#;

const PEOPLE: &str = r#"[[group]]
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
"#;

const SURFACE: &str = r#"[[asset]]
id = "books"
name = "The books"
kind = "data"
class = "high"
owner = "mira"

[[application]]
id = "books"
name = "Books"
hosts = ["books.harbour.localhost"]
upstream = "http://127.0.0.1:PORT"
mode = "enforce"
assets = ["books"]
owner = "mira"

[[application]]
id = "board"
name = "Notice board"
hosts = ["board.harbour.localhost"]
upstream = "http://127.0.0.1:PORT"
mode = "enforce"
class = "low"
owner = "mira"
"#;

const RULES: &str = r#"@id("console-operators")
@owner("mira")
@why("Operate Safeconduct")
permit(principal in Group::"operators", action, resource == Application::"safeconduct")
when { context.auth.phishing_resistant };

@id("board-staff")
@owner("mira")
@why("Read and write notices")
permit(principal in Group::"staff", action in [Action::"read", Action::"write"], resource == Application::"board");

@id("books-audit")
@owner("mira")
@why("Audit of the books")
permit(principal in Group::"staff", action == Action::"read", resource == Application::"books")
when { context has purpose && context.purpose == "audit" };
"#;
