//! The overview.

use super::*;

pub(super) fn overview(sample: Sample) -> Overview {
    let step = |room, of, all, words: &str| Step {
        room,
        done: if sample.empty { Share::new(0, 0) } else { Share::new(of, all) },
        words: sample.n(words),
    };
    let figure = |code: &str, name: &str, measure, better, trend: &[f64]| Figure {
        code: code.into(),
        name: sample.n(name),
        measure,
        better,
        trend: trend.to_vec(),
        meaning: sample.n("what exactly is counted"),
    };
    let share = |of, all| Measure::Share(Share::new(of, all));
    let unknown = |s: &str| Measure::Unknown { source: sample.n(s) };
    Overview {
        steps: vec![
            step(Room::Protect, 11, 12, "assets with an owner"),
            step(Room::Map, 8, 8, "applications mapped"),
            step(Room::Build, 8, 9, "applications behind the gateway"),
            step(Room::Policy, 5, 8, "applications enforced"),
            step(Room::Watch, 1_204, 1_204, "verdicts today explained"),
        ],
        next: sample.list(vec![
            Move {
                title: sample.n("Write the first rule for the wiki"),
                because: sample
                    .n("29 people used it in 14 days and 3 412 requests had no rule; a proposal covers 98 % of them."),
                action: Link::to("See the proposal", "/console/policy/proposals/p-14"),
            },
            Move {
                title: sample.n("Name an owner for Source code"),
                because: "Nobody answers for it.".into(),
                action: Link::to("Protect", "/console/protect"),
            },
            Move {
                title: sample.n("Look at 2 devices that stopped reporting"),
                because: "Their people are denied by 3 rules.".into(),
                action: Link::to("Devices", "/console/devices"),
            },
        ]),
        figures: sample.list(vec![
            figure(
                "K01",
                "Applications with enforced policy",
                share(5, 8),
                Better::Higher,
                &[1.0, 2.0, 2.0, 3.0, 4.0, 5.0],
            ),
            figure(
                "K03",
                "Requests decided with a device fact",
                share(9_310, 11_204),
                Better::Higher,
                &[0.4, 0.5, 0.52, 0.7, 0.8, 0.83],
            ),
            figure(
                "K05",
                "Decisions that explain themselves",
                share(11_204, 11_204),
                Better::Higher,
                &[1.0, 1.0, 1.0, 1.0],
            ),
            figure(
                "K10p",
                "Privileged people with several factors",
                share(4, 4),
                Better::Higher,
                &[0.5, 0.75, 1.0, 1.0],
            ),
            figure(
                "K11",
                "Sign-ins that resist phishing",
                share(31, 40),
                Better::Higher,
                &[0.2, 0.4, 0.5, 0.6, 0.72, 0.78],
            ),
            figure("K20", "Standing privileged grants", share(1, 9), Better::Lower, &[0.9, 0.5, 0.4, 0.3, 0.11]),
            figure("K23", "Granted and unused", share(14, 96), Better::Lower, &[0.1, 0.12, 0.11, 0.15]),
            figure(
                "K26",
                "Change to cut, 95th percentile",
                Measure::Span { span: Duration::from_millis(41), cases: 18 },
                Better::Lower,
                &[120.0, 80.0, 44.0, 41.0],
            ),
            figure("K41", "Paths that bypass the gateway", unknown("a flow sensor"), Better::Lower, &[]),
            figure("K74", "Attack tests stopped", unknown("an attack test run"), Better::Higher, &[]),
        ]),
        today: if sample.empty {
            Today::default()
        } else {
            Today { allowed: 9_871, denied: 112, would_deny: 1_221, cut: 3, sessions: 17 }
        },
    }
}
