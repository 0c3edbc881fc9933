//! The engines, each run in a process of its own so that its memory is its own.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use cedar_policy::PolicySet;
use safeconduct_policy::engine::{Builder, Cedar, Entities, Mode, Outcome, Prepared, Request, Rules, Scratch};
use serde_json::{Value, json};

use crate::figures::{Figures, each, ms, resident_mb};
use crate::shape::{Estate, Size, asks, rules};

/// Runs one engine on one workload.
pub(crate) fn run(engine: &str, size: Size) -> Result<Value> {
    match engine {
        "safeconduct" => ours(size, Mode::EarlyExit),
        "safeconduct-exhaustive" => ours(size, Mode::Exhaustive),
        "cedar" => cedar(size),
        "cedar-text" => cedar_text(size),
        "regorus" => regorus(size),
        other => bail!("no engine is called `{other}`"),
    }
}

fn told(load_ms: f64, resident: f64, figures: &Figures) -> Value {
    let Figures { median_us, p99_us, decided, allowed } = figures;
    json!({ "load_ms": load_ms, "resident_mb": resident, "median_us": median_us, "p99_us": p99_us,
        "decided": decided, "allowed": allowed })
}

fn ours(size: Size, mode: Mode) -> Result<Value> {
    let entities = Estate::of(size).json().to_string();
    let before = resident_mb();
    let mut builder = Builder::new(&Entities::parse(&entities, None)?)?;
    let start = Instant::now();
    for rule in rules(size) {
        builder.add_text(&rule.cedar())?;
    }
    let engine = builder.finish();
    let (load, resident) = (ms(start), resident_mb() - before);
    let requests: Vec<Request> =
        asks(size).map(|ask| Request::from_json(&ask.cedar(), None)).collect::<Result<_, _>>()?;
    let prepared: Vec<Prepared<'_>> = requests.iter().map(|r| engine.prepare(r)).collect::<Result<_, _>>()?;
    let mut scratch = Scratch::default();
    let figures = each(&prepared, |p| p.decide(mode, &mut scratch) == Outcome::Permit);
    Ok(told(load, resident, &figures))
}

fn cedar(size: Size) -> Result<Value> {
    let entities = Estate::of(size).json().to_string();
    let before = resident_mb();
    let entities = Entities::parse(&entities, None)?;
    let start = Instant::now();
    let mut set = Rules::default();
    for rule in rules(size) {
        set.add_text(&rule.cedar())?;
    }
    let (load, resident) = (ms(start), resident_mb() - before);
    let cedar = Cedar::new(set, entities);
    let requests: Vec<Request> =
        asks(size).map(|ask| Request::from_json(&ask.cedar(), None)).collect::<Result<_, _>>()?;
    let figures = each(&requests, |r| cedar.allows(r));
    Ok(told(load, resident, &figures))
}

/// How long Cedar takes to parse the same rules as one text; nothing is decided.
fn cedar_text(size: Size) -> Result<Value> {
    let text: String = rules(size).map(|rule| rule.cedar()).collect();
    let (before, start) = (resident_mb(), Instant::now());
    let set: PolicySet = text.parse()?;
    let (load, resident) = (ms(start), resident_mb() - before);
    Ok(json!({ "load_ms": load, "resident_mb": resident, "rules": set.num_of_policies() }))
}

fn regorus(size: Size) -> Result<Value> {
    let estate = Estate::of(size);
    let before = resident_mb();
    let start = Instant::now();
    let mut text = String::from(
        "package bench\nimport rego.v1\ndefault allow := false\nallow if { permit; not forbid }\ndefault permit := false\ndefault forbid := false\n",
    );
    text.extend(rules(size).map(|rule| rule.rego()));
    let mut engine = regorus::Engine::new();
    engine.clear_policy_length_config();
    engine.add_policy("bench.rego".into(), text)?;
    let compiled = engine.compile_with_entrypoint(&"data.bench.allow".into())?;
    let (load, resident) = (ms(start), resident_mb() - before);
    let inputs: Vec<regorus::Value> = asks(size)
        .map(|ask| regorus::Value::from_json_str(&ask.rego(&estate).to_string()))
        .collect::<Result<_>>()
        .context("the inputs are JSON")?;
    let figures = each(&inputs, |input| {
        compiled.eval_with_input(input.clone()).is_ok_and(|allow| allow == regorus::Value::from(true))
    });
    Ok(told(load, resident, &figures))
}
