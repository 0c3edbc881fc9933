//! `policy eval`: any Cedar policy set over any entities, one answer a request.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};
use safeconduct_model::Fault;
use safeconduct_policy::engine::{
    self, Builder, Cedar, Engine, Entities, Mode, Prepared, Request, Rules, Schema, Scratch, Unreadable,
};
use serde_json::json;

use crate::out::{self, aside, say};

/// How many decisions are measured at least, for a 99th percentile that means something.
const MEASURED: usize = 10_000;
/// Measuring ends after this time, also with fewer decisions.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024 * 1024;

/// Who decides.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decider {
    /// Safeconduct's compiled engine.
    Compiled,
    /// Cedar's own authorizer.
    Cedar,
}

/// What `policy eval` reads.
#[derive(Args)]
pub(crate) struct Eval {
    /// A .cedar file, a .json file with a whole set (templates and links too), or a folder of them. Rules are called policy0,
    /// policy1, … in the order in which they stand; files of a folder come by name.
    #[arg(long, value_name = "FILE|DIR")]
    policies: PathBuf,
    /// A schema, as Cedar's text or JSON; entities and contexts are read with it.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Entities as Cedar's JSON.
    #[arg(long, value_name = "FILE")]
    entities: PathBuf,
    /// One request a line: {"principal", "action", "resource", "context"}.
    #[arg(long, value_name = "FILE.jsonl")]
    requests: PathBuf,
    /// Who decides.
    #[arg(long, value_enum, default_value = "compiled")]
    engine: Decider,
    /// Refuse policies and requests that do not pass strict validation.
    #[arg(long, requires = "schema")]
    validate: bool,
    /// Tell median and 99th percentile per decision, without the parsing, on standard error.
    #[arg(long)]
    time: bool,
    /// As JSON lines.
    #[arg(long)]
    json: bool,
}

/// Faults, or nothing.
type Read<T> = Result<T, Vec<Fault>>;

pub(crate) fn eval(eval: &Eval) -> Result<out::Answer> {
    match answer(eval) {
        Ok(()) => Ok(out::Answer::Done),
        Err(faults) => Ok(out::Answer::BadInput(faults)),
    }
}

fn answer(eval: &Eval) -> Read<()> {
    let schema = match &eval.schema {
        Some(path) => Some(Schema::parse(&text(path)?).map_err(|e| unreadable(path, &e))?),
        None => None,
    };
    let entities =
        Entities::parse(&text(&eval.entities)?, schema.as_ref()).map_err(|e| unreadable(&eval.entities, &e))?;
    let texts = policies(&eval.policies)?;
    let requests = requests(&eval.requests, schema.as_ref(), eval.validate)?;
    if let (true, Some(schema)) = (eval.validate, &schema) {
        let faults = rules(&texts)?.validate(schema);
        if !faults.is_empty() {
            let place = eval.policies.display().to_string();
            return Err(faults.iter().map(|f| Fault::new(&place, 0, f, "compare with the schema")).collect());
        }
    }
    let start = Instant::now();
    match eval.engine {
        Decider::Compiled => {
            let engine = compile(&texts, &entities, &eval.entities)?;
            let loaded = start.elapsed();
            let prepared: Vec<Prepared<'_>> = requests
                .iter()
                .map(|(line, request)| {
                    engine.prepare(request).map_err(|e| unreadable(&eval.requests, &Unreadable { line: *line, ..e }))
                })
                .collect::<Read<_>>()?;
            let mut scratch = Scratch::default();
            for prepared in &prepared {
                let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
                tell(eval.json, &prepared.answer(outcome, &scratch));
            }
            if eval.time {
                let metrics = engine.metrics();
                let times = measure(&prepared, |p| p.decide(Mode::Exhaustive, &mut scratch).allows());
                let early = measure(&prepared, |p| p.decide(Mode::EarlyExit, &mut scratch).allows());
                let what =
                    format!("compiled, {} rules, {} of them evaluated by Cedar", metrics.rules, metrics.fallbacks);
                report(eval.json, &what, loaded, &[("exhaustive", times), ("early_exit", early)]);
            }
        }
        Decider::Cedar => {
            let cedar = Cedar::new(rules(&texts)?, entities);
            let loaded = start.elapsed();
            for (_, request) in &requests {
                tell(eval.json, &cedar.answer(request));
            }
            if eval.time {
                let times = measure(&requests, |(_, request)| cedar.allows(request));
                report(eval.json, "cedar", loaded, &[("exhaustive", times)]);
            }
        }
    }
    Ok(())
}

/// A policy file and its content.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_json(&self) -> bool {
        self.path.extension().is_some_and(|e| e == "json")
    }
}

fn compile(sources: &[Source], entities: &Entities, entities_path: &Path) -> Read<Engine> {
    if sources.iter().any(Source::is_json) {
        return Engine::compile(&rules(sources)?, entities).map_err(|e| unreadable(entities_path, &e));
    }
    let mut builder = Builder::new(entities).map_err(|e| unreadable(entities_path, &e))?;
    for source in sources {
        builder.add_text(&source.text).map_err(|e| unreadable(&source.path, &e))?;
    }
    Ok(builder.finish())
}

fn rules(sources: &[Source]) -> Read<Rules> {
    let mut rules = Rules::default();
    for source in sources {
        let added = if source.is_json() { rules.add_json(&source.text) } else { rules.add_text(&source.text) };
        added.map_err(|e| unreadable(&source.path, &e))?;
    }
    Ok(rules)
}

