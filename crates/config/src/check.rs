//! All texts together, checked whole.

use safeconduct_model::Fault;

use crate::estate::{self, Estate};
use crate::reader::{Faults, Text};
use crate::settings::{self, Settings};

/// The texts of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// `safeconduct.toml`.
    pub main: Text,
    /// `estate/*.toml`.
    pub estate: Vec<Text>,
    /// `policies/*.cedar`.
    pub policies: Vec<Text>,
    /// `policies/tests/*.toml`.
    pub tests: Vec<Text>,
    /// `invariants/*.cedar`: what the policies must never permit.
    pub invariants: Vec<Text>,
    /// `stores/NAME/*`: policies, schemas and entities of decision stores.
    pub stores: Vec<Text>,
    /// `clients/*.sha256`: digests of the tokens of clients.
    pub clients: Vec<Text>,
}

impl Default for Text {
    fn default() -> Self {
        Self { file: "safeconduct.toml".to_owned(), text: String::new() }
    }
}

impl Texts {
    /// Sorts files into their places by name; files that belong nowhere are left out.
    #[must_use]
    pub fn from_files(files: impl IntoIterator<Item = Text>) -> Self {
        let mut texts = Self::default();
        for text in files {
            let is = |suffix: &str| std::path::Path::new(&text.file).extension().is_some_and(|e| e == suffix);
            match text.file.as_str() {
                "safeconduct.toml" => texts.main = text,
                f if f.starts_with("estate/") && is("toml") => texts.estate.push(text),
                f if f.starts_with("policies/tests/") && is("toml") => texts.tests.push(text),
                f if f.starts_with("invariants/") && is("cedar") => texts.invariants.push(text),
                f if f.starts_with("policies/") && is("cedar") => texts.policies.push(text),
                f if f.starts_with("stores/") => texts.stores.push(text),
                f if f.starts_with("clients/") && is("sha256") => texts.clients.push(text),
                _ => {}
            }
        }
        texts
    }
}

/// A configuration that holds together. Policies are checked by `policy`, with the estate at hand.
#[derive(Clone, Debug)]
pub struct Config {
    /// `safeconduct.toml`.
    pub settings: Settings,
    /// `estate/*.toml`.
    pub estate: Estate,
}

impl Settings {
    /// Checks the main file alone and tells every fault in it, in the order of lines.
    pub fn check(texts: &Texts) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        match settings::read(&texts.main, &texts.clients, &mut faults) {
            Some(settings) if faults.0.is_empty() => Ok(settings),
            _ => {
                faults.0.sort();
                Err(faults.0)
            }
        }
    }
}

impl Config {
    /// Checks everything and tells every fault, in the order of files and lines.
    pub fn check(texts: &Texts) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let settings = settings::read(&texts.main, &texts.clients, &mut faults);
        let portal = settings.as_ref().map(|s| &s.portal);
        let estate = estate::read(&texts.estate, portal, &mut faults);
        match settings {
            Some(settings) if faults.0.is_empty() => Ok(Self { settings, estate }),
            _ => {
                faults.0.sort();
                Err(faults.0)
            }
        }
    }
}
