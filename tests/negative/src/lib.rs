//! Requests that must not get through, sent to the real program with real web servers behind it.
//!
//! What: [`House`] is `safeconduct up` with a session of each person, in front of nginx, Apache, Node, Python, hyper and a
//! recorder that writes down every byte. [`Visit`] speaks raw bytes over TLS, [`h2`] speaks raw HTTP/2 frames, [`Ledger`] reads
//! what policy saw. The tests are in `tests/matrix`, each named by the row of the list of negative tests that it holds (`nt_46_…`).
//! What not: this crate builds on nothing of ours but the machinery of the browser tests, so it cannot share a mistake with the
//! gateway.
//!
//! The property above all rows: the path, host and fields that policy saw are those that the application received, byte for
//! byte; what is refused reaches no application, leaves a record with a stable reason, and ends its connection.
//!
//! `cargo xtask conformance negative` runs every test of the workspace that carries the id of a row.
//!
//! ```
//! use safeconduct_negative::Dice;
//!
//! let mut dice = Dice::new(7);
//! let drawn: Vec<u64> = (0..3).map(|_| dice.below(6)).collect();
//! assert!(drawn.iter().all(|n| *n < 6));
//! assert_eq!(drawn, { let mut again = Dice::new(7); (0..3).map(|_| again.below(6)).collect::<Vec<_>>() });
//! ```

mod browser;
mod client;
mod company;
mod dice;
pub mod h2;
mod house;
mod hyper_stack;
mod ledger;
mod parse;
pub mod runner;
mod scripted;
mod stacks;
mod tap;
mod versions;

pub use browser::{Browser, Page};
pub use client::{Door, Heard, Visit};
pub use company::{DOMAIN, PEOPLE, STACKS};
pub use dice::{Dice, rounds};
pub use house::{House, hold_nowhere, host};
pub use ledger::Ledger;
pub use parse::{Request, requests, unescape};
pub use scripted::{Scripted, Step};
pub use stacks::{Seen, Stack};
pub use tap::Tap;
