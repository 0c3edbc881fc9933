//! A case on which the engines differ, made as small as it goes.

use serde_json::Value;

use super::{Case, Expr};

/// Tries what makes a case smaller, as long as it still differs. The policies keep their numbers.
pub(crate) fn shrink(case: &Case, request: usize, differs: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut small = case.clone();
    if let Some(one) = case.requests.get(request) {
        let alone = Case { requests: vec![one.clone()], ..case.clone() };
        if differs(&alone) {
            small = alone;
        }
    }
    while let Some(smaller) = steps(&small).into_iter().find(|next| differs(next)) {
        small = smaller;
    }
    small
}

/// Everything that is one step smaller, the largest steps first.
fn steps(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut next = case.clone();
        change(&mut next);
        found.push(next);
    };
    for at in 0..case.policies.len() {
        with(&|c| drop(c.policies.remove(at)));
    }
    for (at, policy) in case.policies.iter().enumerate() {
        for clause in 0..policy.clauses.len() {
            with(&|c| drop(c.policies[at].clauses.remove(clause)));
        }
        for link in 0..policy.links.len() {
            with(&|c| drop(c.policies[at].links.remove(link)));
        }
        for (part, name) in ["principal", "action", "resource"].into_iter().enumerate() {
            if policy.scope[part] != name && !policy.scope[part].contains('?') {
                with(&|c| name.clone_into(&mut c.policies[at].scope[part]));
            }
        }
        for (clause, (word, condition)) in policy.clauses.iter().enumerate() {
            if *word == "unless" {
                with(&|c| c.policies[at].clauses[clause].0 = "when");
            }
            for smaller in smaller(condition) {
                with(&|c| c.policies[at].clauses[clause].1 = smaller.clone());
            }
        }
    }
    for at in 0..case.entities.len() {
        with(&|c| drop(c.entities.remove(at)));
        for part in ["attrs", "tags", "parents"] {
            if !is_empty(&case.entities[at][part]) && case.schema.is_none() {
                with(&|c| clear(&mut c.entities[at][part]));
            }
        }
    }
    if case.schema.is_some() {
        with(&|c| c.schema = None);
    } else {
        for at in 0..case.requests.len() {
            for name in case.requests[at]["context"].as_object().into_iter().flatten().map(|(name, _)| name) {
                with(&|c| {
                    c.requests[at]["context"].as_object_mut().map(|fields| fields.remove(name));
                });
            }
        }
    }
    found
}

fn is_empty(part: &Value) -> bool {
    part.as_object().is_none_or(serde_json::Map::is_empty) && part.as_array().is_none_or(Vec::is_empty)
}

fn clear(part: &mut Value) {
    match part {
        Value::Object(fields) => fields.clear(),
        Value::Array(items) => items.clear(),
        _ => {}
    }
}

/// Each operand in place of the whole, then the same within each operand.
fn smaller(of: &Expr) -> Vec<Expr> {
    let mut found = of.kids.clone();
    if !of.kids.is_empty() {
        found.push(Expr { parts: vec!["true".to_owned()], kids: Vec::new() });
    }
    for (at, kid) in of.kids.iter().enumerate() {
        for less in smaller(kid) {
            let mut next = of.clone();
            next.kids[at] = less;
            found.push(next);
        }
    }
    found
}
