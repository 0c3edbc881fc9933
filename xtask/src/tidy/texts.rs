//! What a text may not say, how long it may be, and whether its links lead anywhere.

use super::Finding;
use crate::tree::Source;

/// The longest file of code, in lines.
const MAX_LINES: usize = 700;

const WHY_LONG: &str = "a file that no longer fits one idea is two files";
const WHY_CEDAR: &str =
    "one file knows the policy engine, so that it can be replaced, and its surprises are handled once";
const WHY_CLOCK: &str = "`now` is an argument; the clock is read in one place, where a test or a demo can turn it";
const WHY_PATH: &str = "a path of one machine is wrong on every other";
const WHY_LATER: &str = "what is not done is said in an issue, where it is seen";
const WHY_LINK: &str = "a newcomer follows the links of the documentation";

/// A word that may be said in one file alone. Spelled in two parts, so that this file does not say it.
const ONE_FILE: [(&str, &str, &str); 2] = [
    (concat!("cedar", "_policy"), "crates/policy/src/cedar.rs", WHY_CEDAR),
    (concat!("SystemTime", "::now"), "crates/server/src/clock.rs", WHY_CLOCK),
];
/// Files that hold our engine against Cedar's, and must name both.
const COMPARING: [&str; 1] = ["tests/symcc/src/lib.rs"];
/// What stands at the beginning of a path of one machine.
const MACHINES: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
/// What is put off.
const LATER: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Every finding in the texts.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = sources.iter().filter(|s| !is_generated(&s.path)).flat_map(one).collect();
    let there = |path: &str| sources.iter().any(|s| s.path == path || s.path.starts_with(&format!("{path}/")));
    let pages = sources.iter().filter(|s| s.extension() == "md");
    findings.extend(pages.flat_map(|page| broken_links(page, &|path| there(path) || picture(path))));
    if !there("README.md") {
        findings.push(Finding::new("README.md", "there is none", "a newcomer begins there"));
    }
    findings
}

/// Pictures are no text, so they are looked up where they are.
fn picture(path: &str) -> bool {
    crate::tree::root().is_ok_and(|root| root.join(path).exists())
}

fn is_generated(path: &str) -> bool {
    path == "Cargo.lock"
}

fn is_code(source: &Source) -> bool {
    ["rs", "js", "mjs", "css", "sql", "cedar"].contains(&source.extension())
}

fn one(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if is_code(source) && lines > MAX_LINES {
        findings.push(Finding::new(&source.path, format!("{lines} lines, more than {MAX_LINES}"), WHY_LONG));
    }
    for (n, line) in source.text.lines().enumerate() {
        let place = || format!("{}:{}", source.path, n + 1);
        if source.extension() == "rs" {
            for (word, home, why) in ONE_FILE {
                let compares = why == WHY_CEDAR && COMPARING.contains(&source.path.as_str());
                if line.contains(word) && source.path != home && !compares {
                    findings.push(Finding::new(place(), format!("`{word}` belongs into {home}"), why));
                }
            }
        }
        if let Some(word) = LATER.iter().find(|w| has_word(line, w)) {
            findings.push(Finding::new(place(), format!("it says {word}"), WHY_LATER));
        }
        if let Some(machine) = MACHINES.iter().find(|m| begins_path(line, m)) {
            findings.push(Finding::new(place(), format!("a path below {machine}"), WHY_PATH));
        }
    }
    findings
}

/// Whether a line holds a word, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next()))
}

/// Whether a path begins here: what stands in front of it is no part of a path or address.
fn begins_path(line: &str, start: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    let inside = |c: char| c.is_alphanumeric() || ['.', '_', '-', '}', '*', '~', '/', ')'].contains(&c);
    // A path is longer than its first folder; a route of ours such as "/me" is none of a machine.
    let goes_on = |at: usize| line[at + start.len()..].starts_with(|c: char| c.is_alphanumeric());
    line.match_indices(start).any(|(at, _)| !before(at).is_some_and(inside) && goes_on(at))
}

/// The links of a page that lead to no file.
fn broken_links(page: &Source, there: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (n, line) in page.text.lines().enumerate() {
        for target in targets(line) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if elsewhere || file.is_empty() {
                continue;
            }
            if !there(&joined(folder, file)) {
                findings.push(Finding::new(
                    format!("{}:{}", page.path, n + 1),
                    format!("the link {target} leads nowhere"),
                    WHY_LINK,
                ));
            }
        }
    }
    findings
}

