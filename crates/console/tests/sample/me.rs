//! What a person sees of their own.

use super::*;

impl Sample {
    pub(super) fn my_devices_list(self) -> Vec<MyDevice> {
        self.list(vec![
            MyDevice {
                id: "lt-07".into(),
                name: self.n("Ada's laptop"),
                this: true,
                managed: true,
                compliant: true,
                reported: Some(mins(3)),
                failing: vec![],
            },
            MyDevice {
                id: "ph-7".into(),
                name: self.n("Phone"),
                this: false,
                managed: false,
                compliant: false,
                reported: Some(mins(400)),
                failing: vec![Check::OsCurrent, Check::ScreenLock],
            },
        ])
    }
}

pub(super) fn home(sample: Sample) -> Home {
    let tile = |aid: &str, note: &str, opens| Tile {
        id: id(aid),
        name: sample.app_link(aid).text,
        note: sample.n(note),
        address: format!("https://{aid}.halden.example/"),
        opens,
    };
    let yes = |may: &str, until: Option<u64>| Opens::Yes {
        may: sample.n(may),
        until: until.map(|m| Timestamp::from_millis(NOW) + Duration::from_mins(m)),
    };
    Home {
        tiles: sample.list(vec![
            tile("q3-finance", "The books of the third quarter", yes("You may read", Some(227))),
            tile("wiki", "What everybody should know", yes("You may read and change", None)),
            tile("chat", "Talk to colleagues", yes("You may read and change", None)),
            tile("stock", "What is on the shelves", yes("You may read", None)),
            tile(
                "payroll",
                "Salaries and runs",
                Opens::No {
                    reason: Reason::StepUpRequired,
                    failing: vec![],
                    remedies: vec![Remedy::StepUp { phishing_resistant: true }],
                },
            ),
            tile(
                "crm",
                "Customers and their orders",
                Opens::No {
                    reason: Reason::DeviceNotCompliant,
                    failing: sample.failing(),
                    remedies: sample.remedies(),
                },
            ),
        ]),
        sessions: sample.list(vec![
            MySession {
                id: id("s-81"),
                this: true,
                machine: None,
                device: Some(sample.n("Ada's laptop")),
                methods: vec![Method::Passkey],
                since: mins(50),
                until: mins(0) + Duration::from_hours(7),
                ip: "10.20.4.17".parse().expect("address"),
                connections: 3,
            },
            MySession {
                id: id("s-77"),
                this: false,
                machine: Some(sample.n("ada@workstation")),
                device: None,
                methods: vec![Method::Password, Method::Totp],
                since: mins(400),
                until: mins(0) + Duration::from_hours(1),
                ip: "192.0.2.9".parse().expect("address"),
                connections: 0,
            },
        ]),
        devices: sample.my_devices_list(),
    }
}

pub(super) fn security(sample: Sample) -> Security {
    Security {
        passkeys: sample.list(vec![Passkey {
            id: sample.n("pk-1"),
            name: sample.n("Laptop"),
            added: days(40),
            used: Some(mins(50)),
        }]),
        password: (!sample.empty).then(|| days(90)),
        totp: if sample.empty {
            Totp::Off
        } else {
            Totp::Pending {
                secret: "JBSW Y3DP EHPK 3PXP".into(),
                link: "otpauth://totp/Safeconduct:ada?secret=JBSWY3DPEHPK3PXP".into(),
            }
        },
    }
}
