//! Narrowing by construction, and its check on the finished text: every proposed rule says everything that a rule of now
//! says, and more.

use std::collections::BTreeMap;

use safeconduct_model::{Application, RuleId};
use safeconduct_policy::{Compare, Expr, Rule, Scope, Snapshot};
use serde::Serialize;

use super::draft::Target;
use super::today::standing;
use super::write::literal;

/// A permit that binds now, as the conditions that a rule below it repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Within {
    /// Its id.
    pub rule: RuleId,
    /// What it asks of the principal, in Cedar, with the group or person that already says so.
    #[serde(skip)]
    principal: Option<(Option<Target>, String)>,
    #[serde(skip)]
    when: Vec<Expr>,
    #[serde(skip)]
    unless: Vec<Expr>,
}

impl Within {
    fn of(rule: &Rule) -> Self {
        Self {
            rule: rule.id.clone(),
            principal: principal(&rule.principal),
            when: rule.when.clone(),
            unless: rule.unless.clone(),
        }
    }

    /// The conditions to add to those of a rule for `target` that already has `own` ones.
    pub(crate) fn clauses(
        &self,
        target: &Target,
        own: &[String],
        window: Option<(u16, u16)>,
        weekdays: bool,
    ) -> Vec<String> {
        let mut found = Vec::new();
        if let Some((said_by, text)) = &self.principal
            && said_by.as_ref() != Some(target)
        {
            found.push(text.clone());
        }
        let said = |e: &Expr| match e.as_number_bound() {
            Some((path, op, n)) if path == "minute" => window.is_some_and(|w| minute_below(w, op, n)),
            Some((path, Compare::Le, n)) if path == "weekday" => weekdays && n >= 5,
            _ => own.contains(&e.to_string()),
        };
        found.extend(self.when.iter().filter(|e| !said(e)).map(ToString::to_string));
        found
    }

    /// What lifts it, in Cedar.
    pub(crate) fn lifts(&self) -> impl Iterator<Item = String> + '_ {
        self.unless.iter().map(ToString::to_string)
    }

    /// The group that somebody must be in for it to speak.
    pub(crate) fn group(&self) -> Option<&safeconduct_model::GroupId> {
        match &self.principal {
            Some((Some(Target::Group(id)), _)) => Some(id),
            _ => None,
        }
    }
}

fn minute_below((from, to): (u16, u16), op: Compare, n: i64) -> bool {
    match op {
        Compare::Ge => i64::from(from) >= n,
        Compare::Gt => i64::from(from) > n,
        Compare::Lt => i64::from(to) <= n,
        Compare::Le => i64::from(to) <= n + 1,
        _ => false,
    }
}

fn principal(scope: &Scope) -> Option<(Option<Target>, String)> {
    match scope {
        Scope::Any => None,
        Scope::Is(kind, id) => {
            let target = (kind == "Person")
                .then(|| id.parse().ok().map(|p| Target::One(safeconduct_model::Principal::Person(p))));
            Some((target.flatten(), format!("principal == {kind}::{}", literal(id))))
        }
        Scope::In(kind, id) => {
            let target = (kind == "Group").then(|| id.parse().ok().map(Target::Group)).flatten();
            Some((target, format!("principal in {kind}::{}", literal(id))))
        }
        Scope::Kind(kind, None) => Some((None, format!("principal is {kind}"))),
        Scope::Kind(kind, Some((of, id))) => Some((None, format!("principal is {kind} in {of}::{}", literal(id)))),
    }
}

/// Every rule of now below which a proposal stays.
pub(crate) fn bounds(current: &Snapshot, app: &Application) -> BTreeMap<RuleId, Within> {
    standing(current, app).map(|r| (r.id.clone(), Within::of(r))).collect()
}

/// Whether a rule permits no more than some single permit that binds now: it speaks of no other people, kinds of use and
/// applications, asks for everything that the permit asks for, and is lifted by everything that lifts it.
pub(crate) fn is_below_now(rule: &Rule, current: &Snapshot, app: &Application) -> bool {
    standing(current, app).any(|now| is_below(rule, now))
}

fn is_below(rule: &Rule, now: &Rule) -> bool {
    let asks = |wanted: &Expr| rule.when.iter().any(|e| implies(e, wanted));
    let who = now.principal == rule.principal
        || match &now.principal {
            Scope::Any => true,
            Scope::Is(kind, id) => asks(&Expr::Compare(
                Compare::Eq,
                Box::new(Expr::Path(vec!["principal".to_owned()])),
                Box::new(Expr::Entity(kind.clone(), id.clone())),
            )),
            Scope::In(kind, id) => asks(&Expr::In(
                Box::new(Expr::Path(vec!["principal".to_owned()])),
                Box::new(Expr::Entity(kind.clone(), id.clone())),
            )),
            // Said as text, since no shape of its own exists for it.
            Scope::Kind(kind, None) => {
                let text = format!("principal is {kind}");
                rule.when.iter().any(|e| matches!(e, Expr::Other { text: t, .. } if *t == text))
                    || matches!(&rule.principal, Scope::Is(k, _) if k == kind)
            }
            Scope::Kind(..) => false,
        };
    who && rule.actions.is_subset(&now.actions)
        && now.when.iter().all(asks)
        && now.unless.iter().all(|e| rule.unless.contains(e))
}

/// Whether whoever meets `mine` meets `wanted`.
fn implies(mine: &Expr, wanted: &Expr) -> bool {
    if mine == wanted {
        return true;
    }
    let (Some((path, op, n)), Some((other, wanted_op, m))) = (mine.as_number_bound(), wanted.as_number_bound()) else {
        return false;
    };
    // As closed intervals of whole numbers.
    let span = |op: Compare, n: i64| match op {
        Compare::Eq => Some((n, n)),
        Compare::Lt => Some((i64::MIN, n.checked_sub(1)?)),
        Compare::Le => Some((i64::MIN, n)),
        Compare::Gt => Some((n.checked_add(1)?, i64::MAX)),
        Compare::Ge => Some((n, i64::MAX)),
        Compare::Ne => None,
    };
    match (span(op, n), span(wanted_op, m)) {
        (Some(inner), Some(outer)) => path == other && outer.0 <= inner.0 && inner.1 <= outer.1,
        _ => false,
    }
}
