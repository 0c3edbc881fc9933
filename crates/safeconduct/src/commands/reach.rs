//! `policy who` and `policy what`: who may use an application under some circumstances, and what a person may use.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use safeconduct_model::{Action, AppId, Fault, Mode, PersonId};
use safeconduct_rehearse::prove::{Question, Reach, Reached, may};
use safeconduct_server::clock;

use crate::commands::{Offline, offline};
use crate::out::{self, Answer, aside, say, table};

pub(crate) fn who(config: &Path, app: &AppId, action: Option<Action>, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let estate = &offline.current.config.estate;
    if !estate.applications.contains_key(app) {
        return Ok(unknown("policy who", format!("there is no application `{app}`"), estate.applications.keys()));
    }
    let people = estate.people.values().filter(|p| p.active);
    let questions = people.flat_map(|p| actions(action).map(|action| question(&offline, &p.id, app, action))).collect();
    answer(&offline, questions, json)
}

pub(crate) fn what(config: &Path, person: &PersonId, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let estate = &offline.current.config.estate;
    if !estate.people.contains_key(person) {
        return Ok(unknown("policy what", format!("nobody is called `{person}`"), estate.people.keys()));
    }
    let apps = estate.applications.keys();
    let questions = apps.flat_map(|app| actions(None).map(|action| question(&offline, person, app, action))).collect();
    answer(&offline, questions, json)
}

fn unknown(verb: &str, what: String, known: impl Iterator<Item = impl ToString>) -> Answer {
    let known: Vec<String> = known.map(|k| k.to_string()).collect();
    Answer::BadInput(vec![Fault::new(verb, 0, what, format!("there are: {}", known.join(", ")))])
}

fn actions(one: Option<Action>) -> impl Iterator<Item = Action> {
    Action::ALL.into_iter().filter(move |action| one.is_none_or(|one| one == *action))
}

fn question(offline: &Offline, person: &PersonId, app: &AppId, action: Action) -> Question {
    let groups = offline.current.config.estate.groups_of(person).unwrap_or_default();
    Question { person: person.clone(), groups, app: app.clone(), action }
}

fn answer(offline: &Offline, questions: Vec<Question>, json: bool) -> Result<Answer> {
    let asked = questions.len();
    let applications = &offline.current.config.estate.applications;
    let apps: BTreeSet<&AppId> = questions.iter().map(|q| &q.app).collect();
    let is_observed = |app: &&&AppId| applications.get(**app).is_some_and(|a| a.mode == Mode::Observe);
    let observed: Vec<String> = apps.iter().filter(is_observed).map(ToString::to_string).collect();
    let told = match may(&offline.current.snapshot, questions, clock::system()) {
        Ok(told) => told,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    if !observed.is_empty() {
        aside(format!("only observed, so that everybody who is signed in gets through: {}", observed.join(", ")));
    }
    let found: Vec<&Reach> = told.iter().filter(|r| r.answer != Reached::No).collect();
    if json {
        out::json(&found)?;
    } else if found.is_empty() {
        say(format!("nobody and nothing: proved for each of {asked} questions"));
    } else {
        let row = |r: &&Reach| {
            let (by, example) = match &r.answer {
                Reached::Yes { sentence, rules, .. } => {
                    (rules.iter().map(|rule| rule.id.to_string()).collect::<Vec<_>>().join(", "), sentence.clone())
                }
                Reached::Unknown { because } => ("?".to_owned(), format!("not shown: {}", because.join("; "))),
                Reached::No => (String::new(), String::new()),
            };
            vec![r.question.person.to_string(), r.question.app.to_string(), r.question.action.to_string(), by, example]
        };
        table(&["person", "application", "action", "rules", "for example"], &found.iter().map(row).collect::<Vec<_>>());
        say(format!("the other {} of {asked} questions: never, whatever the circumstances", asked - found.len()));
    }
    Ok(if found.is_empty() { Answer::No } else { Answer::Done })
}
