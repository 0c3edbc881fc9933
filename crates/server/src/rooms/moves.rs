//! What to do next: simple, honest priorities over what is known.

use safeconduct_console::view::{Link, Move, Share};
use safeconduct_model::{AppId, Class};

use crate::rooms::links::{percent, plural};

/// How many observed requests make a proposal worth writing.
pub(crate) const ENOUGH: u64 = 50;
/// How many moves are shown.
const MOVES: usize = 5;

/// An open proposal.
#[derive(Clone, Debug)]
pub(crate) struct OpenProposal {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(crate) coverage: Share,
}

/// An application that only observes.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) id: AppId,
    pub(crate) name: String,
    pub(crate) class: Class,
    /// Requests that policy allows already, of those observed.
    pub(crate) covered: Share,
    pub(crate) people: u64,
    pub(crate) proposed: bool,
}

/// What the moves are chosen from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signs {
    /// Parts that fail, with what to do.
    pub(crate) failing: Vec<(String, String)>,
    pub(crate) applications: u64,
    pub(crate) proposals: Vec<OpenProposal>,
    pub(crate) observed: Vec<Observed>,
    /// Names of assets that nobody answers for, of all assets.
    pub(crate) unowned: (Vec<String>, u64),
    /// Names of assets of class high or critical that no enforcing application guards.
    pub(crate) exposed: Vec<String>,
    /// Live sessions of one factor, and the people behind them; of all live sessions.
    pub(crate) single_factor: (u64, u64, u64),
    /// Managed devices that are not compliant, of all managed ones.
    pub(crate) failing_devices: Share,
    /// Rules that did not speak in the window, of all rules.
    pub(crate) silent_rules: Share,
    pub(crate) days: u32,
}

fn a_move(title: String, because: String, text: &str, href: impl Into<String>) -> Move {
    Move { title, because, action: Link::to(text, href) }
}

/// The moves, the best first: what is broken, what waits for a word, what is ready, what is missing, what could be better.
pub(crate) fn moves(signs: &Signs) -> Vec<Move> {
    let mut all = Vec::new();
    for (part, remedy) in &signs.failing {
        all.push(a_move(format!("Repair: {part}"), remedy.clone(), "See health", "/console/health"));
    }
    if signs.applications == 0 {
        let because = "No application is behind the gateway, so nothing is seen and nothing is guarded.".to_owned();
        all.push(a_move(
            "Put a first application behind the gateway".to_owned(),
            because,
            "See applications",
            "/console/apps",
        ));
    }
    for p in &signs.proposals {
        let because =
            format!("It covers {} of {} observed uses ({}).", p.coverage.of, p.coverage.all, percent(p.coverage));
        let href = format!("/console/policy/proposals/{}", p.id);
        all.push(a_move(format!("Judge the proposal for {}", p.app), because, "Read it", href));
    }
    all.extend(ready(signs));
    all.extend(missing(signs));
    all.truncate(MOVES);
    all
}

/// Applications that were observed long enough, the most severe first.
fn ready(signs: &Signs) -> Vec<Move> {
    let mut apps: Vec<&Observed> =
        signs.observed.iter().filter(|o| !o.proposed && o.covered.all >= ENOUGH && o.people > 0).collect();
    apps.sort_by_key(|o| (std::cmp::Reverse(o.class), std::cmp::Reverse(o.covered.all), o.id.clone()));
    let told = |o: &&Observed| {
        let denied = o.covered.all - o.covered.of;
        let because = format!(
            "{} of {} in {} days; policy would deny {denied} of them today.",
            plural(o.covered.all, "request", "requests"),
            plural(o.people, "person", "people"),
            signs.days
        );
        a_move(format!("Propose rules for {}", o.name), because, "Propose on the policy page", "/console/policy")
    };
    apps.iter().map(told).collect()
}

