//! Proposals: changes to policy that are not made yet. Written from observed use, rehearsed, published by a person.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use safeconduct_config::{Text, Texts};
use safeconduct_model::{AppId, Fault, Group, Mode, Person, Timestamp};
use safeconduct_policy::Snapshot;
use safeconduct_rehearse::prove::{Proof, permits_no_more};
use safeconduct_rehearse::{
    Against, Directory, Measured, Observed, Options, Rehearsal, Settings, Today, is_superseded, propose_within,
    rehearse,
};
use safeconduct_store::{Control, Entries};
use serde::{Deserialize, Serialize};

use crate::files::{self, Built};
use crate::house::{Current, House};

/// The kind of the documents that hold proposals.
const PROPOSAL: &str = "proposal";
/// How many proposals are kept; the oldest closed ones give way.
const MAX_PROPOSALS: usize = 500;

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for a person.
    Open,
    /// It binds.
    Published,
    /// It was set aside.
    Discarded,
}

/// A proposal, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// Its id.
    pub id: String,
    /// For which application.
    pub app: AppId,
    /// When it was made.
    pub made: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// What became of it.
    pub state: State,
    /// The rules, in Cedar.
    pub cedar: String,
    /// Its fixtures.
    pub fixtures: String,
    /// From when the use was observed.
    pub since: Timestamp,
    /// Observed uses, and those that it permits.
    pub covered: (u64, u64),
    /// Pairs of person and kind of use that it grants without use, and all that it grants.
    pub unused: (u64, u64),
    /// How the method did on use that it had not seen; `None` for what was proposed before this was measured.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// What is kept, what nobody can judge, and whether it only narrows.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What each rule was made from, by rule id.
    pub basis: BTreeMap<String, String>,
    /// What it does not permit, worth a look, in words.
    pub left_out: Vec<String>,
    /// Whether it permits no more than what bound when it was made, in words; empty where nobody asked.
    #[serde(default)]
    pub proof: String,
}

/// Every proposal, in memory.
#[derive(Default)]
pub(crate) struct Proposals {
    all: Mutex<BTreeMap<String, Proposal>>,
    rehearsed: Mutex<BTreeMap<String, Arc<Rehearsal>>>,
}

impl Proposals {
    pub(crate) async fn load(control: &Control) -> Result<Self> {
        let mut all = BTreeMap::new();
        for doc in control.load(PROPOSAL).await? {
            let proposal: Proposal = serde_json::from_value(doc.body).context("a kept proposal is not readable")?;
            all.insert(doc.id, proposal);
        }
        Ok(Self { all: Mutex::new(all), ..Self::default() })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Proposal>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proposal with this id.
    pub(crate) fn get(&self, id: &str) -> Option<Proposal> {
        self.all().get(id).cloned()
    }

    /// Every proposal, the newest first.
    pub(crate) fn list(&self) -> Vec<Proposal> {
        let mut list: Vec<Proposal> = self.all().values().cloned().collect();
        list.sort_by(|a, b| (b.made, &b.id).cmp(&(a.made, &a.id)));
        list
    }
}

impl House {
    /// Writes a proposal for an application from its observed use.
    pub(crate) async fn propose(self: &Arc<Self>, by: &str, app: &AppId) -> Result<Proposal> {
        let (current, ledger, of) = (self.current(), self.ledger_dir(), app.clone());
        let written =
            tokio::task::spawn_blocking(move || write(&current, &ledger, &of, &Settings::default())).await??;
        let id = format!("{app}-{}", crate::house::random_hex::<3>()?);
        let figures = &written.figures;
        let proof = proof(&self.current(), app, &written.cedar, &written.fixtures, self.now())
            .map_or_else(|faults| told(&faults), |proof| proof_in_words(&proof));
        let basis = |r: &safeconduct_rehearse::ProposedRule| {
            let words = format!(
                "{} uses by {} people; lets in {}; reliability {:.2}",
                r.uses, r.people, r.granted, r.reliability.reliability
            );
            (r.draft.id.to_string(), words)
        };
        let left_out = |l: &safeconduct_rehearse::LeftOut| {
            let who = l.people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("{} {}: {who}", l.count, l.because.words())
        };
        let proposal = Proposal {
            id: id.clone(),
            app: app.clone(),
            made: self.now(),
            by: by.to_owned(),
            state: State::Open,
            since: figures.from,
            covered: (figures.covered, figures.uses),
            unused: (figures.unused_pairs, figures.granted_pairs),
            notes: written.notes(),
            measured: Some(written.measured.clone()),
            basis: written.rules.iter().map(basis).collect(),
            left_out: written.left_out.iter().map(left_out).collect(),
            cedar: written.cedar,
            fixtures: written.fixtures,
            proof,
        };
        self.record_change(by, "policy.propose", app.as_str(), &format!("proposal {id}")).await?;
        self.keep_proposal(proposal.clone()).await?;
        Ok(proposal)
    }