/// Where the links and pictures of a line of Markdown lead.
fn targets(line: &str) -> Vec<&str> {
    let until = |text: &'static str, end: char| {
        line.match_indices(text).filter_map(move |(at, _)| line[at + text.len()..].split(end).next())
    };
    let plain = until("](", ')').map(|t| t.split_whitespace().next().unwrap_or_default());
    plain.chain(until("src=\"", '"')).chain(until("href=\"", '"')).collect()
}

/// A relative path, seen from a folder.
fn joined(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    fn found(path: &str, text: impl Into<String>) -> Vec<(String, &'static str)> {
        one(&source(path, text)).into_iter().map(|f| (f.place, f.why)).collect()
    }

    fn at(place: &str, why: &'static str) -> Vec<(String, &'static str)> {
        vec![(place.to_owned(), why)]
    }

    #[test]
    fn the_engine_and_the_clock_are_known_in_one_file_each() {
        let (engine, clock) = (ONE_FILE[0].0, ONE_FILE[1].0);
        assert_eq!(
            found("crates/policy/src/load.rs", format!("\nuse {engine}::Schema;")),
            at("crates/policy/src/load.rs:2", WHY_CEDAR)
        );
        assert_eq!(found("crates/policy/src/cedar.rs", format!("use {engine}::Schema;")), []);
        assert_eq!(found(COMPARING[0], format!("use {engine}::Schema;")), []);
        assert_eq!(
            found("crates/store/src/key.rs", format!("std::time::{clock}()")),
            at("crates/store/src/key.rs:1", WHY_CLOCK)
        );
        assert_eq!(found("docs/decisions/0001.md", format!("{clock} is read in one place")), []);
    }

    #[test]
    fn code_has_a_length_and_data_has_none() {
        let long = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(found("crates/x/src/y.rs", &long), at("crates/x/src/y.rs", WHY_LONG));
        assert_eq!(found("crates/x/src/y.rs", "x\n".repeat(MAX_LINES)), []);
        assert_eq!(found("frameworks/y.toml", &long), []);
    }

    #[test]
    fn what_is_put_off_is_found_and_a_longer_word_is_not() {
        assert_eq!(found("a.md", format!("// {}: later", LATER[0])), at("a.md:1", WHY_LATER));
        assert_eq!(found("a.md", format!("{}S and MY_{}", LATER[0], LATER[0])), []);
    }

    #[test]
    fn a_path_of_one_machine_is_found_and_a_route_is_not() {
        for line in [format!("cd {}ada/src", MACHINES[0]), format!("\"{}x\"", MACHINES[1])] {
            assert_eq!(found("a.toml", line.clone()), at("a.toml:1", WHY_PATH), "{line}");
        }
        for line in [
            format!("https://example.com{}page", MACHINES[0]),
            format!("$DIR{}x", MACHINES[3]),
            format!("get({})", MACHINES[0]),
        ] {
            assert_eq!(found("a.toml", line.clone()), [], "{line}");
        }
    }

    #[test]
    fn links_lead_to_files() {
        let page = source(
            "docs/a.md",
            "[b](b.md#part) ![c](../images/c.png \"title\") [w](https://x.y/z) [here](#top)\n<img src=\"d.png\">\n[e](../)\n",
        );
        let there = |path: &str| ["docs/b.md", ""].contains(&path);
        let findings = broken_links(&page, &there);
        let places: Vec<(&str, &str)> = findings.iter().map(|f| (f.place.as_str(), f.what.as_str())).collect();
        assert_eq!(
            places,
            [
                ("docs/a.md:1", "the link ../images/c.png leads nowhere"),
                ("docs/a.md:2", "the link d.png leads nowhere")
            ]
        );
    }

    #[test]
    fn a_folder_is_a_target_too() {
        let sources =
            [source("README.md", "[policies](policies/)\n[x](nowhere/at/all.md)"), source("policies/a.cedar", "")];
        let whats: Vec<String> = check(&sources).into_iter().map(|f| f.what).collect();
        assert_eq!(whats, ["the link nowhere/at/all.md leads nowhere"]);
    }
}
