//! From policy files to checked rules, or to the full list of faults.

use std::collections::BTreeMap;

use safeconduct_model::{Fault, RuleId};

use crate::cedar::{Door, Ready, nesting};
use crate::rule::Rule;

/// The largest policy file, in bytes.
const MAX_FILE: usize = 4 * 1024 * 1024;
/// The largest single rule, in bytes.
const MAX_RULE: usize = 64 * 1024;

/// One text of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    /// The file, as the person knows it.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// Rules that passed the door, each with its compiled form.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub rules: Vec<(Rule, Ready)>,
}

/// How deep a rule may be nested, as [`nesting`] counts it: brackets, and everything that makes a chain.
pub(crate) const MAX_NESTING: usize = 200;
/// Cedar takes a rule apart by recursion, without looking at the stack: 64 KiB a level, twice of what it needs.
pub(crate) const STACK: usize = MAX_NESTING * 64 * 1024;

/// Parses and validates every rule of every text, one by one, and tells all faults. It works on a stack of its own, so that
/// a deeply nested rule is a fault and never the end of the process.
pub(crate) fn load(texts: &[PolicyText]) -> Result<Loaded, Vec<Fault>> {
    let loaded = std::thread::scope(|scope| {
        let loading = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || load_all(texts));
        loading.ok().and_then(|thread| thread.join().ok())
    });
    loaded.unwrap_or_else(|| {
        let what = "the rules could not be read: there is no memory for it, or one of them broke the reader";
        Err(vec![Fault::new("policies", 0, what, "take the last change back, and report the rule")])
    })
}

fn load_all(texts: &[PolicyText]) -> Result<Loaded, Vec<Fault>> {
    let door = Door::open();
    let mut faults = Vec::new();
    let mut rules: Vec<(Rule, Ready)> = Vec::new();
    let mut seen: BTreeMap<RuleId, (String, u32)> = BTreeMap::new();
    for source in texts {
        let file = &source.file;
        if source.text.len() > MAX_FILE {
            faults.push(Fault::new(file, 0, "the file is larger than 4 MiB", "split it into several files"));
            continue;
        }
        for statement in statements(&source.text) {
            if statement.text.len() > MAX_RULE {
                faults.push(Fault::new(
                    file,
                    statement.line,
                    "the rule is larger than 64 KiB",
                    "split it into several",
                ));
                continue;
            }
            if nesting(statement.text) > MAX_NESTING {
                let what =
                    format!("the rule is nested too deeply: more than {MAX_NESTING} brackets, operators and paths");
                faults.push(Fault::new(file, statement.line, what, "split it into several rules"));
                continue;
            }
            match door.parse(statement.text) {
                Err(refused) => {
                    let remedy = if refused.what.contains("@mode") {
                        "a rule without @mode binds everybody"
                    } else if refused.what.contains("@id") {
                        "give it a stable name, as in @id(\"finance-close\")"
                    } else {
                        "see https://docs.cedarpolicy.com/policies/syntax-grammar.html"
                    };
                    faults.push(Fault::new(file, statement.line + refused.line, refused.what, remedy));
                }
                Ok((mut rule, ready)) => {
                    let errors = door.validate(&ready);
                    for what in &errors {
                        faults.push(Fault::new(
                            file,
                            statement.line,
                            format!("rule `{}`: {what}", rule.id),
                            "compare with the names and types in policies/five_ws.cedarschema",
                        ));
                    }
                    if let Some((other, line)) = seen.get(&rule.id) {
                        faults.push(Fault::new(
                            file,
                            statement.line,
                            format!("rule `{}` stands already at {other}:{line}", rule.id),
                            "give one of the two another @id",
                        ));
                    } else if errors.is_empty() {
                        seen.insert(rule.id.clone(), (file.clone(), statement.line));
                        rule.file.clone_from(file);
                        rule.line = statement.line;
                        rules.push((rule, ready));
                    }
                }
            }
        }
    }
    if faults.is_empty() { Ok(Loaded { rules }) } else { Err(faults) }
}

/// One statement and the line it begins at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement<'t> {
    pub text: &'t str,
    pub line: u32,
}

