//! Pages: pure functions from a frame and a view to HTML.

pub mod apps;
pub mod assess;
pub mod connectors;
mod denied;
pub mod devices;
pub mod done;
pub mod health;
pub mod locks;
pub mod machine;
pub mod map;
pub mod me;
pub mod overview;
pub mod people;
pub mod policy;
pub mod proposal;
pub mod protect;
mod remedy;
pub mod sign_in;
pub mod verdict;
pub mod watch;

pub use denied::{denied, problem};
