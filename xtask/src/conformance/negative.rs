//! `conformance negative`: every test of the workspace whose name carries the id of a row (`nt_46_…`), run and counted by row.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::rows::{NOT_APPLICABLE, ROWS};
use crate::bench::{machine, write};
use crate::step::Steps;
use crate::terminal::{say, table};
use crate::tree::{self, Source};

/// How such a test begins. Spelled in two parts, so that this file holds none.
const TEST: &str = concat!("fn ", "nt_");
/// The row that holds the versions of HTTP libraries against those that were accepted last.
const VERSIONS: u8 = 11;
/// Tells the test of that row to accept those that are there.
const ACCEPT: &str = "SAFECONDUCT_ACCEPT_VERSIONS";

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    name: String,
    well: bool,
}

/// Runs all and tells. False if a row failed, has no test, or has one although it does not apply.
pub(crate) fn negative(options: &[&str]) -> Result<bool> {
    let accept = match options {
        [] => false,
        ["--accept"] => true,
        other => bail!("unknown: {}; there is --accept", other.join(" ")),
    };
    let root = tree::root()?;
    let steps = Steps::new(&root)?;
    let mut build = Command::new("cargo");
    if !steps.run("build of the program", build.args(["build", "-p", "safeconduct"]))?.well {
        return Ok(false);
    }
    let packages = packages(&tree::sources(&root)?);
    let mut all = Command::new("cargo");
    all.arg("test").args(packages.iter().flat_map(|name| ["-p", name]));
    all.args(["--lib", "--bins", "--tests", "--no-fail-fast", "--", "nt_"]);
    let ended = steps.run("negative tests", &mut all)?;
    let tests = read(&ended.output);
    let mut rows = rows(&tests);
    let others = rows.iter().filter(|row| row.id != VERSIONS).all(Row::holds);
    if accept && others && !tests.is_empty() {
        let mut again = Command::new("cargo");
        again.args(["test", "-p", "safeconduct-negative", "--lib", "--", "nt_11_"]).env(ACCEPT, "1");
        let accepted = read(&steps.run("accepting versions", &mut again)?.output);
        if let Some(row) = rows.iter_mut().find(|row| row.id == VERSIONS) {
            row.tests = accepted;
        }
    }
    // A test program that died takes its tests with it, unseen.
    let whole = ended.well || tests.iter().any(|t| !t.well);
    let holds = whole && rows.iter().all(Row::holds);
    say(table(&rows.iter().map(Row::line).collect::<Vec<_>>()));
    for test in tests.iter().filter(|t| !t.well) {
        say(format!("    FAILED {}", test.name));
    }
    if !whole {
        say("the tests ended badly although none failed; see target/test-logs/negative-tests.log");
    }
    let (passed, failed) = (rows.iter().filter(|r| r.holds()).count(), rows.iter().filter(|r| !r.holds()).count());
    let result = json!({
        "name": "negative", "machine": machine(), "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "goals": [{ "name": "rows that do not hold", "value": failed, "op": "==", "goal": 0, "unit": "rows", "holds": holds }],
    });
    let file = write(&root, "conformance", "negative", &result)?;
    say(format!("{passed} rows hold, {failed} do not, by {} tests; see {file}", tests.len()));
    Ok(holds)
}

/// The packages whose code holds a test with an id: the others need not be built.
fn packages(sources: &[Source]) -> BTreeSet<String> {
    let names: Vec<(&str, &str)> = sources
        .iter()
        .filter_map(|s| {
            let name = s.text.lines().find_map(|l| l.strip_prefix("name = \""))?.strip_suffix('"')?;
            Some((s.path.strip_suffix("/Cargo.toml")?, name))
        })
        .collect();
    let holds = |s: &&Source| s.extension() == "rs" && s.text.contains(TEST);
    let of = |path: &str| {
        names
            .iter()
            .filter(|(folder, _)| path.starts_with(&format!("{folder}/")))
            .max_by_key(|(folder, _)| folder.len())
    };
    sources.iter().filter(holds).filter_map(|s| of(&s.path)).map(|(_, name)| (*name).to_owned()).collect()
}

/// One row with its tests.
#[derive(Debug)]
struct Row {
    id: u8,
    subject: &'static str,
    why_not: Option<&'static str>,
    tests: Vec<Test>,
}

impl Row {
    /// A row holds if it has tests and all went well, or if it says why it has none.
    fn holds(&self) -> bool {
        match self.why_not {
            Some(_) => self.tests.is_empty(),
            None => !self.tests.is_empty() && self.tests.iter().all(|t| t.well),
        }
    }

    fn told(&self) -> String {
        match (self.why_not, self.tests.is_empty()) {
            (Some(why), true) => format!("not applicable: {why}"),
            (Some(_), false) => "FAILED: it has a test, so it applies; take it out of the table".to_owned(),
            (None, true) => "FAILED: no test carries its id".to_owned(),
            (None, false) if self.holds() => format!("pass ({})", self.tests.len()),
            (None, false) => {
                let failed = self.tests.iter().filter(|t| !t.well).count();
                format!("FAILED ({failed} of {})", self.tests.len())
            }
        }
    }

