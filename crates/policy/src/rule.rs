//! A rule as Safeconduct sees it: scope, conditions, notes, and the text it came from.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{Action, Application, Ask, Principal, RuleId};

use crate::expr::Expr;

/// Whether a rule opens or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It opens.
    Permit,
    /// It closes, whatever else opens.
    Forbid,
}

/// Who or what a rule speaks of. "Everybody" is a word of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// No constraint.
    Any,
    /// Exactly this entity: type and id.
    Is(String, String),
    /// This entity or anything below it.
    In(String, String),
    /// Any entity of a type, and below an entity if one is given.
    Kind(String, Option<(String, String)>),
}

/// How far a rule has come on its way to binding; written as `@mode("…")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stage {
    /// `shadow`: it binds nobody. What it would have changed is recorded.
    Shadow,
    /// `canary:N`: it binds N of a hundred principals, always the same ones, and is in shadow for the others.
    Canary(u8),
    /// `enforce`, or nothing: it binds.
    #[default]
    Enforce,
}

impl Stage {
    /// Reads the text of the annotation.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "shadow" => Some(Self::Shadow),
            "enforce" => Some(Self::Enforce),
            _ => {
                let share = text.strip_prefix("canary:")?.parse().ok().filter(|n| (1..100).contains(n))?;
                Some(Self::Canary(share))
            }
        }
    }

    /// Whether a rule in this stage binds a principal. Other rules pick others, and a larger share keeps those of a smaller.
    #[must_use]
    pub fn binds(self, rule: &RuleId, principal: &Principal) -> bool {
        use sha2::{Digest, Sha256};
        match self {
            Self::Shadow => false,
            Self::Enforce => true,
            Self::Canary(share) => {
                let digest = Sha256::digest(format!("{rule}\n{principal}"));
                let number = digest.iter().take(8).fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
                number % 100 < u64::from(share)
            }
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shadow => f.write_str("shadow"),
            Self::Canary(share) => write!(f, "canary:{share}"),
            Self::Enforce => f.write_str("enforce"),
        }
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id: the `@id` annotation, or file and number.
    pub id: RuleId,
    /// Whether it opens or closes.
    pub effect: Effect,
    /// Who.
    pub principal: Scope,
    /// Which kinds of use.
    pub actions: BTreeSet<Action>,
    /// Which application or asset.
    pub resource: Scope,
    /// What must hold: every `when`, split at its `&&`, in order.
    pub when: Vec<Expr>,
    /// What lifts it: every `unless`.
    pub unless: Vec<Expr>,
    /// How far it has come.
    pub stage: Stage,
    /// `@owner`, `@why`, `@ticket`, `@expires` and others.
    pub annotations: BTreeMap<String, String>,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at, from 1.
    pub line: u32,
    /// Its Cedar text.
    pub text: String,
}

impl Rule {
    /// Whether the rule speaks of this principal at all.
    #[must_use]
    pub fn covers_principal(&self, ask: &Ask) -> bool {
        let (kind, id) = match &ask.who.principal {
            Principal::Person(id) => ("Person", id.as_str()),
            Principal::Workload(id) => ("Workload", id.as_str()),
            Principal::Nobody => return false,
        };
        let below = |t: &str, i: &str| {
            (t == kind && i == id) || (t == "Group" && ask.who.groups.iter().any(|g| g.as_str() == i))
        };
        covers(&self.principal, kind, id, &below)
    }

    /// Whether the rule speaks of this application at all.
    #[must_use]
    pub fn covers_application(&self, app: &Application) -> bool {
        let below = |t: &str, i: &str| {
            (t == "Application" && i == app.id.as_str()) || (t == "Asset" && app.assets.iter().any(|a| a.as_str() == i))
        };
        covers(&self.resource, "Application", app.id.as_str(), &below)
    }

    /// The context paths that the rule reads.
    #[must_use]
    pub fn reads(&self) -> BTreeSet<String> {
        self.when.iter().chain(&self.unless).flat_map(Expr::reads).collect()
    }

    /// The annotation with this name, if it is not empty.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str).filter(|t| !t.is_empty())
    }
}

fn covers(scope: &Scope, kind: &str, id: &str, below: &dyn Fn(&str, &str) -> bool) -> bool {
    match scope {
        Scope::Any => true,
        Scope::Is(t, i) => t == kind && i == id,
        Scope::In(t, i) => below(t, i),
        Scope::Kind(t, parent) => t == kind && parent.as_ref().is_none_or(|(t, i)| below(t, i)),
    }
}
