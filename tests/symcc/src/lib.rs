//! The prover of Safeconduct beside SymCC, Cedar's own symbolic compiler, with cvc5 behind it: two ways to one answer.
//!
//! SymCC knows Cedar and its schema, and nothing of what the gateway's facts have to do with each other. So both sets get
//! [`WORLD`], forbids that say in Cedar which facts cannot be together. What still differs is kept out of the pairs: the
//! instant beside weekday and minute (SymCC knows no calendar), the class and the assets of applications (SymCC would invent
//! applications of any class), ids that no asker can carry, and rules in shadow or canary. One application that no rule names
//! stands for all that SymCC may invent.
//!
//! ```
//! let (current, candidate) = safeconduct_symcc::pair(7);
//! assert!(safeconduct_symcc::ours(&current, &candidate).is_ok());
//! ```

use std::collections::BTreeSet;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use cedar_policy::{PolicySet, Schema};
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicySet};
use safeconduct_model::{Application, Class, Hardening, Mode, Timestamp};
use safeconduct_policy::{PolicyText, SCHEMA, Snapshot, Sources};
use safeconduct_rehearse::prove::{Outcome, permits_no_more};

/// What cannot be together, in Cedar.
pub const WORLD: &str = r#"
@id("world-auth") forbid(principal, action, resource)
when { context.auth.phishing_resistant && !context.auth.mfa };
@id("world-device") forbid(principal, action, resource)
when { !context.device.known && (context.device.managed || context.device.compliant || context.device.firewall
  || context.device.disk_encrypted || context.device.endpoint_protection || context.device.os_current
  || context.device.screen_lock) };
@id("world-checks") forbid(principal, action, resource)
when { !context.device.compliant && context.device.firewall && context.device.disk_encrypted
  && context.device.endpoint_protection && context.device.os_current && context.device.screen_lock };
@id("world-why") forbid(principal, action, resource)
when { !(context has purpose) && (context.granted || context has ticket) };
@id("world-clock") forbid(principal, action, resource)
when { context.minute < 0 || context.minute > 1439 || context.weekday < 1 || context.weekday > 7 || context.auth.age < 0
  || context.auth.age > 1000000 };
"#;

/// How many pairs one solver process judges.
const PAIRS_PER_SOLVER: usize = 20;

/// Dice that fall the same way for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        let at = self.below(u64::try_from(from.len()).unwrap_or(1));
        usize::try_from(at).ok().and_then(|at| from.get(at)).copied().unwrap_or_default()
    }
}

const WHO: [&str; 6] = [
    "principal",
    "principal in Group::\"staff\"",
    "principal in Group::\"ops\"",
    "principal == Person::\"ada\"",
    "principal is Person",
    "principal is Workload in Group::\"ops\"",
];
const ACTIONS: [&str; 3] = ["action", "action == Action::\"read\"", "action in [Action::\"read\", Action::\"write\"]"];
const WHAT: [&str; 3] = ["resource", "resource == Application::\"books\"", "resource == Application::\"wiki\""];
const CONDITIONS: [&str; 24] = [
    "context.auth.mfa",
    "context.auth.phishing_resistant",
    "context.auth.age < 3600",
    "context.auth.age < 600",
    "context.device.known",
    "context.device.managed",
    "context.device.compliant",
    "context.device.firewall",
    "context.method == \"GET\"",
    "[\"GET\", \"HEAD\"].contains(context.method)",
    "context.path like \"/a/*\"",
    "context.path like \"/a/b/*\"",
    "context.path like \"*.json\"",
    "context.weekday <= 5",
    "context.minute >= 480 && context.minute < 1080",
    "context.minute >= 540",
    "context.net.ip.isInRange(ip(\"10.0.0.0/8\"))",
    "context.net.ip.isInRange(ip(\"10.1.0.0/16\"))",
    "context.net.zone == \"office\"",
    "context.net has country && context.net.country == \"NL\"",
    "context.granted",
    "context has purpose && context.purpose == \"close\"",
    "context has ticket",
    "principal in Group::\"ops\"",
];

fn condition(dice: &mut Dice) -> String {
    let one = dice.pick(&CONDITIONS);
    match dice.below(6) {
        0 => format!("!({one})"),
        1 => format!("({one}) || ({})", dice.pick(&CONDITIONS)),
        _ => one.to_owned(),
    }
}

fn rule(dice: &mut Dice) -> String {
    let effect = if dice.below(4) == 0 { "forbid" } else { "permit" };
    let mut text = format!("{effect}({}, {}, {})", dice.pick(&WHO), dice.pick(&ACTIONS), dice.pick(&WHAT));
    for _ in 0..dice.below(3) {
        text += &format!(" when {{ {} }}", condition(dice));
    }
    if dice.below(5) == 0 {
        text += &format!(" unless {{ {} }}", condition(dice));
    }
    text + ";"
}

