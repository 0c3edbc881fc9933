//! The companies that Safeconduct guards in this measurement, as text files like any other.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::contestant::{HOST, Who};

pub(crate) const PORTAL: &str = "portal.bench.localhost";
/// Who asks.
pub(crate) const PERSON: &str = "ada";

/// Entities of the large company: people and groups.
const PEOPLE: usize = 90_000;
const GROUPS: usize = 10_000;
/// Its applications, and the rules about each of them. So many rules look at a request.
const APPLICATIONS: usize = 500;
const RULES_EACH: usize = 20;
/// A file of the configuration has so many entries at most, as files that people keep in Git have.
const ENTRIES: usize = 1_000;

/// Where a company is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub https: SocketAddr,
    /// Without TLS, where the program can do that.
    pub plain: Option<SocketAddr>,
    pub upstream: SocketAddr,
    /// Data-plane threads, where the program knows them.
    pub threads: bool,
}

/// Writes a company.
pub(crate) fn write(folder: &Path, who: Who, at: At) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    let put = |file: &str, text: String| {
        let path = folder.join(file);
        let parent = path.parent().context("a file has a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(folder.join("policies/tests"))?;
    put("safeconduct.toml", settings(at))?;
    let mode = if who == Who::Bare { "observe" } else { "enforce" };
    let mut surface = SURFACE.replace("UPSTREAM", &at.upstream.to_string()).replace("MODE", mode).replace("HOST", HOST);
    match who {
        Who::Many => {
            for n in 1..APPLICATIONS {
                write!(
                    surface,
                    "\n[[application]]\nid = \"app-{n}\"\nhosts = [\"app-{n}.bench.localhost\"]\nupstream = \"http://{}\"\nowner = \"mira\"\n",
                    at.upstream
                )?;
            }
            for (n, part) in many_people().iter().enumerate() {
                put(&format!("estate/people-{n}.toml"), part.clone())?;
            }
            for (n, part) in many_rules()?.iter().enumerate() {
                put(&format!("policies/rules-{n}.cedar"), part.clone())?;
            }
        }
        Who::Bare => put("policies/rules.cedar", CONSOLE.to_owned())?,
        _ => put("policies/rules.cedar", format!("{CONSOLE}{}", rule("readers", "readers", "app")))?,
    }
    put("estate/surface.toml", surface)?;
    put("estate/people.toml", FEW_PEOPLE.to_owned())
}

fn settings(at: At) -> String {
    let plain = at.plain.map(|plain| format!("plain = \"{plain}\"\n")).unwrap_or_default();
    let threads = if at.threads { "\n[gateway]\nthreads = 1\n" } else { "" };
    SETTINGS.replace("HTTPS", &at.https.to_string()).replace("PORTAL", PORTAL) + &plain + threads
}

fn rule(id: &str, group: &str, app: &str) -> String {
    format!(
        "@id(\"{id}\")\n@owner(\"mira\")\n@why(\"Daily work\")\npermit(principal in Group::\"{group}\", action in [Action::\"read\", Action::\"write\"], resource == Application::\"{app}\");\n\n"
    )
}

/// Ten thousand rules, a few of them about the application that is asked for, and of these one that lets Ada in.
fn many_rules() -> Result<Vec<String>> {
    let mut parts = vec![format!("{CONSOLE}{}", rule("readers", "readers", "app"))];
    for app in 0..APPLICATIONS {
        let name = if app == 0 { "app".to_owned() } else { format!("app-{app}") };
        let mut part = String::new();
        for n in 0..RULES_EACH {
            // The first rule of all is the one above.
            if app + n > 0 {
                part.push_str(&rule(&format!("r-{app}-{n}"), &format!("g-{}", app * RULES_EACH + n), &name));
            }
        }
        let last = parts.last_mut().context("there is a part")?;
        if app % 100 == 0 { parts.push(part) } else { last.push_str(&part) }
    }
    let count: usize = parts.iter().map(|p| p.matches("permit(").count()).sum();
    ensure!(count == APPLICATIONS * RULES_EACH + 1, "{count} rules");
    Ok(parts)
}

fn many_people() -> Vec<String> {
    let group = |n: usize| {
        // A hierarchy: teams in departments.
        let parent = if n < 100 { String::new() } else { format!("parents = [\"g-{}\"]\n", n % 100) };
        format!("[[group]]\nid = \"g-{n}\"\n{parent}\n")
    };
    let person = |n: usize| {
        format!("[[person]]\nid = \"p-{n}\"\ngroups = [\"g-{}\", \"g-{}\"]\n\n", n % GROUPS, (n * 7 + 13) % GROUPS)
    };
    let groups: Vec<String> = (0..GROUPS).map(group).collect();
    let people: Vec<String> = (0..PEOPLE).map(person).collect();
    groups.chunks(ENTRIES).chain(people.chunks(ENTRIES)).map(<[String]>::concat).collect()
}

const SETTINGS: &str = r#"organisation = "Bench Works"
zone = "Europe/Berlin"
operators = "operators"

[portal]
host = "PORTAL"

[sessions]
absolute = "12h"
idle = "12h"

[limits]
connections = 40000

[listen]
https = "HTTPS"
"#;

const FEW_PEOPLE: &str = r#"[[group]]
id = "operators"

[[group]]
id = "readers"

[[person]]
id = "mira"
groups = ["operators"]

[[person]]
id = "ada"
groups = ["readers"]
"#;

const SURFACE: &str = r#"[[asset]]
id = "books"
kind = "data"
class = "moderate"
owner = "mira"

[[application]]
id = "app"
hosts = ["HOST"]
upstream = "http://UPSTREAM"
mode = "MODE"
assets = ["books"]
owner = "mira"
"#;

const CONSOLE: &str = r#"@id("console-operators")
@owner("mira")
@why("Operate Safeconduct")
permit(principal in Group::"operators", action, resource == Application::"safeconduct");

"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_company_is_as_large_as_it_is_said_to_be() {
        let rules = many_rules().expect("counted");
        let text = rules.concat();
        assert_eq!(text.matches("permit(").count(), 10_001, "ten thousand, and the one of the console");
        assert_eq!(text.matches("Application::\"app\")").count(), RULES_EACH, "a few look at what is asked for");
        assert!(rules.iter().all(|part| part.len() < 4 << 20), "a file has a bound");
        let people = many_people();
        let count = |what: &str| people.iter().map(|p| p.matches(what).count()).sum::<usize>();
        assert_eq!((count("[[person]]") + count("[[group]]")), 100_000);
        assert!(people.iter().all(|part| part.len() < 8 << 20), "a file has a bound");
    }
}
