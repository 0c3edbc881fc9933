//! A framework as data: rows, stages, criteria, and the metrics that they read.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal, $label:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that framework files use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The word for readers.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// The one with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

words! {
    /// A level of maturity.
    Stage {
        /// Needs no proof.
        Traditional = "traditional", "Traditional";
        /// The first one to be proven.
        Initial = "initial", "Initial";
        /// The second.
        Advanced = "advanced", "Advanced";
        /// The last.
        Optimal = "optimal", "Optimal";
    }
}

words! {
    /// How far evidence can decide a row.
    Class {
        /// By measurements.
        Decidable = "decidable", "decidable from evidence";
        /// By measurements and attestations.
        Mixed = "mixed", "mixed";
        /// Mainly by attestations.
        Attested = "attested", "mainly attested";
    }
}

words! {
    /// What kind of row it is.
    Kind {
        /// A function of a pillar.
        Function = "function", "function";
        /// A capability that every pillar has.
        CrossCutting = "cross_cutting", "cross-cutting";
        /// A capability of the whole enterprise.
        Enterprise = "enterprise", "enterprise";
    }
}

words! {
    /// Where figures come from.
    Source {
        /// Verdicts and sessions of the gateway.
        Gateway = "gateway", "the gateway's ledger";
        /// Policies with their history and notes.
        Policies = "policies", "the policy store";
        /// The identity provider: accounts, factors, life cycle.
        Identity = "identity", "an identity provider";
        /// Device posture.
        Devices = "devices", "device posture reports";
        /// Flows outside the gateway.
        Flows = "flows", "flow sensors";
        /// The protect surface.
        Inventory = "inventory", "the protect-surface inventory";
        /// Rights in clouds and clusters.
        Entitlements = "entitlements", "cloud and cluster entitlements";
        /// What data is where, and how it is labelled.
        Classification = "classification", "data classification";
        /// Vulnerabilities and misconfigurations.
        Vulnerabilities = "vulnerabilities", "a vulnerability feed";
        /// Certificates and keys.
        Certificates = "certificates", "the certificate authority and key store";
        /// Builds, tests, deployments.
        Pipeline = "pipeline", "the build and deployment pipeline";
        /// Where changes of infrastructure come from.
        Changes = "changes", "change provenance (infrastructure as code)";
        /// The ledger's own verification and the health of sources.
        Audit = "audit", "ledger verification and source health";
        /// Detections and responses.
        Detection = "detection", "the detection engine";
        /// Acceptance and attack tests.
        Tests = "tests", "acceptance and attack tests";
        /// Statements by named people.
        Attestation = "attestation", "an attestation";
    }
}

/// What a metric's figures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// `num` of `den` items.
    ShareOfItems,
    /// `num` of `den` events.
    ShareOfEvents,
    /// `num` things, of `den` that were looked at.
    Count,
    /// A statistic in milliseconds over `den` events; bars are in seconds.
    Duration,
    /// A statistic without unit over `den` events.
    Level,
}

impl Unit {
    /// Every unit with the word that framework files use.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("share_of_items", Self::ShareOfItems),
        ("share_of_events", Self::ShareOfEvents),
        ("count", Self::Count),
        ("duration", Self::Duration),
        ("level", Self::Level),
    ];
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its id: `K10`, or `ID-3.static-risk-rules` for one that only a single row reads.
    pub id: String,
    /// What it says.
    pub name: String,
    /// What its figures are.
    pub unit: Unit,
    /// The sources that decide it, all of them.
    pub sources: Vec<Source>,
    /// For how many hours a figure counts.
    pub fresh_hours: u64,
}

/// How much is meant by some, half, most and all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantifiers {
    /// At least this share, and at least one.
    pub some: f64,
    /// At least this share.
    pub half: f64,
    /// At least this share.
    pub most: f64,
    /// For events: at least this share.
    pub all_events: f64,
    /// For items: every one, or an approved exception for at most this share.
    pub all_exceptions: f64,
}

/// A bar to reach or to stay below.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// Some of the population.
    Some,
    /// Half of it.
    Half,
    /// Most of it.
    Most,
    /// All of it.
    All,
    /// A number.
    Number(f64),
}

impl Bar {
    /// The named ones, with the word that framework files use.
    pub const NAMES: [(&'static str, Self); 4] =
        [("SOME", Self::Some), ("HALF", Self::Half), ("MOST", Self::Most), ("ALL", Self::All)];
}

/// Which figure of a metric is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The median.
    P50,
    /// The 95th percentile.
    P95,
    /// The largest.
    Max,
}

impl Statistic {
    /// Every one with the word that framework files use.
    pub const NAMES: [(&'static str, Self); 3] = [("p50", Self::P50), ("p95", Self::P95), ("max", Self::Max)];
}

/// A condition on one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Test {
    /// The metric's id.
    pub metric: String,
    /// The part of the population that is meant.
    pub slice: Option<String>,
    /// Which figure; `None` for the share or the count.
    pub statistic: Option<Statistic>,
    /// Whether the bar is a floor; else it is a ceiling.
    pub at_least: bool,
    /// The bar.
    pub bar: Bar,
    /// A smaller population decides nothing.
    pub min_population: u64,
}

impl Test {
    /// The key of the measurement: `K10`, or `K10(privileged)`.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.slice {
            None => self.metric.clone(),
            Some(slice) => format!("{}({slice})", self.metric),
        }
    }
}

/// What a criterion asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// A figure.
    Metric(Test),
    /// A statement by a named person.
    Attest,
    /// One of several.
    AnyOf(Vec<Test>),
}

/// One criterion of a stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Criterion {
    /// Its id: `ID-1.I.2`.
    pub id: String,
    /// Which stage it belongs to.
    pub stage: Stage,
    /// In words.
    pub text: String,
    /// What it asks for.
    pub condition: Condition,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its id: `ID-1`.
    pub id: String,
    /// The pillar's id; `enterprise` for rows of the whole enterprise.
    pub pillar: String,
    /// What kind of row it is.
    pub kind: Kind,
    /// How far evidence decides it.
    pub class: Class,
    /// Its name.
    pub name: String,
    /// What each stage means, in our own words, from Traditional.
    pub stages: [String; 4],
    /// What no source can decide; empty if there is nothing.
    pub attested: String,
    /// The criteria.
    pub criteria: Vec<Criterion>,
}

/// A pillar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pillar {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A framework.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Framework {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The edition it follows.
    pub edition: String,
    /// What readers must know about it.
    pub note: String,
    /// What some, half, most and all mean.
    pub quantifiers: Quantifiers,
    /// The pillars, in order; the enterprise comes last.
    pub pillars: Vec<Pillar>,
    /// The metrics by id.
    pub metrics: BTreeMap<String, Metric>,
    /// The rows, in order.
    pub rows: Vec<Row>,
}
