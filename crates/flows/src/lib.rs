//! The map of who uses what, built from the ledger.
//!
//! Entries of the ledger become edges (who, which application, which kind of use), and edges know what held for their uses:
//! hours, devices, proofs, networks, purposes, paths. Edges of people fold into edges of groups.
//!
//! What it does not do: it decides nothing, proposes nothing, stores nothing and knows no clock. Memory is bounded by
//! [`MAX_EDGES`] and the bounds of [`Stats`]; what found no room is counted and [`Map::gaps`] says so. Adding entries in any
//! order, or merging the maps of parts, gives the same map.
//!
//! ```
//! use safeconduct_flows::{Map, rows, table};
//! use safeconduct_model::Entry;
//!
//! let line = r#"{"seq":0,"at":1790776920000,"kind":"access","decided":1790776920000,"verdict":"permit",
//!     "until":1790780520000,"mode":"enforce","revision":1,
//!     "ask":{"request":"r1","who":{"principal":{"person":"ada"}},
//!            "what":{"app":"wiki","action":"read","method":"GET","path":"/"},"place":{"ip":"10.0.0.7"}}}"#;
//! let entry: Entry = serde_json::from_str(line)?;
//! let mut map = Map::default();
//! map.add(&entry);
//! let text = table(&rows(&map.by_person()));
//! assert!(text.lines().nth(1).is_some_and(|l| l.starts_with("ada  wiki         read    1       0       allowed   Wed 14-15")), "{text}");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod facts;
mod groups;
mod map;
mod paths;
mod rows;
mod stats;
mod tally;
#[cfg(test)]
mod tests;
mod week;

pub use facts::{Facts, local};
pub use groups::{Asker, Edge, MIN_GROUP_USERS};
pub use map::{Key, MAX_EDGES, Map};
pub use paths::{MAX_TEXT, PathLine, summarise};
pub use rows::{PATH_LINES, Row, rows, table};
pub use stats::{Devices, MAX_NETWORKS, MAX_PATHS, MAX_PURPOSES, MAX_SESSIONS, OTHER_NETWORK, Proofs, Standing, Stats};
pub use tally::Tally;
pub use week::{HOURS, Week};
