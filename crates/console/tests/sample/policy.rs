//! Rules and proposals.

use super::*;

impl Sample {
    pub(super) fn ws(self) -> FiveWs {
        FiveWs {
            who: Some(self.n("people of Accountants")),
            what: Some(self.n("read the Q3 ledger")),
            when: Some("Monday to Friday from 08:00 to 18:00".into()),
            place: Some("from a managed device with current endpoint protection".into()),
            why: Some(self.n("for the quarter-end close")),
        }
    }

    pub(super) fn cedar(self) -> String {
        if self.hostile { format!("{CEDAR}// <script>alert(1)</script>") } else { CEDAR.to_owned() }
    }

    pub(super) fn usage(self) -> Vec<Usage> {
        self.list(vec![
            Usage { other: self.app_link("q3-finance"), allowed: 412, denied: 3, last: Some(mins(2)) },
            Usage { other: self.app_link("wiki"), allowed: 98, denied: 0, last: Some(mins(200)) },
        ])
    }
}

pub(super) fn policy(sample: Sample) -> Policy {
    let rule = |rid: &str, effect, sentence, cedar: String, app: &str, mode, matches, last| RuleRow {
        id: id(rid),
        stage: (effect == Effect::Forbid).then(|| "canary, binds 10 of 100 people".to_owned()),
        effect,
        sentence,
        cedar,
        apps: vec![(sample.app_link(app), mode)],
        matches,
        days: 30,
        last,
        source: sample.n(&format!("policies/{rid}.cedar:1")),
    };
    let contractors =
        FiveWs { who: Some(sample.n("people of Contractors")), what: Some("open Payroll".into()), ..FiveWs::default() };
    let chat = FiveWs {
        who: Some("all staff".into()),
        what: Some("use Team chat".into()),
        place: Some("from a known device".into()),
        ..FiveWs::default()
    };
    Policy {
        revision: 13,
        published: (!sample.empty).then(|| (days(2), sample.n("Ines Moreau"))),
        rules: sample.list(vec![
            rule("q3-close", Effect::Permit, sample.ws(), sample.cedar(), "q3-finance", Mode::Enforce, 4_120, Some(mins(2))),
            rule("chat-staff", Effect::Permit, chat, "@id(\"chat-staff\")\npermit (\n  principal in Group::\"staff\",\n  action,\n  resource == Application::\"chat\"\n) when { context has device };".into(), "chat", Mode::Enforce, 2_520, Some(mins(1))),
            rule("no-contractors", Effect::Forbid, contractors, "@id(\"no-contractors\")\nforbid (\n  principal in Group::\"contractors\",\n  action,\n  resource == Application::\"payroll\"\n);".into(), "payroll", Mode::Enforce, 0, None),
        ]),
        tests: if sample.empty { Tests::default() } else { Tests { passed: 23, failed: vec![] } },
        proposals: sample.list(vec![
            ProposalRow { id: sample.n("p-14"), app: sample.app_link("wiki"), made: mins(12), by: sample.n("observed use"), state: ProposalState::Open, rules: 2, coverage: Share::new(3_344, 3_412) },
            ProposalRow { id: "p-11".into(), app: sample.app_link("chat"), made: days(2), by: "observed use".into(), state: ProposalState::Published, rules: 1, coverage: Share::new(2_520, 2_520) },
        ]),
        apps: sample.list(APPS.iter().map(|a| ProposeApp {
            id: id(a.0), name: sample.n(a.1), mode: a.2, rules: a.5, observed: 3_412, unmatched: if a.5 == 0 { 3_412 } else { 68 },
        }).collect()),
    }
}

pub(super) fn proposal(sample: Sample, pid: &str) -> Proposal {
    let rule = |rid: &str, who: &str, what: &str| ProposedRule {
        id: sample.n(rid),
        effect: Effect::Permit,
        sentence: FiveWs {
            who: Some(sample.n(who)),
            what: Some(sample.n(what)),
            when: Some("Monday to Friday from 07:00 to 20:00".into()),
            place: Some("from a managed device".into()),
            why: None,
        },
        cedar: sample.cedar(),
        basis: sample.n("From 2 610 requests of 24 people in 14 days; every one came from a managed device."),
    };
    let shift = |count, reason: Option<Reason>| Shift {
        count,
        by_person: vec![(sample.who("marek", "Marek Novák"), count * 2 / 3), (sample.who("lin", "Lin Wei"), count / 3)],
        by_app: vec![(sample.app_link("wiki"), count)],
        examples: vec![
            Example {
                seq: 47_912,
                at: days(1),
                who: sample.who("marek", "Marek Novák"),
                what: sample.n("read /pages/onboarding"),
                reason,
            },
            Example {
                seq: 46_020,
                at: days(3),
                who: sample.who("lin", "Lin Wei"),
                what: "change /pages/on-call".into(),
                reason,
            },
        ],
    };
    Proposal {
        id: pid.to_owned(),
        app: sample.app_link("wiki"),
        made: mins(12),
        by: sample.n("observed use"),
        state: ProposalState::Open,
        rules: vec![
            rule("wiki-read", "people of All staff", "read the Wiki"),
            rule("wiki-write", "people of Engineers", "change the Wiki"),
        ],
        since: days(14),
        coverage: Share::new(3_344, 3_412),
        over_grant: Share::new(9, 78),
        measured: Some(Measured {
            splits: vec![Split { train_days: 23, test_days: 7, under: Share::new(3, 1_204), over: Share::new(11, 78) }],
            complexity: 34,
            least_reliability: Some(83),
            stable_after: Some(16),
            weight: 5,
            notes: vec!["cannot judge quarterly, yearly use: nothing that was observed is as long as that".into()],
            blind: vec!["whether an observed use was right".into()],
        }),
        rehearsal: Some(Rehearsal {
            from: days(30),
            to: mins(12),
            replayed: 11_204,
            newly_denied: shift(68, Some(Reason::OutsideHours)),
            newly_allowed: Shift::default(),
        }),
        tests: if !sample.hostile {
            Tests { passed: 23, failed: vec![] }
        } else {
            Tests {
                passed: 22,
                failed: vec![TestFailure {
                    name: sample.n("marek-cannot-read-the-wiki-at-night"),
                    expected: "denied: outside_hours".into(),
                    got: sample.n("allowed"),
                }],
            }
        },
        live: LiveEffect { decided_again: 7, ends: 1, people: 1 },
        enforces: true,
        barred: None,
    }
}