/// What is missing or could be better.
fn missing(signs: &Signs) -> Vec<Move> {
    let mut all = Vec::new();
    let (unowned, assets) = (&signs.unowned.0, signs.unowned.1);
    if !unowned.is_empty() {
        let because =
            format!("{} of {} without an owner: {}.", unowned.len(), plural(assets, "asset", "assets"), some(unowned));
        all.push(a_move(
            "Name who answers for each asset".to_owned(),
            because,
            "See the protect surface",
            "/console/protect",
        ));
    }
    if !signs.exposed.is_empty() {
        let because = format!(
            "{} of class high or critical without it: {}.",
            plural(signs.exposed.len() as u64, "asset", "assets"),
            some(&signs.exposed)
        );
        all.push(a_move(
            "Guard what matters by enforced policy".to_owned(),
            because,
            "See the protect surface",
            "/console/protect",
        ));
    }
    let (sessions, people, of) = signs.single_factor;
    if sessions > 0 {
        let because = format!(
            "{sessions} of {of} live sessions, of {}, with one factor alone.",
            plural(people, "person", "people")
        );
        all.push(a_move(
            "Bring everybody to two factors".to_owned(),
            because,
            "See sessions",
            "/console/watch#sessions",
        ));
    }
    let devices = signs.failing_devices;
    if devices.of > 0 {
        let because = format!(
            "{} of {} managed devices without a fresh report that passes every required check.",
            devices.of, devices.all
        );
        all.push(a_move("Repair devices".to_owned(), because, "See devices", "/console/devices"));
    }
    let rules = signs.silent_rules;
    if rules.of > 0 {
        let because =
            format!("{} of {} did not speak in {} days.", rules.of, plural(rules.all, "rule", "rules"), signs.days);
        all.push(a_move("Review rules that nobody needs".to_owned(), because, "See rules", "/console/policy#rules"));
    }
    all
}

/// The first few names.
fn some(names: &[String]) -> String {
    const FEW: usize = 3;
    let shown = names.iter().take(FEW).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(FEW) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(id: &str, class: Class, of: u64, all: u64) -> Observed {
        let id: AppId = id.parse().expect("id");
        Observed { name: id.to_string(), id, class, covered: Share::new(of, all), people: 4, proposed: false }
    }

    fn titles(signs: &Signs) -> Vec<String> {
        moves(signs).into_iter().map(|m| m.title).collect()
    }

    #[test]
    fn what_is_broken_comes_before_what_waits_and_that_before_what_is_ready() {
        let signs = Signs {
            failing: vec![("Ledger".into(), "Free space.".into())],
            applications: 3,
            proposals: vec![OpenProposal { id: "wiki-1".into(), app: "Wiki".into(), coverage: Share::new(9, 10) }],
            observed: vec![observed("crm", Class::Low, 0, 900), observed("ledger", Class::High, 10, 60)],
            unowned: (vec!["Q3".into()], 4),
            days: 30,
            ..Signs::default()
        };
        assert_eq!(
            titles(&signs),
            [
                "Repair: Ledger",
                "Judge the proposal for Wiki",
                "Propose rules for ledger",
                "Propose rules for crm",
                "Name who answers for each asset"
            ]
        );
        let reasons: Vec<String> = moves(&signs).into_iter().map(|m| m.because).collect();
        assert_eq!(reasons[1], "It covers 9 of 10 observed uses (90 %).");
        assert_eq!(reasons[2], "60 requests of 4 people in 30 days; policy would deny 50 of them today.");
    }

    #[test]
    fn too_little_use_and_a_pending_proposal_propose_nothing() {
        let mut waiting = observed("crm", Class::Low, 0, 900);
        waiting.proposed = true;
        let signs = Signs {
            applications: 2,
            observed: vec![waiting, observed("wiki", Class::Critical, 0, ENOUGH - 1)],
            ..Signs::default()
        };
        assert!(titles(&signs).is_empty());
        assert_eq!(titles(&Signs::default()), ["Put a first application behind the gateway"]);
    }

    #[test]
    fn long_lists_are_cut_with_their_count() {
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(some(&names), "a, b, c and 2 more");
        assert_eq!(some(&names[..2]), "a, b");
    }
}
