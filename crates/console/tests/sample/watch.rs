//! Verdicts, sessions, cuts.

use super::*;

impl Sample {
    pub(super) fn verdicts(self) -> Vec<VerdictRow> {
        let row = |i: u64, answered, who: (&str, &str), app: &str, action, what: &str, device: Option<&str>, reason| {
            VerdictRow {
                seq: 48_213 - i,
                at: t(i * 21_000 + 4_000),
                answered,
                who: self.who(who.0, who.1),
                app: self.app_link(app),
                action,
                what: self.n(what),
                device: device.map(|d| Link::device(&id(d), self.n(d))),
                reason,
                took_us: 38 + u32::try_from(i * 7 % 90).unwrap_or(0),
            }
        };
        use Action::{Read, Write};
        let mut all = Vec::new();
        for k in 0..5 * self.times() {
            let i = k * 8;
            all.extend([
                row(
                    i,
                    Answered::Allowed,
                    ("ada", "Ada Lovelace"),
                    "q3-finance",
                    Some(Read),
                    "GET /reports/q3",
                    Some("lt-07"),
                    None,
                ),
                row(
                    i + 1,
                    Answered::Denied,
                    ("marek", "Marek Novák"),
                    "q3-finance",
                    Some(Read),
                    "GET /reports/q3",
                    Some("byod-3"),
                    Some(Reason::DeviceNotManaged),
                ),
                row(
                    i + 2,
                    Answered::Allowed,
                    ("bo", "Bo Lindqvist"),
                    "desk",
                    Some(Write),
                    "GET /stream (WebSocket)",
                    Some("ws-02"),
                    None,
                ),
                row(
                    i + 3,
                    Answered::WouldDeny,
                    ("lin", "Lin Wei"),
                    "wiki",
                    Some(Read),
                    "GET /pages/onboarding",
                    None,
                    Some(Reason::NoRule),
                ),
                row(
                    i + 4,
                    Answered::Allowed,
                    ("tomasz", "Tomasz Zieliński"),
                    "crm",
                    Some(Write),
                    "POST /accounts/4711/notes",
                    Some("lt-12"),
                    None,
                ),
                row(
                    i + 5,
                    Answered::Refused,
                    ("nobody", "nobody"),
                    "crm",
                    None,
                    "GET /..%2f..%2fetc/passwd",
                    None,
                    Some(Reason::BadRequest),
                ),
                row(
                    i + 6,
                    Answered::Denied,
                    ("ines", "Ines Moreau"),
                    "payroll",
                    Some(Write),
                    "PUT /runs/2026-09",
                    Some("lt-03"),
                    Some(Reason::OutsideHours),
                ),
                row(
                    i + 7,
                    Answered::WouldDeny,
                    ("yusuf", "Yusuf Demir"),
                    "git",
                    Some(Read),
                    "GET /warehouse/robots.git/info/refs",
                    Some("lt-19"),
                    Some(Reason::NoRule),
                ),
            ]);
        }
        self.list(all)
    }

    pub(super) fn sessions(self) -> Vec<SessionRow> {
        let row =
            |sid: &str, who: (&str, &str), device: Option<&str>, methods: &[Method], apps: &[(&str, u64)]| SessionRow {
                id: id(sid),
                person: self.who(who.0, who.1),
                device: device.map(|d| Link::device(&id(d), self.n(d))),
                methods: methods.to_vec(),
                since: mins(50),
                until: mins(0) + Duration::from_hours(7),
                ip: "10.20.4.17".parse().expect("address"),
                connections: apps.iter().map(|(a, n)| (self.app_link(a), *n)).collect(),
            };
        self.list(vec![
            row("s-81", ("ada", "Ada Lovelace"), Some("lt-07"), &[Method::Passkey], &[("q3-finance", 2), ("chat", 1)]),
            row("s-82", ("bo", "Bo Lindqvist"), Some("ws-02"), &[Method::Passkey], &[("desk", 1)]),
            row("s-90", ("marek", "Marek Novák"), None, &[Method::Password, Method::Totp], &[]),
        ])
    }

    pub(super) fn cuts(self) -> Vec<CutRow> {
        let row = |seq, who: (&str, &str), app: &str, cause, lasted, delay: Option<u64>| CutRow {
            seq,
            at: mins(48_300 - seq),
            who: self.who(who.0, who.1),
            app: self.app_link(app),
            cause,
            lasted: Duration::from_secs(lasted),
            delay: delay.map(Duration::from_millis),
        };
        self.list(vec![
            row(48_190, ("bo", "Bo Lindqvist"), "desk", CutCause::DeviceChanged, 5_120, Some(41)),
            row(47_020, ("marek", "Marek Novák"), "crm", CutCause::SessionEnded, 610, Some(18)),
            row(46_411, ("lin", "Lin Wei"), "chat", CutCause::Closed, 86, None),
        ])
    }
}

