//! The engines, each run in a process of its own so that its memory is its own.

use anyhow::{Context, Result, bail};
use safeconduct_policy::engine::{Builder, Cedar, Entities, Mode, Outcome, Prepared, Request, Rules, Scratch};
use serde_json::{Value, json};

use crate::figures::{Figures, Loading, clock_us, each, resident_mb};
use crate::shape::{Estate, Size, asks, rules};

/// Rules of one module in Rego: a file may have 1 MiB and 20 000 lines.
const RULES_PER_MODULE: usize = 2_000;

/// Runs one engine on one workload; one row for each mode that it has.
pub(crate) fn run(engine: &str, size: Size) -> Result<Vec<Value>> {
    match engine {
        "safeconduct" => safeconduct(size),
        "cedar" => cedar(size),
        "cedar-text" => cedar_text(size),
        "regorus" => regorus(size),
        "clock" => Ok(vec![json!({ "engine": "clock", "median_us": clock_us() })]),
        other => bail!("no engine is called `{other}`"),
    }
}

fn entities(size: Size) -> Result<Entities> {
    Ok(Entities::parse(&Estate::of(size).json(), None)?)
}

fn requests(size: Size) -> Result<Vec<Request>> {
    Ok(asks(size).map(|ask| Request::from_json(&ask.cedar(), None)).collect::<Result<_, _>>()?)
}

fn safeconduct(size: Size) -> Result<Vec<Value>> {
    let before = resident_mb();
    let mut builder = Builder::read(&Estate::of(size).json())?;
    let loading = Loading::begin(before);
    for rule in rules(size) {
        builder.add_text(&rule.cedar())?;
    }
    let engine = builder.finish();
    let cost = loading.end();
    let requests = requests(size)?;
    let prepared: Vec<Prepared<'_>> = requests.iter().map(|r| engine.prepare(r)).collect::<Result<_, _>>()?;
    let mut scratch = Scratch::default();
    let mut rows = Vec::new();
    for (name, mode) in [("safeconduct", Mode::EarlyExit), ("safeconduct exhaustive", Mode::Exhaustive)] {
        rows.push(each(&prepared, |p| p.decide(mode, &mut scratch) == Outcome::Permit).row(name, &cost));
    }
    Ok(rows)
}

fn cedar(size: Size) -> Result<Vec<Value>> {
    let before = resident_mb();
    let entities = entities(size)?;
    let loading = Loading::begin(before);
    let mut set = Rules::default();
    for rule in rules(size) {
        set.add_text(&rule.cedar())?;
    }
    let cost = loading.end();
    let cedar = Cedar::new(set, entities);
    Ok(vec![each(&requests(size)?, |r| cedar.allows(r)).row("cedar", &cost)])
}

/// How long Cedar takes to parse the same rules as one text; nothing is decided.
fn cedar_text(size: Size) -> Result<Vec<Value>> {
    let before = resident_mb();
    let text: String = rules(size).map(|rule| rule.cedar()).collect();
    let loading = Loading::begin(before);
    let set = Rules::parse_whole(&text)?;
    let (wall, cpu) = loading.took();
    drop(text);
    let cost = loading.end_having_taken(wall, cpu);
    anyhow::ensure!(set.len() == size.rules, "{} rules of {} were read", set.len(), size.rules);
    Ok(vec![Figures::none().row("cedar-text", &cost)])
}

fn regorus(size: Size) -> Result<Vec<Value>> {
    let estate = Estate::of(size);
    let before = resident_mb();
    let loading = Loading::begin(before);
    let mut engine = regorus::Engine::new();
    let head = "package bench\nimport rego.v1\n";
    let outcome =
        "default allow := false\nallow if { permit; not forbid }\ndefault permit := false\ndefault forbid := false\n";
    engine.add_policy("bench.rego".into(), format!("{head}{outcome}"))?;
    let all: Vec<_> = rules(size).collect();
    for (number, some) in all.chunks(RULES_PER_MODULE).enumerate() {
        let text: String = some.iter().map(|rule| rule.rego()).collect();
        engine.add_policy(format!("bench{number}.rego"), format!("{head}{text}"))?;
    }
    drop(all);
    let compiled = engine.compile_with_entrypoint(&"data.bench.allow".into())?;
    let cost = loading.end();
    let inputs: Vec<regorus::Value> = asks(size)
        .map(|ask| regorus::Value::from_json_str(&ask.rego(&estate).to_string()))
        .collect::<Result<_>>()
        .context("the inputs are JSON")?;
    let figures = each(&inputs, |input| {
        compiled.eval_with_input(input.clone()).is_ok_and(|allow| allow == regorus::Value::from(true))
    });
    Ok(vec![figures.row("regorus", &cost)])
}