    /// Keeps a proposal, and lets the oldest closed one go where there are too many.
    pub(crate) async fn keep_proposal(&self, proposal: Proposal) -> Result<()> {
        self.keep(PROPOSAL, &proposal.id, Some(&proposal)).await?;
        let gone = {
            let mut all = self.proposals.all();
            all.insert(proposal.id.clone(), proposal);
            let closed = all.values().filter(|p| p.state != State::Open).min_by_key(|p| p.made).map(|p| p.id.clone());
            closed.filter(|_| all.len() > MAX_PROPOSALS).inspect(|id| {
                all.remove(id);
            })
        };
        match gone {
            Some(id) => self.keep::<Proposal>(PROPOSAL, &id, None).await,
            None => Ok(()),
        }
    }

    /// What a proposal would do to the past. Told once; a proposal never changes, and what came since is more of the same.
    pub(crate) async fn rehearsal_of(self: &Arc<Self>, proposal: &Proposal) -> Result<Arc<Rehearsal>> {
        let remembered = |house: &Self| {
            house.proposals.rehearsed.lock().unwrap_or_else(PoisonError::into_inner).get(&proposal.id).cloned()
        };
        if let Some(known) = remembered(self) {
            return Ok(known);
        }
        let candidate = self.candidate_of(proposal).map_err(|f| anyhow::anyhow!("{}", told(&f)))?;
        let rehearsal = Arc::new(self.rehearse(Arc::new(candidate.snapshot)).await?);
        let mut all = self.proposals.rehearsed.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(proposal.id.clone(), Arc::clone(&rehearsal));
        Ok(rehearsal)
    }

    /// Replays the ledger against a candidate, away from the requests.
    pub(crate) async fn rehearse(self: &Arc<Self>, candidate: Arc<Snapshot>) -> Result<Rehearsal> {
        let ledger = self.ledger_dir();
        let current = self.current();
        let replayed = tokio::task::spawn_blocking(move || replay(&current.snapshot, &candidate, &ledger, &mut |_| {}));
        replayed.await?
    }

    /// The configuration as it would be with a proposal, checked whole.
    pub(crate) fn candidate_of(&self, proposal: &Proposal) -> Result<Built, Vec<Fault>> {
        let current = self.current();
        let texts = with_proposal(&current, &proposal.app, &proposal.cedar, &proposal.fixtures);
        files::build(texts, current.snapshot.revision() + 1)
    }

