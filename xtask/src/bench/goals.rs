//! What `bench decide` must show, as ratios within one run, and whether the engines agree.

use serde_json::{Value, json};

/// The goals; one whose figures were not measured has no value and does not fail.
pub(crate) fn goals(rows: &[Value], disagreements: usize) -> Vec<Value> {
    let of = |engine: &str, case: &str, key: &str| {
        rows.iter().find(|row| row["engine"] == engine && row["case"] == case).and_then(|row| row[key].as_f64())
    };
    let ours = |case: &str, key: &str| of("safeconduct", case, key);
    let cedar = |case: &str| of("cedar", case, "median_us");
    let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b.filter(|b| *b > 0.0)?);
    let (small, large, huge) = ("10", "100000", "1000000");
    let (median, p99) = ("median_us", "p99_us");
    let kept = ours(large, "resident_mb").zip(ours(large, "left_over_mb")).map(|(all, free)| all - free);
    let load = ratio(ours(large, "load_cpu_ms"), of("cedar-text", large, "load_cpu_ms"));
    let mut goals = vec![
        goal("Cedar's median at 10 rules / ours at 10", ratio(cedar(small), ours(small, median)), ">=", 10.0, "times"),
        goal(
            "Cedar's median at 10 rules / ours at 100 000",
            ratio(cedar(small), ours(large, median)),
            ">=",
            15.0,
            "times",
        ),
        goal(
            "Cedar's median at 10 rules / our 99th percentile at 100 000",
            ratio(cedar(small), ours(large, p99)),
            ">=",
            4.0,
            "times",
        ),
        goal(
            "Cedar's median / ours at 100 000 rules",
            ratio(cedar(large), ours(large, median)),
            ">=",
            100_000.0,
            "times",
        ),
        goal(
            "our median at 1 000 000 rules / at 100 000",
            ratio(ours(huge, median), ours(large, median)),
            "<=",
            3.0,
            "times",
        ),
        goal("resident at 100 000 rules and 10 000 people", ours(large, "resident_mb"), "<=", 100.0, "MB"),
        goal("the same without what is free again", kept, "<=", 100.0, "MB"),
        goal("CPU time to load 100 000 rules / of Cedar to parse them as one text", load, "<=", 1.0 / 6.0, "times"),
    ];
    for scenario in ["gdrive", "github", "tinytodo"] {
        let case = format!("{scenario} 50");
        let faster = ratio(cedar(&case), ours(&case, median));
        goals.push(goal(&format!("Cedar's median / ours in {case}"), faster, ">=", 10.0, "times"));
    }
    goals.push(goal("requests on which engines disagree", Some(disagreements as f64), "==", 0.0, "requests"));
    goals
}

fn goal(name: &str, value: Option<f64>, op: &str, goal: f64, unit: &str) -> Value {
    let holds = value.map(|value| match op {
        "<=" => value <= goal,
        ">=" => value >= goal,
        _ => (value - goal).abs() < f64::EPSILON,
    });
    json!({ "name": name, "value": value, "op": op, "goal": goal, "unit": unit, "holds": holds })
}

/// Every request of a case that both engines decided and that not both allow, in words.
pub(crate) fn disagreements(rows: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for ours in rows.iter().filter(|row| row["engine"] == "safeconduct") {
        for peer in rows.iter().filter(|row| row["case"] == ours["case"] && row["engine"] != "safeconduct") {
            let (case, name) = (ours["case"].as_str().unwrap_or_default(), peer["engine"].as_str().unwrap_or_default());
            let pairs = bits(ours).into_iter().zip(bits(peer)).enumerate();
            for (request, (we, they)) in pairs.filter(|(_, (we, they))| we != they) {
                let word = |allows: bool| if allows { "allows" } else { "denies" };
                found.push(format!("{case}, request {request}: safeconduct {}, {name} {}", word(we), word(they)));
            }
        }
    }
    found
}

/// The answers of a row, as many as were decided.
fn bits(row: &Value) -> Vec<bool> {
    let decided = row["decided"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let digits = row["answers"].as_str().unwrap_or_default().chars().filter_map(|c| c.to_digit(16));
    digits.flat_map(|digit| (0..4).map(move |bit| digit & (1 << bit) != 0)).take(decided).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(engine: &str, case: &str, median: f64) -> Value {
        json!({ "engine": engine, "case": case, "median_us": median, "p99_us": 2.0 * median, "load_cpu_ms": 10.0, "resident_mb": 120.0,
            "left_over_mb": 50.0 })
    }

    fn holds(goals: &[Value], name: &str) -> Option<bool> {
        let found = goals.iter().find(|goal| goal["name"].as_str().is_some_and(|n| n.starts_with(name)));
        found.expect("there is such a goal")["holds"].as_bool()
    }

    #[test]
    fn goals_are_ratios_and_what_was_not_measured_is_no_goal() {
        let rows = [row("safeconduct", "10", 0.5), row("cedar", "10", 8.0), row("safeconduct", "100000", 0.6)];
        let found = goals(&rows, 0);
        assert_eq!(holds(&found, "Cedar's median at 10 rules / ours at 10"), Some(true));
        assert_eq!(holds(&found, "Cedar's median at 10 rules / ours at 100 000"), Some(false));
        assert_eq!(holds(&found, "Cedar's median at 10 rules / our 99th"), Some(true));
        assert_eq!(holds(&found, "our median at 1 000 000"), None);
        assert_eq!(holds(&found, "resident"), Some(false));
        assert_eq!(holds(&found, "the same without"), Some(true));
        assert_eq!(holds(&found, "requests on which"), Some(true));
        assert_eq!(holds(&goals(&rows, 1), "requests on which"), Some(false));
    }

    #[test]
    fn engines_are_compared_request_by_request_as_far_as_both_came() {
        let row = |engine: &str, answers: &str, decided: usize| json!({ "engine": engine, "case": "10", "answers": answers, "decided": decided });
        let ours = row("safeconduct", "31", 6);
        assert_eq!(disagreements(&[ours.clone(), row("cedar", "31", 6)]), Vec::<String>::new());
        assert_eq!(disagreements(&[ours.clone(), row("cedar", "3f", 4)]), Vec::<String>::new());
        let wrong = disagreements(&[ours, row("cedar", "32", 6)]);
        assert_eq!(
            wrong,
            ["10, request 4: safeconduct allows, cedar denies", "10, request 5: safeconduct denies, cedar allows"]
        );
    }
}
