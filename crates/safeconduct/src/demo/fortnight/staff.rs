//! Who works how: habits by group, devices by person.

use safeconduct_model::{Check, Method};

/// A device of the company.
pub(crate) struct Device {
    /// Its id, which is its name.
    pub(crate) id: &'static str,
    /// Whose it is; `None` for a shared one.
    pub(crate) owner: Option<&'static str>,
    /// The state it is in.
    pub(crate) state: State,
}

/// The state of a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Passes every check, and reports.
    Well,
    /// Its operating system lacks updates.
    OldSystem,
    /// Its endpoint protection stopped updating on 21 September.
    OldProtection,
    /// Does not report any more.
    Silent,
}

use State::{OldProtection, OldSystem, Silent, Well};

const fn device(id: &'static str, owner: &'static str, state: State) -> Device {
    Device { id, owner: Some(owner), state }
}

const fn shared(id: &'static str, state: State) -> Device {
    Device { id, owner: None, state }
}

/// The 25 devices.
pub(crate) const DEVICES: [Device; 25] = [
    device("lt-mira", "mira", Well),
    device("lt-jonas", "jonas", Well),
    device("lt-theo", "theo", Well),
    shared("lt-it-pool", Silent),
    device("lt-ada", "ada", Well),
    device("lt-bruno", "bruno", Well),
    device("lt-celine", "celine", Well),
    device("lt-dmitri", "dmitri", OldSystem),
    device("lt-esther", "esther", Well),
    device("lt-frida", "frida", Well),
    device("lt-gita", "gita", Well),
    device("lt-hugo", "hugo", OldProtection),
    device("lt-ines", "ines", Well),
    device("lt-jakob", "jakob", Well),
    device("lt-katya", "katya", Well),
    device("lt-liam", "liam", Well),
    device("lt-mona", "mona", Well),
    device("lt-nils", "nils", Well),
    device("lt-olga", "olga", Well),
    device("lt-pedro", "pedro", Well),
    device("lt-quinn", "quinn", Well),
    shared("ws-desk-1", Well),
    shared("ws-desk-2", Well),
    shared("tm-hall-1", OldSystem),
    shared("tm-hall-2", Well),
];

impl State {
    /// The checks that pass.
    pub(crate) fn passed(self) -> impl Iterator<Item = Check> {
        Check::ALL.into_iter().filter(move |check| match self {
            Well => true,
            OldSystem => *check != Check::OsCurrent,
            OldProtection => *check != Check::EndpointProtection,
            Silent => false,
        })
    }
}

/// The device that a person uses.
pub(crate) fn device_of(person: &str) -> Option<&'static Device> {
    let id = match person {
        "sana" | "pavel" => "lt-it-pool",
        "rosa" | "stefan" | "vera" => "ws-desk-1",
        "tara" | "umar" | "wim" => "ws-desk-2",
        "xenia" | "yusuf" | "zoe" | "arne" => "tm-hall-1",
        "bea" | "carl" | "dora" => "tm-hall-2",
        own => return DEVICES.iter().find(|d| d.owner == Some(own)),
    };
    DEVICES.iter().find(|d| d.id == id)
}

/// How a person signs in.
pub(crate) fn methods_of(person: &str, kind: Kind) -> &'static [Method] {
    match (person, kind) {
        ("bea", _) => &[Method::Password],
        ("pedro" | "fiona", _) | (_, Kind::Logistics | Kind::Contractor) => &[Method::Password, Method::Totp],
        _ => &[Method::Passkey],
    }
}

/// What kind of work a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    It,
    Accountant,
    Controller,
    People,
    Sales,
    Trader,
    Logistics,
    Board,
    Contractor,
}

impl Kind {
    /// The kind of work of someone who belongs to these groups directly.
    pub(crate) fn of<'a>(groups: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        groups.into_iter().find_map(|group| match group {
            "it" => Some(Self::It),
            "accountants" => Some(Self::Accountant),
            "controllers" => Some(Self::Controller),
            "hr" => Some(Self::People),
            "sales" => Some(Self::Sales),
            "traders" => Some(Self::Trader),
            "logistics" => Some(Self::Logistics),
            "board" => Some(Self::Board),
            "contractors" => Some(Self::Contractor),
            _ => None,
        })
    }

    /// When the work begins and ends, in minutes of the day, and about how many requests it makes.
    pub(crate) fn hours(self) -> (i64, i64, i64) {
        match self {
            Self::It => (8 * 60, 17 * 60, 60),
            Self::Accountant => (8 * 60 + 15, 17 * 60, 52),
            Self::Controller => (8 * 60 + 30, 17 * 60 + 45, 56),
            Self::People => (8 * 60 + 30, 16 * 60 + 30, 34),
            Self::Sales => (8 * 60, 18 * 60, 76),
            Self::Trader => (7 * 60 + 10, 17 * 60 + 45, 44),
            Self::Logistics => (6 * 60, 14 * 60, 38),
            Self::Board => (9 * 60, 18 * 60, 12),
            Self::Contractor => (9 * 60 + 30, 16 * 60, 7),
        }
    }

    /// What the work asks for.
    pub(crate) fn wants(self) -> &'static [Want] {
        match self {
            Self::It => IT,
            Self::Accountant => ACCOUNTANT,
            Self::Controller => CONTROLLER,
            Self::People => PEOPLE,
            Self::Sales => SALES,
            Self::Trader => TRADER,
            Self::Logistics => LOGISTICS,
            Self::Board => BOARD,
            Self::Contractor => CONTRACTOR,
        }
    }
}

