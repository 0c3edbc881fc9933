//! The root: starts the house, wires its rooms, drains and reloads it. The only crate that knows all others.
//!
//! [`start`] reads a configuration folder, checks it whole, and serves: the gateway on its listener, the portal and the
//! console behind it, administration on a local socket, health on a listener of its own.
//!
//! | file | idea |
//! |---|---|
//! | `files` | the configuration folder: read, checked, replaced |
//! | `house` | everything that lives while the server runs |
//! | `identify` | from credentials to the facts that policy reads |
//! | `sign_in` | from a proof to a session, and to its end |
//! | `portal` | which room answers a request to the portal host |
//! | `rooms` | what the pages show, and the digest of the ledger that they rest on |
//! | `proposals`, `publish` | changes to policy: written, rehearsed, bound |
//! | `decision_point` | other programs and gateways ask: who may, who answers, the record |
//! | `rollouts` | canaries watched, and rolled back |
//! | `acme`, `certificates` | the certificates of the listener: public ones, from files, from the local authority |
//! | `probes`, `traces`, `limits` | health, readiness, metrics; spans to a collector; bounds as the gateway takes them |
//! | `upgrade` | a new process takes over without a lost connection |
//! | `signed` | policies that bind only if a trusted key signed them |
//! | `connectors` | who may link from a site, and what may be dialled there |
//! | `enrol` | making keys and certificates for devices |
//! | `run` | start, run, drain |

mod acme;
mod certificates;
pub mod clock;
mod connectors;
mod control;
mod decision_point;
mod devices;
pub mod enrol;
pub mod evidence;
pub mod files;
mod handover;
mod house;
mod identify;
mod keep;
mod limits;
mod locks;
mod oidc;
mod plane;
mod portal;
mod probes;
mod programs;
pub mod proposals;
mod publish;
mod revision;
mod rollouts;
mod rooms;
mod run;
mod secrets;
mod sign_in;
pub mod signed;
mod traces;
mod upgrade;
mod upstream;

pub use house::{Current, House};
pub use plane::stand_back;
pub use run::{Running, SOCKET, Start, StartError, start, take_over};