    pub(crate) fn ledger_dir(&self) -> PathBuf {
        self.data.join("ledger")
    }
}

/// Writes rules for an application from the use that a ledger holds; they permit no more than what binds now, unless the
/// settings ask for it.
pub fn write(
    current: &Current,
    ledger: &Path,
    app: &AppId,
    settings: &Settings,
) -> Result<safeconduct_rehearse::Proposal> {
    let application = current.snapshot.application(app).with_context(|| format!("there is no application `{app}`"))?;
    let estate = &current.config.estate;
    let people: Vec<Person> = estate.people.values().cloned().collect();
    let groups: Vec<Group> = estate.groups.values().cloned().collect();
    let directory = Directory::of(&people, &groups);
    let mut today = Today::of(&current.snapshot, &directory);
    let mut seen = Observed::new(app.clone(), current.config.settings.zone.clone());
    for entry in Entries::from_seq(ledger, 0)? {
        seen.add_under(&entry?.entry, &mut today);
    }
    Ok(propose_within(&seen, application, &directory, settings, Some(&current.snapshot))?)
}

/// Whether the policies with a proposal in place permit no more than those that bind.
pub fn proof(current: &Current, app: &AppId, cedar: &str, fixtures: &str, now: Timestamp) -> Result<Proof, Vec<Fault>> {
    let candidate = files::build(with_proposal(current, app, cedar, fixtures), current.snapshot.revision() + 1)?;
    Ok(permits_no_more(&current.snapshot, &candidate.snapshot, now))
}

/// The proof of a proposal as its report shows it.
#[must_use]
pub fn proof_in_words(proof: &Proof) -> String {
    proof.report("it permits no more than the rules that bind", "it permits more: this request would become allowed")
}

/// Decides everything that a ledger holds under the candidate and under what binds now, and compares: the question is what
/// the change does, not what bound then.
pub fn replay(
    current: &Snapshot,
    candidate: &Snapshot,
    ledger: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Rehearsal> {
    let mut broken = None;
    let entries = Entries::from_seq(ledger, 0)?.map_while(|located| match located {
        Ok(located) => Some(located.entry),
        Err(error) => {
            broken = Some(error);
            None
        }
    });
    let rehearsal = rehearse(entries, Against::Snapshot(current), candidate, Options::default(), progress);
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(rehearsal),
    }
}

/// The texts with a proposal in place: its file, without the permits for the same application that it supersedes, and with
/// enforcement turned on. Rules for emergencies and those that ask for a dated grant stay.
#[must_use]
pub fn with_proposal(current: &Current, app: &AppId, cedar: &str, fixtures: &str) -> Texts {
    let mut texts = current.texts.clone();
    let file = files::proposal_file(app);
    for rule in current.snapshot.rules().iter().filter(|r| is_superseded(r, app)) {
        if let Some(text) = texts.policies.iter_mut().find(|t| t.file == rule.file) {
            text.text = text.text.replacen(&rule.text, "", 1);
        }
    }
    texts.policies.retain(|t| t.file == file || !t.text.trim().is_empty());
    put(&mut texts.policies, &file, cedar);
    put(&mut texts.tests, &format!("policies/tests/{app}.toml"), fixtures);
    let observed = current.config.estate.applications.get(app).is_some_and(|a| a.mode == Mode::Observe);
    if observed {
        for text in &mut texts.estate {
            if let Some(enforced) = enforced(&text.text, app) {
                text.text = enforced;
            }
        }
    }
    texts
}

fn put(texts: &mut Vec<Text>, file: &str, content: &str) {
    let content = content.to_owned();
    match texts.iter_mut().find(|t| t.file == file) {
        Some(text) => text.text = content,
        None => {
            texts.push(Text { file: file.to_owned(), text: content });
            texts.sort_by(|a, b| a.file.cmp(&b.file));
        }
    }
}

/// The text of an estate file with `mode = "enforce"` for one application; `None` if it is not there or not observed.
fn enforced(text: &str, app: &AppId) -> Option<String> {
    let key = |line: &str, name: &str| {
        let (k, v) = line.split_once('=')?;
        (k.trim() == name).then(|| v.split('#').next().unwrap_or_default().trim().trim_matches('"').to_owned())
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_header = |l: &str| l.trim_start().starts_with('[');
    let starts: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].trim() == "[[application]]").collect();
    for start in starts {
        let end = (start + 1..lines.len()).find(|i| is_header(lines[*i])).unwrap_or(lines.len());
        let of_app = lines[start + 1..end].iter().any(|l| key(l, "id").as_deref() == Some(app.as_str()));
        let mode = (start + 1..end).find(|i| key(lines[*i], "mode").as_deref() == Some("observe"));
        if let (true, Some(at)) = (of_app, mode) {
            let changed = lines[at].replacen("\"observe\"", "\"enforce\"", 1);
            return Some(lines[..at].concat() + &changed + &lines[at + 1..].concat());
        }
    }
    None
}

/// Faults, one below the other.
pub fn told(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enforcement_is_turned_on_for_one_application_only() {
        let text = "# apps\n[[application]]\nid = \"a\"\nmode = \"observe\"   # first\n\n[[application]]\nid = \"b\"\nmode = \"observe\"\n\n[[application.route]]\npath = \"/x\"\n";
        let changed = enforced(text, &"b".parse().expect("id")).expect("b is observed");
        assert_eq!(changed, text.replacen("id = \"b\"\nmode = \"observe\"", "id = \"b\"\nmode = \"enforce\"", 1));
        assert!(enforced(&changed, &"b".parse().expect("id")).is_none());
        assert!(enforced(text, &"c".parse().expect("id")).is_none());
    }
}
