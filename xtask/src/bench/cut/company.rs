//! A company in which each person's permit rests on a fact of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::triggers::{CHANGED_HOST, FAR_MS, Trigger, people};
use crate::bench::gateway::company::PORTAL;
use crate::bench::gateway::contestant::HOST;

/// Whose permit stays.
pub(crate) const STAYING: &str = "stay";

/// Writes the company.
pub(crate) fn write(folder: &Path, https: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder.join("policies/tests"))?;
    fs::create_dir_all(folder.join("estate"))?;
    let put = |file: &str, text: String| fs::write(folder.join(file), text);
    put("safeconduct.toml", SETTINGS.replace("HTTPS", &https.to_string()).replace("PORTAL", PORTAL))?;
    put("policies/rules.cedar", RULES.to_owned())?;
    let upstream = upstream.to_string();
    put("estate/surface.toml", SURFACE.replace("HOST", HOST).replace("UPSTREAM", &upstream))?;
    let mut others = PEOPLE.to_owned();
    for trigger in Trigger::ALL {
        let (file, text) = trigger.file(FAR_MS);
        put(file, text)?;
        if !matches!(trigger, Trigger::LeftGroup | Trigger::Deactivated) {
            others.push_str(&people(trigger.person(), ""));
        }
    }
    // A rule of the group that is left, and of the person who is deactivated.
    put("policies/moving.cedar", MOVING.to_owned())?;
    put("estate/changed.toml", CHANGED.replace("HOST", CHANGED_HOST).replace("UPSTREAM", &upstream))?;
    put("estate/people.toml", others)?;
    Ok(())
}

const SETTINGS: &str = r#"organisation = "Bench Works"
zone = "Europe/Berlin"
operators = "operators"
purposes = ["support"]

[portal]
host = "PORTAL"

[limits]
connections = 60000

[listen]
https = "HTTPS"
"#;

const RULES: &str = r#"@id("console-operators")
@owner("mira")
@why("Operate Safeconduct")
permit(principal in Group::"operators", action, resource == Application::"safeconduct");

@id("staying")
@owner("mira")
@why("Daily work")
permit(principal in Group::"staying", action in [Action::"read", Action::"write"], resource == Application::"app");

@id("granted")
@owner("mira")
@why("For as long as it is granted")
permit(principal, action in [Action::"read", Action::"write"], resource == Application::"app")
when { context.granted };
"#;

const MOVING: &str = r#"@id("moving")
@owner("mira")
@why("Daily work")
permit(principal in Group::"moving", action in [Action::"read", Action::"write"], resource == Application::"app");

@id("p-person")
@owner("mira")
@why("Daily work")
permit(principal == Person::"p-person", action in [Action::"read", Action::"write"], resource == Application::"app");
"#;

const PEOPLE: &str = r#"[[group]]
id = "operators"

[[group]]
id = "staying"

[[group]]
id = "moving"

[[person]]
id = "mira"
groups = ["operators"]

[[person]]
id = "stay"
groups = ["staying"]

"#;

const SURFACE: &str = r#"[[application]]
id = "app"
hosts = ["HOST"]
upstream = "http://UPSTREAM"
mode = "enforce"
owner = "mira"
"#;

const CHANGED: &str = r#"[[application]]
id = "changed"
hosts = ["HOST"]
upstream = "http://UPSTREAM"
mode = "observe"
owner = "mira"
"#;
