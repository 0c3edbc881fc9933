//! The engine's own parser beside Cedar's on the policies of Cedar's corpus, and what it means for the engine. All of it, with
//! broken and generated texts: `cargo run --release -p safeconduct-policy --example parse`.

#[expect(unreachable_pub, dead_code, reason = "the example runs the same module")]
mod corpus_run;

use std::fs;
use std::path::Path;

use corpus_run::{files, folder, unpack};
use safeconduct_policy::engine::{Builder, Entities};
use safeconduct_policy::fuzzing::{Same, compare, statements};

/// One in so many generated tests.
const SAMPLE: usize = 20;

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn skipped() {
    println!("skipped: there is no cedar-corpus; name its parent folder in SAFECONDUCT_TESTDATA");
}

#[test]
fn both_parsers_read_a_sample_of_the_corpus_alike() {
    let Some(folder) = folder() else { return skipped() };
    let generated = unpack(&folder, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("cedar-corpus")).unwrap();
    let (mut rules, mut elsewhere) = (0, 0);
    for (root, tests, step) in
        [(&folder, folder.join("tests"), 1), (&generated, generated.join("corpus-tests"), SAMPLE)]
    {
        for test in files(&tests).unwrap().iter().step_by(step) {
            let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(test).unwrap()).unwrap();
            let text = fs::read_to_string(root.join(file["policies"].as_str().unwrap())).unwrap();
            for statement in statements(&text) {
                match compare(statement) {
                    Ok(Same::Rule) => rules += 1,
                    Ok(Same::Elsewhere) => elsewhere += 1,
                    other => panic!("{}: {other:?}", test.display()),
                }
            }
        }
    }
    // Calls with a wrong number of arguments, which have no place in the syntax tree.
    assert_eq!(elsewhere, 3);
    assert!(rules > 400, "{rules}");
}

fn builder() -> Builder {
    let none = Entities::parse("[]", None).expect("no entities are entities");
    Builder::new(&none).expect("nothing is plain")
}

#[test]
fn a_rule_beyond_the_own_parser_is_read_by_cedar_and_counted() {
    let mut builder = builder();
    let nested = format!("permit(principal, action, resource) when {{ {}true{} }};", "(".repeat(150), ")".repeat(150));
    builder
        .add_text("permit(principal, action, resource); forbid(principal == ?principal, action, resource);")
        .unwrap();
    builder.add_text(&format!("{nested} permit(principal, action, resource) when {{ ip() }};")).unwrap();
    let metrics = builder.finish().metrics();
    assert_eq!((metrics.rules, metrics.reread, metrics.fallbacks), (3, 2, 1));
}

#[test]
fn what_neither_parser_reads_is_refused_in_the_words_of_cedar() {
    let refused = builder().add_text("permit(principal, action, resource);\npermit(principal, resource);").unwrap_err();
    assert_eq!(refused.line, 2);
    assert!(refused.what.contains("action"), "{refused}");
}

#[test]
fn no_text_is_deep_enough_to_exhaust_the_stack() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("if true then 1 else ", ""), ("!(", ")"), ("{a: ", "}"), ("1 + (", ")")]
    {
        for times in [100, 600, 3_000, 15_000] {
            let (open, close) = (open.repeat(times), close.repeat(times));
            let text = format!("permit(principal, action, resource) when {{ {open}1{close} }};");
            let read = builder().add_text(&text);
            assert_eq!(read.is_ok(), times <= 600, "{times}: {read:?}");
        }
    }
}