/// Cuts a text at the semicolons that end statements, minding strings and comments. What follows the last one is a
/// statement too, so that a forgotten semicolon is an error and not silence.
pub(crate) fn statements(text: &str) -> Vec<Statement<'_>> {
    enum In {
        Code,
        Text,
        Comment,
    }
    let mut found = Vec::new();
    let (mut state, mut escaped, mut line) = (In::Code, false, 1);
    // Where the statement begins, and in which line. Comments in front of it are not counted.
    let mut begun = None;
    let bytes = text.as_bytes();
    for (i, b) in bytes.iter().copied().enumerate() {
        match state {
            // As Cedar has it; a rule after a lone carriage return must not be taken for a part of the comment.
            In::Comment if b == b'\n' || b == b'\r' => state = In::Code,
            In::Comment => {}
            In::Text if escaped => escaped = false,
            In::Text if b == b'\\' => escaped = true,
            In::Text if b == b'"' => state = In::Code,
            In::Text => {}
            In::Code if b == b'/' && bytes.get(i + 1) == Some(&b'/') => state = In::Comment,
            In::Code => {
                if !b.is_ascii_whitespace() {
                    begun.get_or_insert((i, line));
                }
                if b == b'"' {
                    state = In::Text;
                } else if b == b';' {
                    found.extend(statement(text, begun.take(), i + 1));
                }
            }
        }
        if b == b'\n' {
            line += 1;
        }
    }
    found.extend(statement(text, begun, text.len()));
    found
}

fn statement(text: &str, begun: Option<(usize, u32)>, end: usize) -> Option<Statement<'_>> {
    let (start, line) = begun?;
    Some(Statement { text: text.get(start..end)?.trim_end(), line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_cut_outside_strings_and_comments() {
        let text = "// a; b\npermit(\";\\\";\") ; // tail;\n\nforbid\n;rest";
        let cut: Vec<(&str, u32)> = statements(text).iter().map(|s| (s.text, s.line)).collect();
        assert_eq!(cut, [("permit(\";\\\";\") ;", 2), ("forbid\n;", 4), ("rest", 5)]);
        assert!(statements("  // only a comment\n").is_empty());
        let cut: Vec<&str> = statements("a; // b\rforbid;\n// c\r\nd").iter().map(|s| s.text).collect();
        assert_eq!(cut, ["a;", "forbid;", "d"]);
    }

    fn faults(text: &str) -> Vec<String> {
        let source = PolicyText { file: "p.cedar".into(), text: text.into() };
        match load(&[source]) {
            Ok(_) => vec![],
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "@id(\"a\")\npermit(principal, action, resource) when { context.devize.managed };\n\
                    permit(principal, action, resource);\n@id(\"b\") permit(principal, action, resource\n;\n\
                    @id(\"c\") permit(principal, action, resource);\n@id(\"c\") permit(principal, action, resource);";
        let found = faults(text);
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[0].starts_with("p.cedar:1: rule `a`") && found[0].contains("devize"), "{}", found[0]);
        assert!(found[1].starts_with("p.cedar:3:") && found[1].contains("@id"), "{}", found[1]);
        assert!(found[2].starts_with("p.cedar:5:") || found[2].starts_with("p.cedar:4:"), "{}", found[2]);
        assert!(found[3].contains("stands already at p.cedar:6"), "{}", found[3]);
    }

    #[test]
    fn a_deeply_nested_rule_is_a_fault_and_not_the_end_of_the_process() {
        let chain = |n: usize| {
            format!(
                "@id(\"a\") permit(principal, action, resource) when {{ {}true{} }};",
                "if true then ".repeat(n),
                " else false".repeat(n)
            )
        };
        assert!(faults(&chain(201))[0].contains("nested too deeply"));
        assert!(!faults(&chain(100_000 / 24)).is_empty());
        let brackets = format!(
            "@id(\"a\") permit(principal, action, resource) when {{ {}true{} }};",
            "(".repeat(5_000),
            ")".repeat(5_000)
        );
        assert!(faults(&brackets)[0].contains("nested too deeply"));
    }

    #[test]
    fn an_unguarded_optional_attribute_does_not_pass_the_door() {
        let open = "@id(\"a\") permit(principal, action, resource) when { context.purpose == \"close\" };";
        assert!(faults(open)[0].contains("purpose"));
        let guarded = "@id(\"a\") permit(principal, action, resource) when { context has purpose && context.purpose == \"close\" };";
        assert!(faults(guarded).is_empty(), "{:?}", faults(guarded));
    }
}
