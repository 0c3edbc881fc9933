//! `policy prove` and `policy diff`.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use safeconduct_model::{Fault, Timestamp};
use safeconduct_policy::Snapshot;
use safeconduct_rehearse::difference;
use safeconduct_rehearse::prove::{
    BothWays, Outcome, Proof, Relation, Standing, Unreachable, both_ways, permits_no_more, unreachable,
};
use safeconduct_server::clock;
use safeconduct_server::files::{self, MAIN};
use serde_json::json;

use crate::commands::policy::candidate;
use crate::commands::{Offline, offline};
use crate::out::{self, Answer, put, say};

pub(crate) fn prove(config: &Path, dir: &Path, invariants: bool, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let built = match candidate(&offline.current.texts, dir) {
        Ok(built) => built,
        Err(faults) => return Ok(Answer::BadInput(faults)),
    };
    let now = clock::system();
    let began = Instant::now();
    let proof = permits_no_more(&offline.current.snapshot, &built.snapshot, now);
    let took_ms = began.elapsed().as_secs_f64() * 1_000.0;
    let standing = if invariants {
        match files::invariants(&built.texts, &built.snapshot).and_then(|all| all.under(&built.snapshot, now)) {
            Ok(standing) => standing,
            Err(faults) => return Ok(Answer::BadInput(faults)),
        }
    } else {
        vec![]
    };
    let holds = proof.holds() && standing.iter().all(|s| s.proof.holds());
    if json {
        let rounded = (took_ms * 100.0).round() / 100.0;
        out::json(&json!({ "proof": proof, "took_ms": rounded, "invariants": standing }))?;
    } else {
        tell(&proof, took_ms)?;
        for standing in &standing {
            put(invariant(standing));
        }
        if invariants && standing.is_empty() {
            say("there is no invariant in invariants/*.cedar");
        }
    }
    Ok(if holds { Answer::Done } else { Answer::No })
}

fn tell(proof: &Proof, took_ms: f64) -> Result<()> {
    put(proof.report("no widening", "WIDENS: this request would become allowed"));
    if let Some(shown) = proof.counterexample() {
        say(format!(
            "  as JSON: {}",
            serde_json::to_string(&json!({ "ask": shown.moment.ask, "now": shown.moment.now }))?
        ));
    }
    let effort = proof.effort;
    say(format!(
        "{took_ms:.1} ms: {} rules changed, {} looked at, in {} places",
        effort.changed, effort.rules, effort.places
    ));
    Ok(())
}

fn invariant(standing: &Standing) -> String {
    let Standing { invariant, why, proof } = standing;
    let name = format!("invariant {}: {why}", invariant.id);
    proof.report(&name, &format!("BROKEN: {name}; this request would be allowed"))
}

pub(crate) fn diff(config: &Path, first: &Path, second: &Path, json: bool) -> Result<Answer> {
    let sides = match (side(config, first), side(config, second)) {
        (Ok(first), Ok(second)) => (first, second),
        (first, second) => {
            let faults = [first.err(), second.err()].into_iter().flatten().flatten().collect();
            return Ok(Answer::BadInput(faults));
        }
    };
    let (first, second) = (&sides.0, &sides.1);
    let now = clock::system();
    let (changes, both) = (difference(first, second), both_ways(first, second, now));
    let idle = newly_idle(first, second, now);
    if json {
        out::json(&json!({ "difference": changes, "proof": both, "newly_unreachable": idle }))?;
    } else {
        if changes.is_empty() {
            say("no rule and no application differs");
        }
        put(changes.report());
        put(verdict(&both));
        for idle in &idle {
            let rule = &idle.rule;
            say(format!("does nothing now: {}:{}: rule {}: {}", rule.file, rule.line, rule.id, idle.because.words()));
        }
    }
    Ok(if both.relation == Relation::Same { Answer::Done } else { Answer::No })
}

/// A whole configuration, or policies in the place of those of the configuration.
fn side(config: &Path, dir: &Path) -> Result<Snapshot, Vec<Fault>> {
    if dir.join(MAIN).is_file() {
        return files::build(files::read(dir)?, 1).map(|built| built.snapshot);
    }
    candidate(&Offline::read(config)?.current.texts, dir).map(|built| built.snapshot)
}

/// The rules that do something in the first set and nothing in the second, or that only the second has and that do nothing.
fn newly_idle(first: &Snapshot, second: &Snapshot, now: Timestamp) -> Vec<Unreachable> {
    let before = unreachable(first, now);
    let mut idle = unreachable(second, now);
    idle.retain(|u| !before.iter().any(|b| b.rule.id == u.rule.id));
    idle
}

fn verdict(both: &BothWays) -> String {
    let word = match both.relation {
        Relation::Same => "the same: the two permit the same requests",
        Relation::Narrower => "narrower: the second permits less",
        Relation::Wider => "WIDER: the second permits more",
        Relation::Both => "BOTH: each permits what the other denies",
        Relation::Unknown => "not all of it could be shown",
    };
    let mut text = format!("{word}\n");
    for (proof, no) in
        [(&both.no_wider, "newly allowed, for example"), (&both.no_narrower, "newly denied, for example")]
    {
        if proof.outcome != Outcome::Proved {
            text += &proof.report("", no);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn demo() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo")
    }

    /// The policies of the demo with a text behind them.
    fn with(more: &str) -> TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for entry in std::fs::read_dir(demo().join("policies")).expect("readable").filter_map(Result::ok) {
            if entry.path().extension().is_some_and(|e| e == "cedar") {
                std::fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
            }
        }
        std::fs::write(dir.path().join("zz-more.cedar"), more).expect("written");
        dir
    }

    const MORE: &str = "@id(\"more\") permit(principal in Group::\"staff\", action == Action::\"admin\", resource == Application::\"tickets\");";

    #[test]
    fn a_gate_opens_for_what_permits_no_more_and_closes_for_what_does() {
        let prove = |text: &str| prove(&demo(), with(text).path(), false, true).expect("an answer");
        assert!(matches!(prove("// nothing\n"), Answer::Done));
        assert!(matches!(
            prove("@id(\"less\") forbid(principal, action, resource) when { context.net.zone == \"guest\" };"),
            Answer::Done
        ));
        assert!(matches!(prove(MORE), Answer::No));
        assert!(matches!(prove("permit(principal"), Answer::BadInput(_)));
    }

    #[test]
    fn two_folders_are_compared_both_ways() {
        let (same, more) = (with(""), with(MORE));
        let diff = |a: &TempDir, b: &TempDir| diff(&demo(), a.path(), b.path(), false).expect("an answer");
        assert!(matches!(diff(&same, &same), Answer::Done));
        assert!(matches!(diff(&same, &more), Answer::No));
        assert!(matches!(diff(&more, &same), Answer::No));
        let missing = PathBuf::from("there-is-no-such-folder");
        assert!(matches!(super::diff(&demo(), same.path(), &missing, false), Ok(Answer::BadInput(_))));
    }
}