/// One thing that work asks for: how often in comparison, which application, method and path. `{c}` stands for a customer,
/// `{p}` for a page of the wiki, `{n}` for a number.
pub(crate) struct Want {
    /// How often, in comparison.
    pub(crate) weight: u64,
    /// Which application.
    pub(crate) app: &'static str,
    /// The method.
    pub(crate) method: &'static str,
    /// The path.
    pub(crate) path: &'static str,
}

const fn get(weight: u64, app: &'static str, path: &'static str) -> Want {
    Want { weight, app, method: "GET", path }
}

const fn post(weight: u64, app: &'static str, path: &'static str) -> Want {
    Want { weight, app, method: "POST", path }
}

const IT: &[Want] = &[
    get(30, "tickets", "/"),
    get(25, "tickets", "/it-{n}"),
    post(16, "tickets", "/it-{n}"),
    get(14, "wiki", "/pages/{p}"),
    post(5, "wiki", "/pages/{p}"),
    get(6, "wiki", "/"),
    get(4, "warehouse", "/health"),
];

const ACCOUNTANT: &[Want] = &[
    get(16, "reports", "/"),
    get(40, "reports", "/margin/{n}"),
    get(14, "reports", "/receivables/{n}"),
    post(4, "reports", "/comments"),
    get(8, "crm", "/customers/{c}"),
    get(8, "wiki", "/pages/{p}"),
    get(4, "wiki", "/"),
    get(3, "desk", "/limits"),
    post(3, "tickets", "/"),
];

const CONTROLLER: &[Want] = &[
    get(22, "q3-finance", "/"),
    get(24, "q3-finance", "/ledger"),
    post(9, "q3-finance", "/ledger"),
    get(10, "q3-finance", "/accruals"),
    get(20, "reports", "/margin/{n}"),
    get(6, "desk", "/limits"),
    get(7, "wiki", "/pages/{p}"),
    post(2, "tickets", "/"),
];

const PEOPLE: &[Want] = &[
    get(34, "payroll", "/runs/{n}"),
    post(10, "payroll", "/runs/{n}"),
    get(24, "wiki", "/pages/{p}"),
    post(9, "wiki", "/pages/{p}"),
    get(8, "wiki", "/"),
    get(9, "reports", "/"),
    post(6, "tickets", "/"),
];

const SALES: &[Want] = &[
    get(12, "crm", "/"),
    get(40, "crm", "/customers/{c}"),
    post(22, "crm", "/search"),
    post(9, "crm", "/customers/{c}"),
    get(7, "wiki", "/pages/{p}"),
    get(3, "wiki", "/"),
    get(5, "reports", "/pipeline"),
    post(2, "tickets", "/"),
];

const TRADER: &[Want] = &[
    get(46, "desk", "/"),
    post(22, "desk", "/"),
    get(16, "desk", "/limits"),
    get(8, "wiki", "/pages/{p}"),
    get(4, "reports", "/pipeline"),
    post(4, "tickets", "/"),
];

const LOGISTICS: &[Want] = &[
    get(24, "warehouse", "/"),
    get(36, "warehouse", "/pallets/{n}"),
    post(28, "warehouse", "/pallets/{n}"),
    get(6, "warehouse", "/shipments/{n}"),
    get(3, "wiki", "/pages/{p}"),
    post(3, "tickets", "/"),
];

const BOARD: &[Want] = &[
    get(30, "reports", "/"),
    get(24, "reports", "/margin/{n}"),
    get(24, "crm", "/"),
    get(12, "crm", "/customers/{c}"),
    get(10, "wiki", "/"),
];

const CONTRACTOR: &[Want] = &[get(70, "wiki", "/projects/{p}"), get(30, "wiki", "/projects/erp")];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_25_devices_with_names_of_their_own() {
        let ids: BTreeSet<&str> = DEVICES.iter().map(|d| d.id).collect();
        assert_eq!(ids.len(), 25);
        for shared in DEVICES.iter().filter(|d| d.owner.is_none()) {
            assert!(["lt-it-pool", "ws-desk-1", "ws-desk-2", "tm-hall-1", "tm-hall-2"].contains(&shared.id));
        }
        assert_eq!(device_of("vera").map(|d| d.id), Some("ws-desk-1"));
        assert!(device_of("gus").is_none() && device_of("emil").is_none());
    }
}
