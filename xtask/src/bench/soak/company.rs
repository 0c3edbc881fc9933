//! A small company: one application that lives, one that dies and returns, one behind a connector; people who stay, leave, and come
//! and go.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::bench::gateway::company::PORTAL;

/// An application, and what it is there for. Its name is what its upstream answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    Steady,
    Mortal,
    Far,
    /// Reached by tunnels alone.
    Tunnel,
}

impl App {
    pub(crate) const ALL: [Self; 4] = [Self::Steady, Self::Mortal, Self::Far, Self::Tunnel];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Mortal => "mortal",
            Self::Far => "far",
            Self::Tunnel => "tunnel",
        }
    }

    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::Steady => "steady.bench.localhost",
            Self::Mortal => "mortal.bench.localhost",
            Self::Far => "far.bench.localhost",
            Self::Tunnel => "tunnel.bench.localhost",
        }
    }
}

/// The site of the connector.
pub(crate) const SITE: &str = "berlin";
/// The limits of this run that others wait for.
pub(crate) const HANDSHAKE_MS: u64 = 5_000;
pub(crate) const SLOW_MS: u64 = 4_000;
pub(crate) const UPSTREAM_IDLE_S: u64 = 4;

/// Where everything is.
pub(crate) struct At {
    pub https: SocketAddr,
    pub health: SocketAddr,
    pub upstreams: [SocketAddr; App::ALL.len()],
}

/// Writes the company.
pub(crate) fn write(folder: &Path, at: &At) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder.join("policies/tests"))?;
    fs::create_dir_all(folder.join("estate"))?;
    let settings = SETTINGS
        .replace("HTTPS", &at.https.to_string())
        .replace("HEALTH", &at.health.to_string())
        .replace("PORTAL", PORTAL)
        .replace("HANDSHAKE", &format!("{HANDSHAKE_MS}ms"))
        .replace("SLOW", &format!("{SLOW_MS}ms"))
        .replace("REST", &format!("{UPSTREAM_IDLE_S}s"));
    fs::write(folder.join("safeconduct.toml"), settings)?;
    fs::write(folder.join("estate/people.toml"), PEOPLE)?;
    flip(folder, true)?;
    policy(folder, 0)?;
    let far = at.upstreams[App::Far as usize];
    let mut surface = format!("[[site]]\nid = \"{SITE}\"\nspecial = [\"{far}\"]\n");
    for (app, upstream) in App::ALL.into_iter().zip(at.upstreams) {
        let behind = if app == App::Far { format!("connector = \"{SITE}\"\n") } else { String::new() };
        let scheme = if app == App::Tunnel { "tcp" } else { "http" };
        surface.push_str(&format!(
            "\n[[application]]\nid = \"{}\"\nhosts = [\"{}\"]\nupstream = \"{scheme}://{upstream}\"\nmode = \"enforce\"\nowner = \"mira\"\n{behind}",
            app.name(),
            app.host()
        ));
    }
    fs::write(folder.join("estate/surface.toml"), surface)?;
    Ok(())
}

/// Somebody is of the staff, or no more.
pub(crate) fn flip(folder: &Path, staff: bool) -> Result<()> {
    let groups = if staff { "groups = [\"staff\"]\n" } else { "" };
    fs::write(folder.join("estate/flip.toml"), format!("[[person]]\nid = \"flip\"\n{groups}"))?;
    Ok(())
}

/// The rules; each number makes another version of them with the same meaning.
pub(crate) fn policy(folder: &Path, number: u32) -> Result<()> {
    let rule = |id: &str, group: &str, actions: &str, app: &str| {
        format!(
            "@id(\"{id}\")\n@owner(\"mira\")\n@why(\"Daily work, as of edit {number}\")\npermit(principal in Group::\"{group}\", {actions}, resource == Application::\"{app}\");\n\n"
        )
    };
    let mut text = rule("console-operators", "operators", "action", "safeconduct");
    for app in App::ALL {
        let both = "action in [Action::\"read\", Action::\"write\"]";
        text.push_str(&rule(&format!("staff-{}", app.name()), "staff", both, app.name()));
    }
    fs::write(folder.join("policies/rules.cedar"), text)?;
    Ok(())
}

/// A file that cannot be taken, or no such file any more.
pub(crate) fn broken(folder: &Path, there: bool) -> Result<()> {
    let file = folder.join("policies/broken.cedar");
    if there {
        fs::write(file, "permit(principal, action, resource\n")?;
    } else {
        fs::remove_file(file)?;
    }
    Ok(())
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
handshake = "HANDSHAKE"
head_read = "SLOW"
body_idle = "SLOW"
upstream_idle_for = "REST"

[listen]
https = "HTTPS"
health = "HEALTH"
"#;

const PEOPLE: &str = r#"[[group]]
id = "operators"

[[group]]
id = "staff"

[[person]]
id = "mira"
groups = ["operators"]

[[person]]
id = "stay"
groups = ["staff"]

[[person]]
id = "leaver"
groups = ["staff"]
"#;
