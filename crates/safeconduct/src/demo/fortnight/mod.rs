//! A simulated fortnight: what people of the company did before the demo starts. The asks are made up; every verdict on them
//! is spoken by the real policy snapshot, and every record is written by the real ledger writer.

mod day;
mod planted;
pub(crate) mod staff;
mod write;

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use safeconduct_config::Config;
use safeconduct_model::{Action, Check, Duration, GroupId, PersonId, Timestamp};
use safeconduct_policy::Snapshot;
use safeconduct_server::files::Built;

use staff::Kind;
pub(crate) use write::{Written, write};

/// The dice of the demo: everybody sees the same fortnight.
const SEED: u64 = 0x00b1_2026_0930;

/// A person as the simulation needs to know them.
pub(crate) struct Employee {
    /// Who.
    pub(crate) id: PersonId,
    /// All groups, direct or not.
    pub(crate) groups: BTreeSet<GroupId>,
    /// What kind of work.
    pub(crate) kind: Kind,
}

/// The company in simulated time.
pub(crate) struct Simulation {
    config: Config,
    snapshot: Snapshot,
    staff: Vec<Employee>,
    zone: TimeZone,
    report_max_age: Duration,
    required: BTreeSet<Check>,
    seed: u64,
    first: Date,
    from: Timestamp,
    until: Timestamp,
}

impl Simulation {
    /// The company from `from` until `until`.
    pub(crate) fn of(built: Built, from: Timestamp, until: Timestamp) -> Self {
        let Built { config, snapshot, .. } = built;
        let estate = &config.estate;
        let employee = |p: &safeconduct_model::Person| {
            let kind = Kind::of(p.groups.iter().map(GroupId::as_str))?;
            Some(Employee { id: p.id.clone(), groups: estate.groups_of(&p.id)?, kind })
        };
        let staff = estate.people.values().filter_map(employee).collect();
        let zone = config.settings.zone.clone();
        Self {
            staff,
            first: local(from, &zone),
            zone,
            report_max_age: config.settings.report_max_age,
            required: config.settings.required_checks.clone(),
            seed: SEED,
            from,
            until,
            snapshot,
            config,
        }
    }

    /// Every day of it, in order. The first and the last may be cut short.
    pub(crate) fn days(&self) -> impl Iterator<Item = Date> + '_ {
        let last = local(self.until, &self.zone);
        std::iter::successors(Some(self.first), |date| date.tomorrow().ok()).take_while(move |date| *date <= last)
    }

    fn action(&self, app: &str, method: &str, path: &str) -> Action {
        let id = app.parse().ok();
        let application = id.and_then(|id| self.config.estate.applications.get(&id));
        application.map_or(Action::from_method(method), |a| a.action(method, path, path == "/live"))
    }

    fn network(&self, ip: IpAddr) -> Option<String> {
        self.config.settings.network_of(ip).map(str::to_owned)
    }
}

fn local(at: Timestamp, zone: &TimeZone) -> Date {
    let at = jiff::Timestamp::from_millisecond(at.millis()).expect("a model timestamp lies between 1970 and 9999");
    at.to_zoned(zone.clone()).date()
}

#[cfg(test)]
mod tests {
    use super::day::{Event, Happening};
    use super::*;
    use crate::demo::{START, company};
    use safeconduct_model::{Mode, Reason, Record};

    fn fortnight() -> Simulation {
        Simulation::of(company::built().expect("holds"), START - Duration::from_days(14), START)
    }

    fn lines(events: &[Event]) -> Vec<String> {
        let line = |e: &Event| match &e.what {
            Happening::Ask(ask) => format!("{} {}", e.at, serde_json::to_string(ask).expect("JSON")),
            Happening::Other(record) => format!("{} {}", e.at, serde_json::to_string(record).expect("JSON")),
        };
        events.iter().map(line).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_fortnight_in_the_order_of_time() {
        let (one, two) = (fortnight(), fortnight());
        let mut last = Timestamp::default();
        for date in one.days() {
            let events = one.day(date);
            assert_eq!(lines(&events), lines(&two.day(date)), "{date}");
            for event in &events {
                assert!(last <= event.at && event.at < START, "{date}");
                last = event.at;
            }
        }
    }

    #[test]
    fn everybody_of_the_estate_has_a_kind_of_work() {
        assert_eq!(fortnight().staff.len(), 40);
    }

    #[test]
    fn the_fortnight_holds_what_is_worth_finding() {
        let simulation = fortnight();
        let (mut asks, mut exports, mut unhealthy, mut tried, mut odd) = (0, 0, 0, 0, 0);
        for event in simulation.days().flat_map(|d| simulation.day(d)) {
            let Happening::Ask(ask) = &event.what else { continue };
            asks += 1;
            let verdict = simulation.snapshot.decide(ask, event.at);
            let reason = verdict.denial().map(|d| d.reason);
            let who = ask.who.principal.to_string();
            match (who.as_str(), ask.what.app.as_str(), ask.what.action, reason) {
                ("gus", "crm", Action::Admin, Some(_)) => exports += u32::from(verdict.is_permit()),
                ("hugo", "payroll", _, Some(Reason::DeviceNotCompliant)) => unhealthy += 1,
                ("pavel", "payroll", _, Some(_)) => tried += 1,
                ("quinn", "crm", _, _) => {
                    let minute = event.at.millis() / 60_000 % 1_440;
                    odd += u32::from(minute >= 20 * 60);
                }
                _ => {}
            }
        }
        assert!((15_000..=25_000).contains(&asks), "{asks} accesses");
        assert_eq!(exports, 2, "they pass because the application is observed");
        assert!(unhealthy >= 10, "{unhealthy}");
        assert!(tried >= 8 && odd >= 20, "{tried} {odd}");
        let crm = &simulation.config.estate.applications[&"crm".parse().expect("id")];
        assert_eq!(crm.mode, Mode::Observe);
    }

    #[test]
    fn what_is_observed_of_crm_makes_a_short_and_good_proposal() {
        use safeconduct_model::{Entry, Group, Person};
        use safeconduct_rehearse::{Directory, Observed, Settings, propose};
        let simulation = fortnight();
        let app: safeconduct_model::AppId = "crm".parse().expect("id");
        let mut seen = Observed::new(app.clone(), simulation.zone.clone());
        let mut seq = 0;
        for event in simulation.days().flat_map(|d| simulation.day(d)) {
            let Happening::Ask(ask) = &event.what else { continue };
            let mode = simulation.snapshot.application(&ask.what.app).map_or(Mode::Enforce, |a| a.mode);
            let access = simulation.snapshot.decide(ask, event.at).record(ask, event.at, mode, 0);
            seen.add(&Entry { seq, at: event.at, record: Record::Access(Box::new(access)) });
            seq += 1;
        }
        let estate = &simulation.config.estate;
        let people: Vec<Person> = estate.people.values().cloned().collect();
        let groups: Vec<Group> = estate.groups.values().cloned().collect();
        let proposal =
            propose(&seen, &estate.applications[&app], &Directory::of(&people, &groups), &Settings::default())
                .expect("a proposal");
        let figures = &proposal.figures;
        assert!(figures.coverage > 0.97, "{figures:?}\n{}", proposal.cedar);
        assert!(proposal.rules.len() <= 5, "{}", proposal.cedar);
        assert!(
            proposal.cedar.contains("Group::\"sales\"") && proposal.cedar.contains("context.minute"),
            "{}",
            proposal.cedar
        );
        assert!(!proposal.cedar.contains("Person::\"gus\""), "{}", proposal.cedar);
    }
}
