//! The words of Safeconduct: ids, principals, devices, assets, asks and records.
//!
//! Every other crate speaks in these types and none of them may be built in an invalid shape: text is parsed once, at the
//! edge, into an id or an enum, and is never doubted again. Nothing here decides, stores, prints pages or knows a clock.
//!
//! The main type is [`Ask`]: one question of the form *who wants what, when, from where and why*.
//!
//! ```
//! use safeconduct_model::{Action, AppId, PersonId};
//!
//! let app: AppId = "q3-finance".parse()?;
//! assert_eq!(Action::from_method("GET"), Action::Read);
//! assert!("Ada Lovelace".parse::<PersonId>().is_err(), "ids are canonical: lower case, no blanks");
//! # Ok::<(), safeconduct_model::IdError>(())
//! ```

mod ask;
mod device;
mod estate;
mod fault;
mod id;
mod lock;
mod reason;
mod record;
mod site;
mod time;

pub use ask::{Action, Ask, Auth, GrantFacts, Method, Place, Principal, Stated, What, Who, Why};
pub use device::{Check, DeviceFacts, Report};
pub use estate::{
    Application, Asset, AssetKind, Class, Group, Hardening, Host, HostError, Mode, OptOuts, Person, RouteRule,
    TCP_SCHEME,
};
pub use fault::Fault;
pub use id::{
    AppId, AssetId, ConnectorId, DeviceId, GrantId, GroupId, IdError, LockId, PersonId, RequestId, RuleId, SessionId,
    SiteId, WorkloadId,
};
pub use lock::{Lock, LockFacts, LockMessage, LockMessageError, LockTarget, LockTargetError, MAX_MESSAGE};
pub use reason::{Failing, Reason, Remedy};
pub use record::{
    Access, Carried, Change, Cut, CutCause, Entry, Outcome, Question, Record, Refusal, Said, SessionEvent,
    SessionEventKind, SystemEvent, Would,
};
pub use site::{ConnectorName, ConnectorNameError, Site, SpecialAddress, SpecialAddressError, is_special};
pub use time::{Duration, DurationError, Timestamp};