fn policies(path: &Path) -> Read<Vec<Source>> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|e| unread(path, e))?;
        let all: Vec<PathBuf> =
            entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>().map_err(|e| unread(path, e))?;
        paths = all.into_iter().filter(|p| p.extension().is_some_and(|e| e == "cedar" || e == "json")).collect();
        paths.sort();
        if paths.is_empty() {
            let fault = Fault::new(
                path.display().to_string(),
                0,
                "there is no policy in the folder",
                "put *.cedar or *.json there",
            );
            return Err(vec![fault]);
        }
    }
    paths.into_iter().map(|path| text(&path).map(|text| Source { path, text })).collect()
}

/// The requests with their lines; every line that is none is told.
fn requests(path: &Path, schema: Option<&Schema>, validate: bool) -> Read<Vec<(u32, Request)>> {
    let (mut requests, mut faults) = (Vec::new(), Vec::new());
    let text = text(path)?;
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let read = serde_json::from_str(line)
            .map_err(|e| e.to_string())
            .and_then(|json: serde_json::Value| Request::from_json(&json, schema).map_err(|e| e.to_string()));
        let invalid = |request: &Request| schema.filter(|_| validate).and_then(|schema| request.validate(schema));
        match read.and_then(|request| invalid(&request).map_or(Ok(request), Err)) {
            Ok(request) => requests.push((number, request)),
            Err(what) => {
                let remedy = r#"write {"principal": {"type": …, "id": …}, "action": …, "resource": …, "context": {…}}"#;
                faults.push(Fault::new(path.display().to_string(), number, what, remedy));
            }
        }
    }
    if faults.is_empty() { Ok(requests) } else { Err(faults) }
}

fn text(path: &Path) -> Read<String> {
    let size = fs::metadata(path).map_err(|e| unread(path, e))?.len();
    if size > MAX_FILE {
        return Err(unread(path, "the file is larger than 1 GiB"));
    }
    fs::read_to_string(path).map_err(|e| unread(path, e))
}

fn unread(path: &Path, error: impl Display) -> Vec<Fault> {
    vec![Fault::new(path.display().to_string(), 0, error.to_string(), "name a file that can be read")]
}

fn unreadable(path: &Path, error: &Unreadable) -> Vec<Fault> {
    let remedy = "see https://docs.cedarpolicy.com";
    vec![Fault::new(path.display().to_string(), error.line, &error.what, remedy)]
}

fn tell(json: bool, answer: &engine::Answer) {
    if json {
        say(serde_json::to_string(answer).unwrap_or_default());
        return;
    }
    let list = |name: &str, ids: &[String]| {
        if ids.is_empty() { String::new() } else { format!("  {name} {}", ids.join(", ")) }
    };
    say(format!("{}{}{}", answer.decision, list("by", &answer.determining), list("errors in", &answer.errors)));
}

/// How long each decision took, sorted. Everything was decided once before, so nothing is cold.
fn measure<T>(requests: &[T], mut decide: impl FnMut(&T) -> bool) -> Vec<Duration> {
    let (begin, mut times, mut allowed) = (Instant::now(), Vec::new(), 0_usize);
    while !requests.is_empty() && times.len() < MEASURED && begin.elapsed() < PATIENCE {
        for request in requests {
            let start = Instant::now();
            let allows = std::hint::black_box(decide(request));
            times.push(start.elapsed());
            allowed += usize::from(allows);
        }
    }
    std::hint::black_box(allowed);
    times.sort_unstable();
    times
}

fn report(json: bool, engine: &str, load: Duration, times: &[(&str, Vec<Duration>)]) {
    let at = |sorted: &[Duration], percent: usize| {
        let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).map_or(0.0, |d| d.as_secs_f64() * 1e6)
    };
    for (mode, sorted) in times {
        let (median, p99) = (at(sorted, 50), at(sorted, 99));
        if json {
            let load = load.as_secs_f64() * 1e3;
            aside(json!({ "engine": engine, "mode": mode, "decisions": sorted.len(), "median_us": median, "p99_us": p99, "load_ms": load }).to_string());
        } else {
            let (decisions, load) = (sorted.len(), load.as_secs_f64() * 1e3);
            aside(format!(
                "{engine}; {mode}: median {median:.3} µs, 99th percentile {p99:.3} µs per decision ({decisions} decisions, loaded in {load:.1} ms)"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"{"principal":{"type":"User","id":"ann"},"action":"Action::\"read\"","resource":{"type":"App","id":"wiki"}}"#;

    #[test]
    fn every_line_that_is_no_request_is_told_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests.jsonl");
        fs::write(&path, format!("{GOOD}\n\nnothing\n{{}}\n")).unwrap();
        let faults = requests(&path, None, false).err().unwrap();
        let told: Vec<(u32, bool)> = faults.iter().map(|f| (f.line, f.what.contains("principal"))).collect();
        assert_eq!(told, [(3, false), (4, true)]);
    }

    #[test]
    fn the_files_of_a_folder_come_by_name_and_number_their_rules_on() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("b.cedar", "forbid(principal, action, resource);");
        put("a.cedar", "permit(principal, action, resource);");
        put("notes.txt", "no policy");
        put("requests", GOOD);
        let sources = policies(dir.path()).unwrap();
        let entities = Entities::parse("[]", None).unwrap();
        let requests = requests(&dir.path().join("requests"), None, false).unwrap();
        let engine = compile(&sources, &entities, dir.path()).unwrap();
        let prepared = engine.prepare(&requests[0].1).unwrap();
        let mut scratch = Scratch::default();
        let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
        let answer = prepared.answer(outcome, &scratch);
        assert_eq!(answer, Cedar::new(rules(&sources).unwrap(), entities).answer(&requests[0].1));
        assert_eq!((answer.decision, answer.determining), ("deny", vec!["policy1".to_owned()]));
        let faults = policies(&dir.path().join("nowhere")).err().unwrap();
        assert!(faults[0].to_string().contains("nowhere"), "{}", faults[0]);
    }
}
