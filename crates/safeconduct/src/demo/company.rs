//! The files of the company: they travel inside the program and are written to a work folder at the start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use safeconduct_config::{Text, Texts};
use safeconduct_server::files::{self, Built};

/// Every file of the company, by its name in the configuration folder.
const FILES: &[(&str, &str)] = &[
    ("safeconduct.toml", include_str!("../../../../demo/safeconduct.toml")),
    ("estate/people.toml", include_str!("../../../../demo/estate/people.toml")),
    ("estate/surface.toml", include_str!("../../../../demo/estate/surface.toml")),
    ("policies/console.cedar", include_str!("../../../../demo/policies/console.cedar")),
    ("policies/everyday.cedar", include_str!("../../../../demo/policies/everyday.cedar")),
    ("policies/finance.cedar", include_str!("../../../../demo/policies/finance.cedar")),
    ("policies/people.cedar", include_str!("../../../../demo/policies/people.cedar")),
    ("policies/trading.cedar", include_str!("../../../../demo/policies/trading.cedar")),
    ("policies/tests/sentence.toml", include_str!("../../../../demo/policies/tests/sentence.toml")),
];

/// The domain below which the applications are published.
pub(crate) const DOMAIN: &str = "brightwater.localhost";

/// The applications, by id, with the first label of their host names.
pub(crate) const APPS: [(&str, &str); 8] = [
    ("q3-finance", "finance"),
    ("payroll", "payroll"),
    ("crm", "crm"),
    ("desk", "desk"),
    ("warehouse", "warehouse"),
    ("reports", "reports"),
    ("wiki", "wiki"),
    ("tickets", "tickets"),
];

/// Where the applications of the company run, by their ids.
pub(crate) type Upstreams = BTreeMap<&'static str, SocketAddr>;

/// The host name of an application.
pub(crate) fn host(app: &str) -> String {
    let label = APPS.iter().find(|(id, _)| *id == app).map_or(app, |(_, label)| *label);
    format!("{label}.{DOMAIN}")
}

/// The texts as they are in the program.
pub(crate) fn texts() -> Texts {
    Texts::from_files(FILES.iter().map(|(file, text)| Text { file: (*file).to_owned(), text: (*text).to_owned() }))
}

/// The company as it is in the program, checked.
pub(crate) fn built() -> Result<Built> {
    files::build(texts(), 1).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the company of the demo has faults:\n{}", lines.join("\n"))
    })
}

/// Writes the company into `dir` with the addresses of this start. Files that are there already stay as they are but for
/// these addresses, so that what was published in an earlier run still binds.
pub(crate) fn write(dir: &Path, https: SocketAddr, upstreams: &Upstreams) -> Result<()> {
    for (file, original) in FILES {
        let path: PathBuf = dir.join(file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => (*original).to_owned(),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let text = with_addresses(&text, https, upstreams);
        files::write_whole(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The text with the `https` line of `[listen]` and the `upstream` line of each application replaced.
fn with_addresses(text: &str, https: SocketAddr, upstreams: &Upstreams) -> String {
    let (mut section, mut app) = (String::new(), None);
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let plain = line.trim();
        if plain.starts_with('[') {
            plain.clone_into(&mut section);
            if section == "[[application]]" {
                app = None;
            }
        }
        let (key, value) = plain.split_once('=').map_or(("", ""), |(k, v)| (k.trim(), v.trim().trim_matches('"')));
        match (section.as_str(), key) {
            ("[listen]", "https") => out.push_str(&format!("https = \"{https}\"\n")),
            ("[[application]]", "id") => {
                app = upstreams.get(value);
                out.push_str(line);
            }
            ("[[application]]", "upstream") => match app {
                Some(at) => out.push_str(&format!("upstream = \"http://{at}\"\n")),
                None => out.push_str(line),
            },
            _ => out.push_str(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams() -> Upstreams {
        APPS.iter().zip(50_001..).map(|((id, _), port)| (*id, SocketAddr::from(([127, 0, 0, 1], port)))).collect()
    }

    #[test]
    fn the_company_in_the_program_is_the_one_in_the_folder_and_holds() {
        let built = built().expect("no faults");
        assert_eq!(built.config.estate.people.len(), 40);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
        assert_eq!(files::read(&folder).expect("readable"), built.texts, "list every file of demo/ in FILES");
    }

    #[test]
    fn every_application_gets_its_own_address_and_what_was_published_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let https = SocketAddr::from(([127, 0, 0, 1], 9_443));
        write(dir.path(), https, &upstreams()).expect("written");
        let surface = dir.path().join("estate/surface.toml");
        let published =
            std::fs::read_to_string(&surface).expect("there").replace("mode = \"observe\"", "mode = \"enforce\"");
        std::fs::write(&surface, published).expect("written");
        write(dir.path(), https, &upstreams()).expect("written again");
        let built =
            files::build(files::read(dir.path()).expect("readable"), 1).map_err(|f| f[0].to_string()).expect("holds");
        assert_eq!(built.config.settings.listen.https, https);
        for (id, at) in upstreams() {
            let app = &built.config.estate.applications[&id.parse().expect("id")];
            assert_eq!(app.upstream, format!("http://{at}"), "{id}");
            assert!(app.hosts.iter().any(|h| h.as_str() == host(id)), "{id}");
            assert_eq!(app.mode, safeconduct_model::Mode::Enforce, "{id}");
        }
    }
}
