//! `bench differential`: random schemas, policies, entities and requests; the compiled engine in both modes against Cedar.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{load, machine, program, write};
use crate::terminal::{say, spaced};
use crate::tree;

/// Decisions of a whole run.
const DECISIONS: u64 = 10_000_000;
/// The run that everybody can repeat.
const SEED: u64 = 20_261_122;

/// Runs until so many decisions are compared. False if there is a difference.
pub(crate) fn differential(options: &[&str]) -> Result<bool> {
    let (decisions, seed) = options_of(options)?;
    let root = tree::root()?;
    say("building ...");
    let program = program(&root)?;
    say(format!("{} decisions, seed {seed} ...", spaced(decisions)));
    let words = ["differential".to_owned(), decisions.to_string(), seed.to_string()];
    let mut child = Command::new(program).args(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let output = child.stdout.take().context("the program has no output")?;
    let mut result = Value::Null;
    for line in BufReader::new(output).lines() {
        let told: Value = serde_json::from_str(&line?)?;
        if let (Some(decided), Some(rate)) = (told["decided"].as_u64(), told["per_second"].as_f64()) {
            say(format!("    {} decided, {rate:.0} a second", spaced(decided)));
        } else {
            result = told;
        }
    }
    ensure!(child.wait()?.success() && result["decisions"].is_u64(), "the run ended early");
    lines(&result).into_iter().for_each(say);
    let goals = [("differences", "==", 0), ("decisions", ">=", decisions)].map(|(name, op, goal)| {
        let value = result[name].as_u64();
        let holds = value.is_some_and(|value| if op == "==" { value == goal } else { value >= goal });
        json!({ "name": name, "value": value, "op": op, "goal": goal, "unit": "decisions", "holds": holds })
    });
    let holds = goals.iter().all(|goal| goal["holds"] == true);
    let file =
        json!({ "name": "differential", "machine": machine(), "load": load(), "rows": [result], "goals": goals });
    let file = write(&root, "bench", "differential", &file)?;
    say(if holds { format!("no difference; see {file}") } else { format!("THE ENGINES DIFFER; see {file}") });
    Ok(holds)
}

fn options_of(options: &[&str]) -> Result<(u64, u64)> {
    let (mut decisions, mut seed, mut rest) = (DECISIONS, SEED, options);
    while let [name, value, others @ ..] = rest {
        let number = value.parse().with_context(|| format!("{name} {value}: it must be a number"))?;
        match *name {
            "--decisions" => decisions = number,
            "--seed" => seed = number,
            _ => bail!("bench differential takes [--decisions N] [--seed N]"),
        }
        rest = others;
    }
    ensure!(rest.is_empty(), "bench differential takes [--decisions N] [--seed N]");
    ensure!(decisions > 0, "--decisions 0: there would be nothing to decide");
    Ok((decisions, seed))
}

fn lines(result: &Value) -> Vec<String> {
    let number = |name: &str| result[name].as_u64().unwrap_or(0);
    let share = |part: u64, of: u64| format!("{} ({:.1} %)", spaced(part), part as f64 * 100.0 / of.max(1) as f64);
    let (decisions, sets) = (number("decisions"), number("sets"));
    let mut lines = vec![
        format!("decisions       {}", spaced(decisions)),
        format!("  allowed       {}", share(number("allowed"), decisions)),
        format!("  denied        {}", share(number("denied"), decisions)),
        format!("  with errors   {}", share(number("with_errors"), decisions)),
        format!("  early exit denies by design what Cedar allows: {}", share(number("stricter_by_design"), decisions)),
        format!("sets            {}, {} rules", spaced(sets), spaced(number("rules"))),
        format!("  strictly valid {}", share(number("sets_valid"), sets)),
        format!("  with a rule that Cedar evaluates {}", share(number("sets_with_fallback"), sets)),
        format!("seed {}, {:.0} s", number("seed"), result["seconds"].as_f64().unwrap_or(0.0)),
        format!("differences     {}", spaced(number("differences"))),
    ];
    for shown in result["shown"].as_array().into_iter().flatten() {
        let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
        lines.push(format!("case {}: {}\n{}", shown["case"], text("how"), text("smallest")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_any_order() {
        assert_eq!(options_of(&[]).expect("whole"), (DECISIONS, SEED));
        assert_eq!(options_of(&["--seed", "3", "--decisions", "9"]).expect("both"), (9, 3));
        for bad in [&["--seed"][..], &["--decisions", "0"], &["--decisions", "x"], &["--quick", "1"]] {
            assert!(options_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_difference_is_told_with_its_smallest_case() {
        let result = json!({ "decisions": 200, "allowed": 50, "denied": 150, "with_errors": 20, "sets": 1, "differences": 1,
            "shown": [{ "case": 77, "how": "allow instead of deny", "smallest": "policy0: permit(…);" }] });
        let text = lines(&result).join("\n");
        for part in
            ["allowed       50 (25.0 %)", "differences     1", "case 77: allow instead of deny\npolicy0: permit"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
