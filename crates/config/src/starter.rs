//! What `safeconduct init` writes: a small configuration that works as it is and explains itself.

use crate::reader::Text;

/// The files of a new configuration for an organisation below `domain`.
#[must_use]
pub fn starter(domain: &str) -> Vec<Text> {
    let files = [
        ("safeconduct.toml", MAIN),
        ("estate/people.toml", PEOPLE),
        ("estate/surface.toml", SURFACE),
        ("policies/console.cedar", CONSOLE),
        ("policies/wiki.cedar", WIKI),
        ("policies/tests/starter.toml", TESTS),
    ];
    files.map(|(file, text)| Text { file: file.to_owned(), text: text.replace("DOMAIN", domain) }).into()
}

const MAIN: &str = r#"# Safeconduct. Unknown keys are errors; `safeconduct config check` tells all faults at once.

organisation = "My organisation"
zone = "Europe/Berlin"            # hours and weekdays in policies are meant in this time zone
data = "data"                     # keys, ledger and state; keep it on a local disk and out of Git
purposes = ["support", "maintenance", "audit"]   # what people may state when a rule asks why
operators = "operators"           # the group of the first administrator

[portal]
host = "portal.DOMAIN"            # sign-in, console, and everybody's own page

[listen]
https = "127.0.0.1:8443"          # a local authority issues the certificates; see data/ca.pem
health = "127.0.0.1:9443"         # GET /healthz, for probes only
# plain = "127.0.0.1:8080"        # plain HTTP for programs on this machine; loopback addresses only

# [tls]                           # your own certificate instead of the local authority
# certificate = "tls/chain.pem"
# key = "tls/key.pem"

[sessions]
absolute = "12h"                  # a session ends this long after its sign-in
idle = "1h"                       # and this long after its last request

[devices]
report_max_age = "24h"            # an older posture report does not count
required = ["disk_encrypted", "endpoint_protection", "os_current"]

# [[network]]
# name = "office"
# ranges = ["10.1.0.0/16"]

# [[oidc]]                        # redirect URI: https://portal.DOMAIN/sign-in/oidc/corp/callback
# id = "corp"
# name = "Corporate sign-in"
# issuer = "https://login.example.com"
# client_id = "safeconduct"
# client_secret_file = "oidc-secret"
# link = "email"                  # or "claim:preferred_username", or "never"
"#;

const PEOPLE: &str = r#"# Who there is. The first administrator signs in by the link that the first start prints.

[[group]]
id = "staff"
name = "Everybody"

[[group]]
id = "operators"
name = "Operators of Safeconduct"
parents = ["staff"]

[[person]]
id = "admin"
name = "First administrator"
groups = ["operators"]
"#;

const SURFACE: &str = r#"# What may not be lost, and through which application it is reached.

[[asset]]
id = "handbook"
name = "The handbook"
kind = "data"
class = "moderate"                # low, moderate, high, critical (critical: no access without a durable record)
owner = "admin"

[[application]]
id = "wiki"
name = "Wiki"
hosts = ["wiki.DOMAIN"]
upstream = "http://127.0.0.1:8080"
mode = "observe"                  # record what policy would say; "enforce" makes it bind
assets = ["handbook"]
owner = "admin"
"#;

const CONSOLE: &str = r#"// Who may operate Safeconduct itself. Lock yourself out and only the command line lets you in again.

@id("console-operators")
@owner("admin")
@why("Operate Safeconduct")
permit(principal in Group::"operators", action, resource == Application::"safeconduct")
when { context.auth.mfa };
"#;

const WIKI: &str = r#"// One rule to begin with. `safeconduct policy propose wiki` writes better ones from observed use.

@id("wiki-staff")
@owner("admin")
@why("Daily work")
permit(principal in Group::"staff", action in [Action::"read", Action::"write"], resource == Application::"wiki")
when { context.auth.mfa };
"#;

const TESTS: &str = r#"# Asserted before any policy may serve.

[[test]]
name = "an operator with a passkey operates the console"
who = "admin"
methods = ["passkey"]
app = "safeconduct"
action = "admin"
at = "2026-09-30T10:00:00Z"
expect = "permit"

[[test]]
name = "a password alone does not"
who = "admin"
methods = ["password"]
app = "safeconduct"
action = "admin"
at = "2026-09-30T10:00:00Z"
expect = "deny"
reason = "step_up_required"

[[test]]
name = "nobody reads the wiki without signing in"
who = "admin"
app = "wiki"
at = "2026-09-30T10:00:00Z"
expect = "deny"
reason = "sign_in_required"
"#;
