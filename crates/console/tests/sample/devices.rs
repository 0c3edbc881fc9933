//! Devices.

use super::*;

impl Sample {
    pub(super) fn device_rows(self) -> Vec<DeviceRow> {
        let row =
            |did: &str, name: &str, who: Option<(&str, &str)>, managed, failing: &[Check], reported: Option<u64>| {
                DeviceRow {
                    id: id(did),
                    name: self.n(name),
                    owner: who.map(|w| self.who(w.0, w.1)),
                    managed,
                    compliant: failing.is_empty() && reported.is_some(),
                    reported: reported.map(mins),
                    failing: failing.iter().copied().collect(),
                    last: reported.map(mins),
                }
            };
        let mut all = vec![
            row("lt-07", "Ada's laptop", Some(("ada", "Ada Lovelace")), true, &[], Some(3)),
            row(
                "ws-02",
                "Desk workstation 2",
                Some(("bo", "Bo Lindqvist")),
                true,
                &[Check::EndpointProtection],
                Some(9),
            ),
            row("lt-12", "Tomasz's laptop", Some(("tomasz", "Tomasz Zieliński")), true, &[], Some(6)),
            row(
                "byod-3",
                "Marek's own tablet",
                Some(("marek", "Marek Novák")),
                false,
                &[Check::DiskEncrypted, Check::OsCurrent],
                None,
            ),
        ];
        for i in 0..self.times() * 18 {
            all.push(row(&format!("lt-{}", 20 + i), &format!("Laptop {}", 20 + i), None, true, &[], Some(4 + i % 9)));
        }
        self.list(all)
    }
}

pub(super) fn device(sample: Sample) -> Device {
    let mut row = Sample { empty: false, ..sample }.device_rows().remove(1);
    row.failing = BTreeSet::from([Check::EndpointProtection]);
    Device {
        row,
        facts: sample.list(sample.facts()),
        checks: Check::ALL
            .into_iter()
            .map(|check| CheckResult {
                check,
                passes: check != Check::EndpointProtection,
                required: check != Check::ScreenLock,
            })
            .collect(),
        fresh_until: Some(mins(0) + Duration::from_mins(6)),
        sessions: sample.sessions().into_iter().take(1).collect(),
        verdicts: sample.verdicts().into_iter().take(6).collect(),
    }
}