pub(super) fn watch(sample: Sample, query: &WatchQuery) -> Watch {
    let verdicts: Vec<_> =
        sample.verdicts().into_iter().filter(|v| query.answered.is_none_or(|a| v.answered == a)).collect();
    Watch {
        total: Some(verdicts.len() as u64),
        more: !verdicts.is_empty(),
        verdicts,
        sessions: sample.sessions(),
        cuts: sample.cuts(),
        apps: sample.list(APPS.iter().map(|a| (a.0.to_owned(), sample.n(a.1))).collect()),
    }
}

pub(super) fn verdict(sample: Sample, seq: u64, again: bool) -> Verdict {
    let allowed = seq.is_multiple_of(2);
    let fact = |name: &str, value: Option<&str>, source: &str, since, read, failed| ReadFact {
        name: sample.n(name),
        value: value.map(|v| sample.n(v)),
        source: sample.n(source),
        since,
        read,
        failed,
    };
    let five = |w, answer: Link, facts| Box5 { w, answer, facts };
    let boxes = vec![
        five(
            W::Who,
            sample.who("ada", "Ada Lovelace"),
            vec![
                fact("groups", Some("accountants, all staff"), "directory", Some(days(3)), true, false),
                fact("proven by", Some("passkey"), "session s-81", Some(mins(50)), false, false),
            ],
        ),
        five(
            W::What,
            sample.app_link("q3-finance"),
            vec![
                fact("action", Some("read"), "request method", None, true, false),
                fact("path", Some("/reports/q3"), "request", None, false, false),
            ],
        ),
        five(
            W::When,
            Link::plain("Wednesday, 14:02"),
            vec![
                fact("minute of day", Some("842, Europe/Oslo"), "clock", None, true, false),
                fact("weekday", Some("3"), "clock", None, true, false),
            ],
        ),
        five(
            W::Where,
            Link::device(&id("lt-07"), sample.n("Ada's laptop")),
            vec![
                fact("managed", Some("yes"), "estate", Some(days(120)), true, false),
                fact(
                    "endpoint protection",
                    if allowed { Some("current") } else { Some("off") },
                    "posture report",
                    Some(mins(14)),
                    true,
                    !allowed,
                ),
                fact("network", Some("office"), "configuration", None, false, false),
            ],
        ),
        five(
            W::Why,
            Link::plain(sample.n("quarter-end close")),
            vec![
                fact("purpose", Some("quarter-end-close"), "grant g-9", Some(days(5)), true, false),
                fact("ticket", None, "grant g-9", Some(days(5)), false, false),
            ],
        ),
    ];
    Verdict {
        answered: if allowed { Answered::Allowed } else { Answered::Denied },
        at: mins(11),
        clock: "14:02 on Wednesday, 30 September".into(),
        who: sample.who("ada", "Ada Lovelace"),
        action: Action::Read,
        app: sample.app_link("q3-finance"),
        request_line: sample.n("GET /reports/q3"),
        device: Some(Link::device(&id("lt-07"), sample.n("her managed laptop"))),
        purpose: Some(sample.n("the quarter-end close")),
        mode: Mode::Enforce,
        reason: (!allowed).then_some(Reason::DeviceNotCompliant),
        boxes,
        rules: vec![SpokenRule {
            rule: Link::rule(&id("q3-close")),
            effect: Effect::Permit,
            held: allowed,
            cedar: sample.cedar(),
            failing: if allowed { vec![] } else { sample.failing() },
        }],
        lock: None,
        remedies: if allowed { vec![] } else { sample.remedies() },
        lease: allowed.then(|| Lease {
            rests_on: vec![
                Link::plain(sample.n("session s-81")),
                Link::device(&id("lt-07"), "posture of lt-07"),
                Link::rule(&id("q3-close")),
            ],
            until: mins(0) + Duration::from_mins(47),
            ended: None,
        }),
        proof: Proof {
            seq,
            request: id("4bf92f3577b34da6a3ce929d0e0e4736"),
            revision: 13,
            hash: "9f2c4e7a1b0d83c65e44a1f07b2d9c88e3104f5a6b7c8d9e0f1a2b3c4d5e6f70".into(),
            previous: "17aa0c3be95d2f4488716e0b9d3c5a21f0e4d8b7c6a59483726150f4e3d2c1b0".into(),
            checkpoint: Some("checkpoint 482, signed 14:05:00 UTC".into()),
            took_us: 46,
        },
        again: again.then(|| Again {
            revision: 14,
            permitted: true,
            reason: None,
            rules: vec![Link::rule(&id("q3-close"))],
        }),
    }
}
