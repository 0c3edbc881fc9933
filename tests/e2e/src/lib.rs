//! What a person with a browser meets: the real program, a real Chromium, nothing in between.
//!
//! What: [`Browser`] speaks WebDriver to a chromedriver of its own, [`Server`] is the real binary on a configuration of its
//! own, [`Helper`] is a small Node program beside them (an application, an OpenID provider). Everything belongs to one test
//! and is ended when it is dropped. What not: this crate builds on nothing of ours, so it cannot share a mistake with it.
//!
//! The tests are in `tests/browser`. They need Debian's `chromium`, `chromium-driver` and `libnss3-tools`, and npm's
//! `oidc-provider`; `cargo xtask test` installs them. Nothing waits for a fixed time, and nothing waits for ever:
//!
//! ```
//! use safeconduct_e2e::wait::until;
//! use std::time::Duration;
//!
//! let mut looks = 0;
//! let third = until("the third look", Duration::from_secs(5), || {
//!     looks += 1;
//!     Ok((looks == 3).then_some(looks))
//! });
//! assert_eq!(third.unwrap(), 3);
//! ```

mod browser;
mod chromium;
mod company;
mod helper;
mod http;
mod log;
mod needs;
mod process;
pub mod runner;
mod server;
pub mod wait;

pub use browser::{Browser, Look};
pub use company::{ADMIN, Company};
pub use helper::{Helper, free_port};
pub use needs::{missing, program};
pub use process::Process;
pub use server::Server;
