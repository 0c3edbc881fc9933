//! Who may do what, under some circumstances: for each question one request that the rules permit, confirmed by the engine, or
//! the proof that there is none.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use safeconduct_model::{Action, AppId, Fault, GroupId, PersonId, Timestamp};
use safeconduct_policy::{PolicyText, Rule, Scope, Snapshot};
use serde::Serialize;

use super::outcome::{Outcome, RuleAt};
use super::standing::Invariants;
use super::witness::Moment;

/// May this person do that, ever?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Who.
    pub person: PersonId,
    /// The groups that the person is in; in no others.
    #[serde(skip)]
    pub groups: BTreeSet<GroupId>,
    /// Which application.
    pub app: AppId,
    /// What kind of use.
    pub action: Action,
}

/// A question, answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The question.
    #[serde(flatten)]
    pub question: Question,
    /// The answer.
    #[serde(flatten)]
    pub answer: Reached,
}

/// Whether some request passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reach")]
pub enum Reached {
    /// This one does.
    Yes {
        /// In words.
        sentence: String,
        /// The rules that let it pass.
        rules: Vec<RuleAt>,
        /// The request.
        #[serde(flatten)]
        moment: Box<Moment>,
    },
    /// None does.
    No,
    /// Neither was shown; to be read as yes.
    Unknown {
        /// Why not.
        because: Vec<String>,
    },
}

/// Answers questions about a snapshot, in their order. `now` is the instant from which requests are looked for.
pub fn may(snapshot: &Snapshot, questions: Vec<Question>, now: Timestamp) -> Result<Vec<Reach>, Vec<Fault>> {
    let named = named_groups(snapshot);
    let mut text = String::new();
    for (n, q) in questions.iter().enumerate() {
        let (held, not): (Vec<_>, Vec<_>) = named.iter().partition(|group| q.groups.contains(*group));
        let held = held.into_iter().map(|group| format!("principal in Group::\"{group}\""));
        let not: Vec<String> = not.into_iter().map(|group| format!("Group::\"{group}\"")).collect();
        let not = (!not.is_empty()).then(|| format!("!(principal in [{}])", not.join(", ")));
        let groups: Vec<String> = held.chain(not).collect();
        let when = if groups.is_empty() { String::new() } else { format!("\nwhen {{ {} }}", groups.join(" && ")) };
        let _ = writeln!(
            text,
            "@id(\"question-{n}\") @why(\"may they?\")\nforbid(principal == Person::\"{}\", action == Action::\"{}\", \
             resource == Application::\"{}\"){when};",
            q.person, q.action, q.app
        );
    }
    let texts = vec![PolicyText { file: "questions".to_owned(), text }];
    let standing = Invariants::read(texts, snapshot.sources())?.under(snapshot, now)?;
    let answers = standing.into_iter().map(|standing| match standing.proof.outcome {
        Outcome::Proved => Reached::No,
        Outcome::Refuted(shown) => {
            Reached::Yes { sentence: shown.sentence, rules: shown.rules, moment: Box::new(shown.moment) }
        }
        Outcome::NotProven { because } => Reached::Unknown { because: because.into_iter().map(|b| b.why).collect() },
    });
    Ok(questions.into_iter().zip(answers).map(|(question, answer)| Reach { question, answer }).collect())
}

/// Every group that some rule names: whether somebody is in another one makes no difference.
fn named_groups(snapshot: &Snapshot) -> BTreeSet<GroupId> {
    let mut found = BTreeSet::new();
    let mut take = |kind: &str, id: &str| {
        if kind == "Group" {
            found.extend(id.parse::<GroupId>().ok());
        }
    };
    for rule in snapshot.rules() {
        if let Scope::Is(kind, id) | Scope::In(kind, id) | Scope::Kind(_, Some((kind, id))) = &rule.principal {
            take(kind, id);
        }
        for condition in conditions(rule) {
            condition.walk(&mut |e| {
                if let safeconduct_policy::Expr::Entity(kind, id) = e {
                    take(kind, id);
                }
            });
        }
    }
    found
}

fn conditions(rule: &Rule) -> impl Iterator<Item = &safeconduct_policy::Expr> {
    rule.when.iter().chain(&rule.unless)
}
