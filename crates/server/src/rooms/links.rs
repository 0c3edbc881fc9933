//! From ids to names that lead somewhere, and other small words that several rooms use.

use safeconduct_console::view::{Answered, Link, Share};
use safeconduct_model::{AppId, AssetId, DeviceId, GroupId, Mode, PersonId, Principal, Remedy, SessionId};

use crate::house::House;

/// Who knows the names. What has no name any more is shown by its id, without a page that would not be there.
pub(crate) trait Naming {
    /// The name of a person of the estate.
    fn person_name(&self, id: &PersonId) -> Option<String>;
    /// The name of a group.
    fn group_name(&self, id: &GroupId) -> Option<String>;
    /// The name of an application.
    fn app_name(&self, id: &AppId) -> Option<String>;
    /// The name of an asset.
    fn asset_name(&self, id: &AssetId) -> Option<String>;
    /// The name of a device.
    fn device_name(&self, id: &DeviceId) -> Option<String>;

    /// A person with their page.
    fn person(&self, id: &PersonId) -> Link {
        self.person_name(id).map_or_else(|| Link::plain(id.as_str()), |name| Link::person(id, name))
    }
    /// A group with its page.
    fn group(&self, id: &GroupId) -> Link {
        self.group_name(id).map_or_else(|| Link::plain(id.as_str()), |name| Link::group(id, name))
    }
    /// An application with its page.
    fn app(&self, id: &AppId) -> Link {
        self.app_name(id).map_or_else(|| Link::plain(id.as_str()), |name| Link::app(id, name))
    }
    /// An asset with its place.
    fn asset(&self, id: &AssetId) -> Link {
        self.asset_name(id).map_or_else(|| Link::plain(id.as_str()), |name| Link::asset(id, name))
    }
    /// A device with its page.
    fn device(&self, id: &DeviceId) -> Link {
        self.device_name(id).map_or_else(|| Link::plain(id.as_str()), |name| Link::device(id, name))
    }
    /// Whoever asks.
    fn principal(&self, who: &Principal) -> Link {
        match who {
            Principal::Person(id) => self.person(id),
            Principal::Workload(id) => Link::plain(id.as_str()),
            Principal::Nobody => Link::plain("nobody signed in"),
        }
    }
    /// Who did something, as the ledger names them: a person, or a word such as `cli`.
    fn actor(&self, by: &str) -> Link {
        by.parse()
            .ok()
            .filter(|id| self.person_name(id).is_some())
            .map_or_else(|| Link::plain(by), |id| self.person(&id))
    }
    /// A session, in words.
    fn session(&self, id: &SessionId, of: &Principal) -> Link {
        let whose = self.principal(of);
        Link { text: format!("session {id} of {}", whose.text), href: whose.href }
    }
}

impl Naming for House {
    fn person_name(&self, id: &PersonId) -> Option<String> {
        self.current.load().config.estate.people.get(id).map(|p| p.name.clone())
    }
    fn group_name(&self, id: &GroupId) -> Option<String> {
        self.current.load().config.estate.groups.get(id).map(|g| g.name.clone())
    }
    fn app_name(&self, id: &AppId) -> Option<String> {
        self.current.load().config.estate.applications.get(id).map(|a| a.name.clone())
    }
    fn asset_name(&self, id: &AssetId) -> Option<String> {
        self.current.load().config.estate.assets.get(id).map(|a| a.name.clone())
    }
    fn device_name(&self, id: &DeviceId) -> Option<String> {
        self.devices().get(id).map(|d| d.name.clone())
    }
}

/// How a verdict was answered: by policy, and by whether it bound.
pub(crate) fn answered(permitted: bool, mode: Mode, who: &Principal) -> Answered {
    match (permitted, mode, who) {
        (true, _, _) => Answered::Allowed,
        (false, Mode::Observe, Principal::Person(_) | Principal::Workload(_)) => Answered::WouldDeny,
        (false, _, _) => Answered::Denied,
    }
}

/// Remedies with the owner by name: nobody asks an id.
pub(crate) fn named(names: &dyn Naming, remedies: Vec<Remedy>) -> Vec<Remedy> {
    let one = |remedy: Remedy| match remedy {
        Remedy::AskOwner { owner: Some(id) } => {
            let name = id.parse().ok().and_then(|p| names.person_name(&p));
            Remedy::AskOwner { owner: Some(name.unwrap_or(id)) }
        }
        other => other,
    };
    remedies.into_iter().map(one).collect()
}

/// A share in whole per cent; only all of it is a hundred.
pub(crate) fn percent(share: Share) -> String {
    match (share.of, share.all) {
        (_, 0) => "none of 0".to_owned(),
        (of, all) if of >= all => "100 %".to_owned(),
        (of, all) => format!("{} %", u128::from(of) * 100 / u128::from(all)),
    }
}

/// A number with its noun.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// How many there are, as views count.
pub(crate) fn count(n: usize) -> u64 {
    n as u64
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Knows that Ada is called Ada Lovelace, and a laptop and a ledger.
    pub(crate) struct Few;

    impl Naming for Few {
        fn person_name(&self, id: &PersonId) -> Option<String> {
            (id.as_str() == "ada").then(|| "Ada Lovelace".to_owned())
        }
        fn group_name(&self, id: &GroupId) -> Option<String> {
            (id.as_str() == "finance").then(|| "Finance".to_owned())
        }
        fn app_name(&self, id: &AppId) -> Option<String> {
            (id.as_str() == "ledger").then(|| "The Q3 ledger".to_owned())
        }
        fn asset_name(&self, _: &AssetId) -> Option<String> {
            None
        }
        fn device_name(&self, id: &DeviceId) -> Option<String> {
            (id.as_str() == "lt-07").then(|| "Ada's laptop".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Few;
    use super::*;

    #[test]
    fn a_name_leads_to_its_page_and_a_lost_one_nowhere() {
        assert_eq!(Few.person(&"ada".parse().expect("id")).href.as_deref(), Some("/console/people/ada"));
        assert_eq!(Few.person(&"eve".parse().expect("id")), Link::plain("eve"));
        assert_eq!(Few.principal(&Principal::Nobody).text, "nobody signed in");
        assert_eq!((Few.actor("cli").href, Few.actor("ada").text), (None, "Ada Lovelace".to_owned()));
    }

    #[test]
    fn observing_lets_only_the_known_through() {
        let ada = Principal::Person("ada".parse().expect("id"));
        assert_eq!(answered(false, Mode::Observe, &ada), Answered::WouldDeny);
        assert_eq!(answered(false, Mode::Observe, &Principal::Nobody), Answered::Denied);
        assert_eq!(answered(false, Mode::Enforce, &ada), Answered::Denied);
        assert_eq!(answered(true, Mode::Enforce, &ada), Answered::Allowed);
    }

    #[test]
    fn an_owner_is_asked_by_name() {
        let asked = |owner: &str| named(&Few, vec![Remedy::AskOwner { owner: Some(owner.into()) }]);
        assert_eq!(asked("ada"), [Remedy::AskOwner { owner: Some("Ada Lovelace".into()) }]);
        assert_eq!(asked("gone"), [Remedy::AskOwner { owner: Some("gone".into()) }]);
    }

    #[test]
    fn nothing_short_of_all_is_a_hundred_per_cent() {
        let said = |of, all| percent(Share::new(of, all));
        assert_eq!(said(999_999, 1_000_000), "99 %");
        assert_eq!((said(3, 3).as_str(), said(0, 3).as_str(), said(0, 0).as_str()), ("100 %", "0 %", "none of 0"));
    }
}