    fn line(&self) -> Vec<String> {
        vec![format!("NT-{:02}", self.id), self.subject.to_owned(), self.told()]
    }

    fn json(&self) -> Value {
        let tests: BTreeMap<&str, bool> = self.tests.iter().map(|t| (t.name.as_str(), t.well)).collect();
        json!({ "case": format!("NT-{:02}", self.id), "subject": self.subject, "result": self.told(), "holds": self.holds(),
            "tests": tests })
    }
}

fn rows(tests: &[Test]) -> Vec<Row> {
    let why_not = |id: u8| NOT_APPLICABLE.iter().find(|(n, _)| *n == id).map(|(_, why)| *why);
    let of = |id: u8| tests.iter().filter(|t| ids(&t.name).contains(&id)).cloned().collect();
    ROWS.iter().map(|(id, subject)| Row { id: *id, subject, why_not: why_not(*id), tests: of(*id) }).collect()
}

/// The lines of all test programs that tell of a test with an id. Whatever is not `ok` did not go well, `ignored` neither.
fn read(output: &str) -> Vec<Test> {
    let mut found = Vec::new();
    for line in output.lines() {
        // Two programs never share a line, but what a test wrote may stand in front.
        let Some((name, came)) = line.rfind("test ").and_then(|at| line[at + "test ".len()..].split_once(" ... "))
        else {
            continue;
        };
        if !ids(name).is_empty() {
            let well = came == "ok" || came.starts_with("ok (");
            found.push(Test { name: name.split(" - ").next().unwrap_or(name).to_owned(), well });
        }
    }
    found
}

/// The ids in a name: `…::nt_04_nt_05_words` has 4 and 5.
fn ids(name: &str) -> Vec<u8> {
    let mut rest = name.rsplit("::").next().unwrap_or_default();
    let mut found = Vec::new();
    while let Some(after) = rest.strip_prefix("nt_") {
        let Some((digits, more)) = after.split_once('_') else { break };
        match digits.parse() {
            Ok(id) if digits.len() == 2 => found.push(id),
            _ => break,
        }
        rest = more;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test normal::path::tests::nt_01_a_path_has_one_spelling ... ok
test nt_04_nt_05_a_client_cannot_speak_in_our_name ... FAILED
test nt_46_content_length_then_transfer_encoding ... ok (0.1 s)
test nt_12_slow ... ignored, no browser
test a_test_without_an_id ... ok
test result: FAILED. 1 passed; 1 failed
";

    fn row(tests: &[Test], id: u8) -> (bool, String) {
        let row = rows(tests).into_iter().find(|r| r.id == id).expect("there is such a row");
        (row.holds(), row.told())
    }

    #[test]
    fn results_are_read_and_counted_by_row() {
        let tests = read(OUTPUT);
        assert_eq!(tests.iter().map(|t| t.well).collect::<Vec<_>>(), [true, false, true, false]);
        assert_eq!(row(&tests, 1), (true, "pass (1)".to_owned()));
        assert!(row(&tests, 46).0);
        assert!(!row(&tests, 4).0 && !row(&tests, 5).0);
        assert_eq!(row(&tests, 12), (false, "FAILED (1 of 1)".to_owned()), "what was ignored holds nothing");
        assert_eq!(row(&tests, 2), (false, "FAILED: no test carries its id".to_owned()));
    }

    #[test]
    fn only_packages_with_such_tests_are_run() {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let code = format!("async {TEST}01_x() {{}}");
        let sources = [
            source("crates/a/Cargo.toml", "[package]\nname = \"safeconduct-a\"\n"),
            source("crates/b/Cargo.toml", "[package]\nname = \"safeconduct-b\"\n"),
            source("crates/a/src/deep/x.rs", &code),
            source("crates/b/src/lib.rs", "fn other() {}"),
            source("docs/a.md", &code),
        ];
        assert_eq!(packages(&sources), ["safeconduct-a".to_owned()].into());
    }

    #[test]
    fn a_row_that_does_not_apply_says_why_and_has_no_test() {
        let id = NOT_APPLICABLE[0].0;
        assert!(row(&[], id).0);
        let test = Test { name: format!("nt_{id:02}_x"), well: true };
        assert!(!row(&[test], id).0);
    }

    #[test]
    fn every_row_is_there_once_and_every_reason_is_of_a_row() {
        assert!(ROWS.iter().map(|(id, _)| *id).eq(1..=68));
        assert!(NOT_APPLICABLE.iter().all(|(id, why)| (1..=68).contains(id) && why.len() > 10));
    }

    #[test]
    fn ids_stand_in_front() {
        assert_eq!(ids("a::nt_04_nt_05_words_nt_06_"), [4, 5]);
        assert_eq!(ids("nt_59_nt_60_nt_61_ambiguous"), [59, 60, 61]);
        assert!(ids("want_01_x").is_empty() && ids("nt_1_x").is_empty() && ids("nt_100_x").is_empty());
    }
}
