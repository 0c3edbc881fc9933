//! `shots`: the screenshots that the browser tests made, for the documentation. Those that a page shows; with `--all`, all.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::terminal::say;
use crate::tree::{self, Source};

/// Where the browser tests leave them.
const MADE: &str = "target/e2e-shots";
/// Where the documentation shows them.
const SHOWN: &str = "docs/images";
/// How a picture of a page ends that was made in every width and light.
const DESK_BY_DAY: &str = "-1440-light";

/// Copies screenshots as they are. False if one that is shown was not made.
pub(crate) fn run(options: &[&str]) -> Result<bool> {
    let root = tree::root()?;
    let made = names(&root.join(MADE)).with_context(|| format!("there is no {MADE}; run `cargo xtask test` first"))?;
    let wanted = match options {
        [] => shown(&tree::sources(&root)?),
        ["--all"] => made.clone(),
        _ => bail!("shots takes [--all]"),
    };
    fs::create_dir_all(root.join(SHOWN))?;
    let mut complete = true;
    for name in &wanted {
        match source(name, &made) {
            Some(from) => {
                fs::copy(root.join(MADE).join(format!("{from}.png")), root.join(SHOWN).join(format!("{name}.png")))?;
                say(format!("{SHOWN}/{name}.png is {MADE}/{from}.png"));
            }
            None => {
                say(format!("{SHOWN}/{name}.png is shown, but no test makes {name}.png"));
                complete = false;
            }
        }
    }
    Ok(complete)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".png").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The names of the pictures that pages show.
fn shown(sources: &[Source]) -> Vec<String> {
    let mut names = Vec::new();
    for page in sources.iter().filter(|s| s.extension() == "md") {
        for (_, rest) in page.text.match_indices("images/").map(|(at, found)| page.text.split_at(at + found.len())) {
            let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).next().unwrap_or_default();
            if rest[name.len()..].starts_with(".png") {
                names.push(name.to_owned());
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// The screenshot for a name: of that name, or of a page that was looked at in every way.
fn source(name: &str, made: &[String]) -> Option<String> {
    let of_page = format!("{name}{DESK_BY_DAY}");
    made.iter().find(|m| *m == name).or_else(|| made.iter().find(|m| **m == of_page)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pages_show_is_found_once() {
        let page = |text: &str| Source { path: "README.md".into(), text: text.into() };
        let pages = [
            page("![a](docs/images/map.png) ![b](docs/images/no.svg)"),
            page("<img src=\"../images/map.png\"> images/denial-2.png"),
        ];
        assert_eq!(shown(&pages), ["denial-2", "map"]);
    }

    #[test]
    fn a_picture_is_taken_by_its_name_or_from_the_desk_by_day() {
        let made = ["denial", "map-1440-dark", "map-1440-light"].map(str::to_owned);
        assert_eq!(source("denial", &made).as_deref(), Some("denial"));
        assert_eq!(source("map", &made).as_deref(), Some("map-1440-light"));
        assert_eq!(source("verdict", &made), None);
    }
}
