//! What fuzz targets, their replay in the tests and long comparisons share. Not part of the interface.
//!
//! Two questions are asked: [`compare`], whether the engine's own parser and Cedar's read a text alike, and [`decide`], whether
//! the compiled engine and Cedar decide alike. Inputs are bytes; [`Choices`] turns them into policies, entities and requests.

mod choices;
mod mutate;

pub use choices::Choices;
pub use mutate::{Dice, mutated};

use crate::cedar::nesting;
use crate::cedar::sets::Statement;
use crate::engine::parse;
use crate::engine::{Builder, Cedar, Entities, Mode, Outcome, Request, Rules, Scratch};
use crate::{PolicyText, Snapshot, Sources};

/// What both parsers say of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// It is no policy.
    Refused,
    /// It is a template.
    Template,
    /// It is a rule, and the clause is the same.
    Rule,
    /// Cedar reads it, and neither has a clause for it: it calls a function with a wrong number of arguments.
    Elsewhere,
    /// Cedar reads it, and the own parser does not, for its depth alone.
    TooDeep,
    /// It is nested so deeply that Cedar is not asked.
    Unasked,
}

/// Beyond this, Cedar is not asked.
const MOST_NESTED: usize = 1_000;

/// The statements of a text.
pub fn statements(text: &str) -> Vec<&str> {
    crate::load::statements(text).into_iter().map(|s| s.text).collect()
}

/// Reads one statement with the own parser only; whether it is one.
pub fn reads(text: &str) -> bool {
    parse::statement(text).is_ok()
}

/// Reads one statement with Cedar only, as far as the clause; whether there is one.
pub fn cedar_reads(text: &str) -> bool {
    Statement::parse(text, 0).is_ok_and(|read| read.clause().is_some_and(|clause| clause.is_ok()))
}

/// Reads one statement with both parsers.
///
/// # Errors
/// If they differ, in words.
pub fn compare(text: &str) -> Result<Same, String> {
    let ours = parse::statement(text);
    if nesting(text) > MOST_NESTED {
        return Ok(Same::Unasked);
    }
    let read = match (Statement::parse_safely(text, 0), &ours) {
        (Ok(read), _) => read,
        (Err(_), Err(_)) => return Ok(Same::Refused),
        (Err(theirs), Ok(_)) => return Err(format!("Cedar refuses ({theirs}) what the own parser accepts: {text:?}")),
    };
    match (read.clause(), ours) {
        (None, Ok(ours)) if ours.clause.is_none() => Ok(Same::Template),
        (Some(Ok(mut theirs)), Ok(parse::Parsed { clause: Some(ours), annotations })) => {
            theirs.id.clear();
            if theirs != ours {
                return Err(format!("{text:?}: {ours:?} instead of {theirs:?}"));
            }
            let mut annotations: Vec<(&str, &str)> = annotations.iter().map(|(n, v)| (*n, v.as_ref())).collect();
            annotations.sort_unstable();
            let theirs = read.annotations();
            if theirs != annotations {
                Err(format!("{text:?}: {annotations:?} instead of {theirs:?}"))
            } else {
                Ok(Same::Rule)
            }
        }
        (Some(Err(_)), Err(_)) => Ok(Same::Elsewhere),
        (Some(Ok(_)), Err(stray)) if parse::is_too_deep(stray) => Ok(Same::TooDeep),
        (_, Err(stray)) => Err(format!("the own parser refuses ({stray}) what Cedar accepts: {text:?}")),
        (theirs, Ok(ours)) => {
            let theirs = match theirs {
                None => "a template",
                Some(Err(_)) => "beyond the compiler",
                Some(Ok(_)) => "a rule",
            };
            Err(format!("{text:?}: for Cedar it is {theirs}, for the own parser {ours:?}"))
        }
    }
}

/// Builds a snapshot of any text; it may be refused, and it must not panic.
pub fn load(text: &str) -> bool {
    let policies = vec![PolicyText { file: "fuzz.cedar".into(), text: text.into() }];
    let sources = Sources { policies, applications: vec![], assets: vec![], zone: jiff::tz::TimeZone::UTC };
    Snapshot::build(1, sources).is_ok()
}

/// The first byte of choices for [`compile`]; no text begins with it.
pub const CHOICES: u8 = 0xff;

/// Compares both parsers on the statements of a text, or of policies that are made from bytes after [`CHOICES`].
///
/// # Errors
/// If they differ, in words.
pub fn compile(bytes: &[u8]) -> Result<usize, String> {
    let text = match bytes.split_first() {
        Some((&CHOICES, rest)) => Choices::new(rest).policies().join("\n"),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Ok(0),
        },
    };
    // What is not cut is compared too: both must refuse more than one statement.
    compare(&text)?;
    let statements = statements(&text);
    for statement in &statements {
        compare(statement)?;
    }
    Ok(statements.len())
}

/// Makes rules, entities and requests from bytes and asks both engines.
///
/// # Errors
/// If they differ, in words.
pub fn decide(bytes: &[u8]) -> Result<usize, String> {
    let mut choices = Choices::new(bytes);
    let policies = choices.policies();
    let (entities, requests) = (choices.entities(), choices.requests());
    let text = policies.join("\n");
    let Ok(entities) = Entities::parse(&entities.to_string(), None) else { return Ok(0) };
    let mut rules = Rules::default();
    let mut builder = Builder::new(&entities).map_err(|e| format!("an entity is not plain: {e}"))?;
    if let Err(theirs) = rules.add_text(&text) {
        return match builder.add_text(&text) {
            Err(ours) if ours == theirs => Ok(0),
            Err(ours) => Err(format!("{text}: `{ours}` instead of `{theirs}`")),
            Ok(()) => Err(format!("Cedar refuses ({theirs}) what the engine accepts: {text}")),
        };
    }
    builder.add_text(&text).map_err(|ours| format!("the engine refuses ({ours}) what Cedar accepts: {text}"))?;
    let engine = builder.finish();
    let cedar = Cedar::new(rules, entities);
    let mut scratch = Scratch::default();
    let mut decided = 0;
    for json in requests {
        let Ok(request) = Request::from_json(&json, None) else { continue };
        let Ok(prepared) = engine.prepare(&request) else { continue };
        let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
        let (ours, theirs) = (prepared.answer(outcome, &scratch), cedar.answer(&request));
        if ours != theirs {
            return Err(format!("{ours:?} instead of {theirs:?} for {json} under {text}"));
        }
        let early = prepared.decide(Mode::EarlyExit, &mut scratch);
        let stricter = early == Outcome::Error && !ours.errors.is_empty();
        if !stricter && early.allows() != outcome.allows() {
            return Err(format!("{early:?} at the first exit instead of {outcome:?} for {json} under {text}"));
        }
        decided += 1;
    }
    Ok(decided)
}
