//! A company in which each person's permit rests on a fact of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::triggers::{CHANGED_HOST, CHANGED_LINES, FAR_MS, LINES, Trigger, people, rule};
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
    let staying = rule("staying", "in Group::\"staying\"", "");
    let granted = rule("granted", "", "\nwhen { context.granted }");
    put("policies/rules.cedar", format!("{CONSOLE}{staying}{granted}"))?;
    put("estate/surface.toml", applications(["app", LINES], HOST, upstream, "enforce"))?;
    let mut others = PEOPLE.to_owned();
    for trigger in Trigger::ALL {
        let (file, text) = trigger.file(FAR_MS);
        put(file, text)?;
        if !matches!(trigger, Trigger::LeftGroup | Trigger::Deactivated) {
            others.push_str(&people(trigger.person(), ""));
        }
    }
    // A rule of the group that is left, and of the person who is deactivated.
    let moving = rule("moving", "in Group::\"moving\"", "");
    put("policies/moving.cedar", moving + &rule("p-person", "== Person::\"p-person\"", ""))?;
    put("estate/changed.toml", applications(["changed", CHANGED_LINES], CHANGED_HOST, upstream, "observe"))?;
    put("estate/people.toml", others)?;
    Ok(())
}

/// The same upstream twice: as an application over HTTP, and as one that tunnels lead to.
fn applications(ids: [&str; 2], host: &str, upstream: SocketAddr, mode: &str) -> String {
    let [web, lines] = ids;
    let application = |id: &str, host: &str, scheme: &str| {
        format!(
            "[[application]]\nid = \"{id}\"\nhosts = [\"{host}\"]\nupstream = \"{scheme}://{upstream}\"\nmode = \"{mode}\"\nowner = \"mira\"\n"
        )
    };
    application(web, host, "http") + "\n" + &application(lines, &format!("{lines}.bench.localhost"), "tcp")
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

const CONSOLE: &str = r#"@id("console-operators")
@owner("mira")
@why("Operate Safeconduct")
permit(principal in Group::"operators", action, resource == Application::"safeconduct");

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