/// Two small rule sets that have most in common. The same seed always makes the same pair.
#[must_use]
pub fn pair(seed: u64) -> (String, String) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut old: Vec<String> = (0..1 + dice.below(3)).map(|_| rule(&mut dice)).collect();
    if !old.iter().any(|r| r.starts_with("permit")) {
        old.push(rule(&mut dice).replacen("forbid", "permit", 1));
    }
    let mut new = old.clone();
    let at = usize::try_from(dice.below(u64::try_from(new.len()).unwrap_or(1))).unwrap_or(0);
    match dice.below(4) {
        0 => new[at] = rule(&mut dice),
        1 => new.push(rule(&mut dice)),
        _ => new[at] = format!("{} when {{ {} }};", new[at].trim_end_matches(';'), condition(&mut dice)),
    }
    let numbered =
        |rules: &[String]| rules.iter().enumerate().map(|(i, r)| format!("@id(\"r{i}\") {r}\n")).collect::<String>();
    let (old, new) = (numbered(&old), numbered(&new));
    if dice.below(2) == 0 { (old, new) } else { (new, old) }
}

fn app(id: &str) -> Result<Application> {
    Ok(Application {
        id: id.parse()?,
        name: id.into(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode: Mode::Enforce,
        class: Class::Moderate,
        assets: BTreeSet::new(),
        owner: None,
        routes: vec![],
        hardening: Hardening::default(),
    })
}

/// Whether the second set permits no more than the first, by Safeconduct's prover; an error where it leaves the question open.
pub fn ours(current: &str, candidate: &str) -> Result<bool> {
    let snapshot = |text: &str| -> Result<Snapshot> {
        let sources = Sources {
            policies: vec![PolicyText { file: "pair.cedar".into(), text: text.into() }],
            applications: vec![app("books")?, app("wiki")?, app("any-other")?],
            assets: vec![],
            zone: jiff::tz::TimeZone::UTC,
        };
        Snapshot::build(1, sources).map_err(|faults| anyhow::anyhow!("{}", faults[0]))
    };
    let proof = permits_no_more(&snapshot(current)?, &snapshot(candidate)?, Timestamp::from_millis(1_788_134_400_000));
    match proof.outcome {
        Outcome::Proved => Ok(true),
        Outcome::Refuted(_) => Ok(false),
        Outcome::NotProven { because } => bail!("left open: {}", because[0].words()),
    }
}

/// SymCC and its solver.
pub struct SymCc {
    compiler: CedarSymCompiler<LocalSolver>,
    schema: Schema,
}

impl SymCc {
    /// Starts cvc5. An error if it is not on the path.
    pub fn start() -> Result<Self> {
        let solver = LocalSolver::cvc5().context("cvc5 cannot be started; install the Debian package cvc5")?;
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)?;
        Ok(Self { compiler: CedarSymCompiler::new(solver)?, schema })
    }

    /// Whether the second set permits no more than the first, in every environment of the schema.
    pub async fn permits_no_more(&mut self, current: &str, candidate: &str) -> Result<bool> {
        let set = |text: &str| PolicySet::from_str(&format!("{text}{WORLD}")).context("the pair is valid Cedar");
        let (current, candidate) = (set(current)?, set(candidate)?);
        for env in self.schema.request_envs() {
            let current = CompiledPolicySet::compile(&current, &env, &self.schema)?;
            let candidate = CompiledPolicySet::compile(&candidate, &env, &self.schema)?;
            if !self.compiler.check_implies_opt(&candidate, &current).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Both prove that nothing is widened.
    pub proved: usize,
    /// Both find a widening.
    pub refuted: usize,
}

/// Compares the two on the pairs of these seeds; an error at the first one on which they differ.
pub async fn compare(seeds: std::ops::Range<u64>) -> Result<Agreement> {
    let mut symcc = SymCc::start()?;
    let mut agreement = Agreement::default();
    for (count, seed) in seeds.enumerate() {
        // The solver ends itself a minute after its start.
        if count > 0 && count % PAIRS_PER_SOLVER == 0 {
            symcc = SymCc::start()?;
        }
        let (current, candidate) = pair(seed);
        let about = || format!("pair {seed}\n--- current\n{current}--- candidate\n{candidate}");
        let ours = ours(&current, &candidate).with_context(about)?;
        let theirs = match symcc.permits_no_more(&current, &candidate).await {
            Ok(answer) => answer,
            // Once more with a fresh solver: on a busy machine its minute may be over early.
            Err(_) => {
                symcc = SymCc::start()?;
                symcc.permits_no_more(&current, &candidate).await.with_context(about)?
            }
        };
        if ours != theirs {
            bail!("ours says {ours}, SymCC says {theirs}: {}", about());
        }
        if ours { agreement.proved += 1 } else { agreement.refuted += 1 }
    }
    Ok(agreement)
}
