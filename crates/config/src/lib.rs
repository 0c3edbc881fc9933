//! Configuration: text in, a checked [`Config`] out, or the full list of faults, each with file, line and remedy.
//!
//! It opens no file; the server hands in the texts. Unknown keys are faults. Names that point nowhere (a group, an owner, an
//! asset) are faults too, so a configuration that passes holds together.
//!
//! ```
//! use safeconduct_config::{Config, Texts, starter};
//!
//! let texts = Texts::from_files(starter("acme.localhost"));
//! let config = Config::check(&texts).expect("what `safeconduct init` writes works as it is");
//! assert_eq!(config.settings.portal.as_str(), "portal.acme.localhost");
//!
//! let mut broken = texts;
//! broken.main.text.push_str("\n[portall]\nhost = \"x\"\n");
//! let faults = Config::check(&broken).expect_err("unknown keys are faults");
//! assert!(faults[0].to_string().contains("did you mean `portal`?"));
//! ```

mod acme;
mod check;
mod connector;
mod decision_point;
mod estate;
mod limits;
mod listen;
mod reader;
mod settings;
mod sites;
mod starter;
mod traces;

pub use acme::Acme;
pub use check::{Config, Texts};
pub use connector::{ConnectorFile, GatewayAddress, GatewayAddressError};
pub use decision_point::{BUILT_IN, DecisionClient, DecisionPoint, DecisionStore, Surface, TokenDigest};
pub use estate::{CONSOLE, Estate};
pub use limits::{Counts, Limit, Limits, page as limits_page};
pub use listen::{Listen, MAX_THREADS};
pub use reader::Text;
pub use settings::{Link, Network, OidcProvider, Settings, TlsFiles};
pub use starter::starter;
pub use traces::Traces;
