//! One case through both engines.

use safeconduct_policy::engine::{
    Answer, Builder, Cedar, Engine, Entities, Mode, Outcome, Prepared, Request, Rules, Schema, Scratch,
};

use super::Case;

/// What many cases came to.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    pub(crate) sets: usize,
    /// Sets that come with a schema and pass strict validation.
    pub(crate) valid: usize,
    /// Sets with a rule that the compiler leaves to Cedar.
    pub(crate) with_fallback: usize,
    pub(crate) rules: usize,
    pub(crate) decisions: usize,
    pub(crate) allowed: usize,
    /// Decisions that name a rule which could not be evaluated.
    pub(crate) with_errors: usize,
    /// Decisions that Cedar allows and the early exit denies, because it met a rule that cannot be evaluated.
    pub(crate) stricter: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.sets += other.sets;
        self.valid += other.valid;
        self.with_fallback += other.with_fallback;
        self.rules += other.rules;
        self.decisions += other.decisions;
        self.allowed += other.allowed;
        self.with_errors += other.with_errors;
        self.stricter += other.stricter;
    }
}

/// A request that the engines do not agree about, by its number, and how.
pub(crate) type Difference = (usize, String);

/// Decides every request of a case with both engines. What does not concern one request is told of the first.
pub(crate) fn check(case: &Case, tally: &mut Tally) -> Vec<Difference> {
    // What Cedar refuses is no case; what the engine alone refuses is a difference.
    let schema = case.schema.as_ref().map(|text| Schema::parse(text).expect("generated schemas are schemas"));
    let json = serde_json::Value::Array(case.entities.clone()).to_string();
    let entities = Entities::parse(&json, schema.as_ref()).expect("generated entities are entities");
    let rules = rules(case);
    let engine = match compile(case, &rules, &entities) {
        Ok(engine) => engine,
        Err(error) => return vec![(0, format!("the engine refuses the set: {error}"))],
    };
    tally.sets += 1;
    tally.valid += usize::from(schema.as_ref().is_some_and(|schema| rules.validate(schema).is_empty()));
    tally.with_fallback += usize::from(engine.metrics().fallbacks > 0);
    tally.rules += engine.metrics().rules;
    let cedar = Cedar::new(rules, entities);
    let (mut scratch, mut differences) = (Scratch::default(), Vec::new());
    let mut last: Option<(&serde_json::Value, Request)> = None;
    for (number, json) in case.requests.iter().enumerate() {
        // Reading a context takes longer than anything else, so neighbours share one.
        let request = match &last {
            Some((context, request)) if **context == json["context"] => request.with(json),
            _ => Request::from_json(json, schema.as_ref()),
        };
        let request = request.expect("generated requests are requests");
        last = Some((&json["context"], request.clone()));
        let wanted = cedar.answer(&request);
        let prepared = match engine.prepare(&request) {
            Ok(prepared) => prepared,
            Err(error) => {
                differences.push((number, format!("the engine refuses the request: {error}")));
                continue;
            }
        };
        tally.decisions += 1;
        tally.allowed += usize::from(wanted.decision == "allow");
        tally.with_errors += usize::from(!wanted.errors.is_empty());
        if let Some(how) = difference(&prepared, &wanted, &mut scratch, tally) {
            differences.push((number, how));
        }
    }
    differences
}

fn rules(case: &Case) -> Rules {
    let mut rules = Rules::default();
    for policy in &case.policies {
        rules.add_text(&policy.to_string()).expect("generated policies are policies");
    }
    for (number, policy) in case.policies.iter().enumerate() {
        for (link, [principal, resource]) in policy.links.iter().enumerate() {
            let id = format!("policy{number}-{link}");
            let linked = rules.link(&format!("policy{number}"), &id, principal.as_deref(), resource.as_deref());
            linked.expect("generated links fit their templates");
        }
    }
    rules
}

/// Sets without links go rule by rule, as they do in production; the others as a whole.
fn compile(case: &Case, rules: &Rules, entities: &Entities) -> Result<Engine, safeconduct_policy::engine::Unreadable> {
    if case.policies.iter().any(|policy| !policy.links.is_empty()) {
        return Engine::compile(rules, entities);
    }
    let mut builder = Builder::new(entities)?;
    for policy in &case.policies {
        builder.add_text(&policy.to_string())?;
    }
    Ok(builder.finish())
}

fn difference(prepared: &Prepared<'_>, wanted: &Answer, scratch: &mut Scratch, tally: &mut Tally) -> Option<String> {
    let outcome = prepared.decide(Mode::Exhaustive, scratch);
    let answer = prepared.answer(outcome, scratch);
    if answer != *wanted {
        return Some(format!("{answer:?} instead of {wanted:?}"));
    }
    let early = prepared.decide(Mode::EarlyExit, scratch);
    let told = prepared.answer(early, scratch);
    let among = |few: &[String], many: &[String]| few.iter().all(|id| many.contains(id));
    let right = match early {
        // The only difference by design, and only where something could not be evaluated.
        Outcome::Error => !told.errors.is_empty() && among(&told.errors, &wanted.errors),
        _ => {
            early.allows() == outcome.allows()
                && among(&told.determining, &wanted.determining)
                && told.errors.is_empty()
        }
    };
    tally.stricter += usize::from(early == Outcome::Error && outcome.allows());
    (!right).then(|| format!("{early:?} {told:?} in the early exit instead of {wanted:?}"))
}
