//! `policy explain`: one recorded verdict, or an ask of one's own, decided now and explained in full.

use std::path::{Path, PathBuf};

use anyhow::Result;
use safeconduct_model::{Ask, Entry, Fault, Reason, Record, Remedy, Timestamp};
use safeconduct_policy::{Explanation, Spoke};
use safeconduct_store::Entries;

use crate::commands::offline;
use crate::out::{self, Answer, say};

/// What is to be explained.
#[derive(clap::Args)]
pub(crate) struct Explain {
    /// The number of a verdict in the ledger.
    #[arg(required_unless_present = "ask")]
    seq: Option<u64>,
    /// An ask of one's own: a JSON file of the shape that `ledger inspect` prints under `ask`.
    #[arg(long, conflicts_with = "seq")]
    ask: Option<PathBuf>,
    /// The instant at which it is decided, as in 2026-09-30T14:02:00Z. For a recorded verdict, its own unless given.
    #[arg(long)]
    at: Option<String>,
    #[command(flatten)]
    config: crate::Config,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn explain(asked: &Explain) -> Result<Answer> {
    let offline = offline!(&asked.config.config);
    let at = match asked.at.as_deref().map(instant).transpose() {
        Ok(at) => at,
        Err(fault) => return Ok(Answer::BadInput(vec![fault])),
    };
    let (ask, recorded) = match (&asked.ask, asked.seq) {
        (Some(file), _) => match read(file) {
            Ok(ask) => (ask, None),
            Err(fault) => return Ok(Answer::BadInput(vec![fault])),
        },
        (None, Some(seq)) => match Entries::from_seq(&offline.ledger(), seq)?.next().transpose()?.map(|l| l.entry) {
            Some(Entry { record: Record::Access(access), .. }) => (access.ask, Some(access.decided)),
            Some(_) => return Ok(no(seq, "is not a verdict", "see `safeconduct ledger inspect`")),
            None => return Ok(no(seq, "does not exist", "the ledger is shorter")),
        },
        (None, None) => return Ok(no(0, "was not named", "name a record, or give --ask FILE")),
    };
    let Some(now) = at.or(recorded) else {
        return Ok(Answer::BadInput(vec![Fault::new(
            "policy explain",
            0,
            "when is it asked?",
            "give --at 2026-09-30T14:02:00Z",
        )]));
    };
    let told = offline.current.snapshot.explain(&ask, now);
    if asked.json {
        out::json(&told)?;
    } else {
        words(&ask, &told);
    }
    Ok(if told.permitted { Answer::Done } else { Answer::No })
}

fn no(seq: u64, what: &str, remedy: &str) -> Answer {
    Answer::BadInput(vec![Fault::new("policy explain", 0, format!("record {seq} {what}"), remedy)])
}

fn instant(text: &str) -> Result<Timestamp, Fault> {
    let bad = |_| Fault::new("--at", 0, format!("`{text}` is not an instant"), "write it as in 2026-09-30T14:02:00Z");
    Ok(Timestamp::from_millis(text.parse::<jiff::Timestamp>().map_err(bad)?.as_millisecond()))
}

fn read(file: &Path) -> Result<Ask, Fault> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|e| Fault::new(&name, 0, e.to_string(), "name a file that can be read"))?;
    serde_json::from_str(&text).map_err(|e| {
        let line = u32::try_from(e.line()).unwrap_or_default();
        Fault::new(&name, line, e.to_string(), "see the `ask` of any record that `safeconduct ledger inspect` prints")
    })
}

fn words(ask: &Ask, told: &Explanation) {
    let what = &ask.what;
    say(format!("{} asks to {} {} {} at {}", ask.who.principal, what.action, what.app, what.path, told.at));
    match (told.reason, told.until) {
        (None, Some(until)) => say(format!("permitted until {until}")),
        (None, None) => say("permitted"),
        (Some(reason), _) => say(format!("denied: {} ({reason})", reason.words())),
    }
    if let Some(lock) = ask.lock.as_ref().filter(|_| told.reason == Some(Reason::Locked)) {
        say(format!("  by lock {} on {}: {}", lock.lock, lock.on, lock.message));
    }
    for rule in &told.rules {
        say(format!("  by {}", place(rule)));
        say(format!("     {}", rule.sentence));
    }
    for obligation in &told.obligations {
        say(format!("  the application must: {obligation}"));
    }
    if let Some(would) = &told.would {
        let rules: Vec<String> = would.rules.iter().map(ToString::to_string).collect();
        let answer = if would.permits { "permitted" } else { "denied" };
        say(format!("  would be {answer} if the rules in shadow bound: {}", rules.join(", ")));
    }
    if !told.facts.is_empty() {
        say("facts that the rules about this use read:");
        for (path, found) in &told.facts {
            say(format!("  {path}: {found}"));
        }
    }
    if !told.nearest.is_empty() {
        say("permits that were near, nearest first:");
        for near in &told.nearest {
            say(format!("  {}", place(&near.rule)));
            say(format!("     {}", near.rule.sentence));
            for miss in &near.misses {
                say(format!("     - {}; found: {}", miss.words, if miss.found.is_empty() { "–" } else { &miss.found }));
            }
            let helps: Vec<String> = near.remedies.iter().map(remedy).collect();
            say(format!("     would help: {}", helps.join("; ")));
        }
    }
}

fn place(rule: &Spoke) -> String {
    format!("{}  ({}:{})", rule.id, rule.file, rule.line)
}

fn remedy(remedy: &Remedy) -> String {
    match remedy {
        Remedy::SignIn => "sign in".into(),
        Remedy::StepUp { phishing_resistant: true } => "sign in with a passkey".into(),
        Remedy::StepUp { phishing_resistant: false } => "sign in again, or with a second factor".into(),
        Remedy::StatePurpose { accepted } if accepted.is_empty() => "state a purpose".into(),
        Remedy::StatePurpose { accepted } => format!("state a purpose: {}", accepted.join(" or ")),
        Remedy::FixDevice { steps } => steps.join(", "),
        Remedy::OtherDevice => "use a managed, compliant device".into(),
        Remedy::WaitUntil { at } => format!("wait until {at}"),
        Remedy::OtherNetwork => "use another network".into(),
        Remedy::AskOwner { owner: Some(owner) } => format!("ask {owner}, who answers for the application"),
        Remedy::AskOwner { owner: None } => "ask whoever answers for the application".into(),
        Remedy::AskOperators => "ask whoever runs Safeconduct".into(),
        Remedy::Nothing => "nothing".into(),
    }
}
