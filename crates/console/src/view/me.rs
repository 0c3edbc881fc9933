//! The pages of end users, and sign-in.

use std::net::IpAddr;

use safeconduct_model::{AppId, Check, Failing, Method, Reason, Remedy, SessionId, Timestamp};

use super::{Hidden, Link};

/// What a form led to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Go on there.
    Redirect {
        /// A path of the portal, or the full address of an application.
        to: String,
        /// Values of `Set-Cookie`.
        cookies: Vec<String>,
    },
    /// It did not work: the same page again.
    Again {
        /// What to tell the visitor.
        error: String,
    },
}

/// My access.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// The applications that the visitor may know of.
    pub tiles: Vec<Tile>,
    /// The visitor's live sessions.
    pub sessions: Vec<MySession>,
    /// The visitor's devices.
    pub devices: Vec<MyDevice>,
}

/// An application.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// One sentence about it.
    pub note: String,
    /// Where it opens.
    pub address: String,
    /// Whether it opens now.
    pub opens: Opens,
}

/// Whether an application opens now.
#[derive(Clone, Debug)]
pub enum Opens {
    /// It does, perhaps until an instant.
    Yes {
        /// What the visitor may do: "read", "read and write".
        may: String,
        /// Until when at the latest.
        until: Option<Timestamp>,
    },
    /// It does not.
    No {
        /// Why.
        reason: Reason,
        /// The conditions that do not hold.
        failing: Vec<Failing>,
        /// What helps, cheapest first.
        remedies: Vec<Remedy>,
    },
}

/// A live session of the visitor.
#[derive(Clone, Debug)]
pub struct MySession {
    /// Its public name.
    pub id: SessionId,
    /// Whether it is the one that shows this page.
    pub this: bool,
    /// The machine whose command line it is; nothing for a browser.
    pub machine: Option<String>,
    /// The device bound to it.
    pub device: Option<String>,
    /// How it was proven.
    pub methods: Vec<Method>,
    /// When it began.
    pub since: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// The address of the client.
    pub ip: IpAddr,
    /// How many live connections rest on it.
    pub connections: u64,
}

/// A device of the visitor.
#[derive(Clone, Debug)]
pub struct MyDevice {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is the one bound to this session.
    pub this: bool,
    /// Whether the organisation manages it.
    pub managed: bool,
    /// Whether every required check passes in a report that counts.
    pub compliant: bool,
    /// The last report.
    pub reported: Option<Timestamp>,
    /// The required checks that do not pass.
    pub failing: Vec<Check>,
}

/// How the visitor signs in.
#[derive(Clone, Debug)]
pub struct Security {
    /// Passkeys.
    pub passkeys: Vec<Passkey>,
    /// When the password was set; `None` if there is none.
    pub password: Option<Timestamp>,
    /// One-time codes.
    pub totp: Totp,
}

/// A passkey.
#[derive(Clone, Debug)]
pub struct Passkey {
    /// Its id, for the form that removes it.
    pub id: String,
    /// The name that the visitor gave it.
    pub name: String,
    /// When it was added.
    pub added: Timestamp,
    /// When it was last used.
    pub used: Option<Timestamp>,
}

/// The state of one-time codes.
#[derive(Clone)]
pub enum Totp {
    /// There are none.
    Off,
    /// A secret waits for its first code.
    Pending {
        /// The secret in base32.
        secret: String,
        /// The `otpauth://` link.
        link: String,
    },
    /// They count.
    On {
        /// Since when.
        since: Timestamp,
    },
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Pending { .. } => f.write_str("Pending { [redacted] }"),
            Self::On { since } => f.debug_struct("On").field("since", since).finish(),
        }
    }
}

/// The devices of the visitor.
#[derive(Clone, Debug, Default)]
pub struct MyDevices {
    /// The devices.
    pub devices: Vec<MyDevice>,
}

/// The ways to sign in.
#[derive(Clone, Debug, Default)]
pub struct SignIn {
    /// OpenID providers.
    pub providers: Vec<Provider>,
    /// Whether local accounts exist.
    pub local: bool,
}

/// An OpenID provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its id in the path.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// The form of a sign-in by password.
#[derive(Clone, Debug, Default)]
pub struct PasswordForm {
    /// Who says to be signing in.
    pub person: String,
    /// The password.
    pub password: Hidden,
    /// The one-time code, empty if none was given.
    pub totp: Hidden,
    /// Where to go on.
    pub return_to: String,
}

/// What a stronger or fresher proof asks for.
#[derive(Clone, Debug, Default)]
pub struct StepUp {
    /// Whether the visitor has a passkey.
    pub passkey: bool,
    /// OpenID providers that can prove it again.
    pub providers: Vec<Provider>,
}

/// The purposes that an application accepts.
#[derive(Clone, Debug)]
pub struct Why {
    /// Which application.
    pub app: AppId,
    /// Its name.
    pub name: String,
    /// The purposes to choose from: name and words.
    pub purposes: Vec<(String, String)>,
    /// Whether a ticket is needed.
    pub ticket: bool,
}

/// The form that states a purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurposeForm {
    /// For which application, as it came.
    pub app: String,
    /// The purpose.
    pub purpose: String,
    /// The ticket, empty if none was given.
    pub ticket: String,
    /// Where to go on.
    pub return_to: String,
}

/// A one-time link that is still good.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Until when.
    pub until: Timestamp,
    /// The person it was made for, if that is fixed.
    pub person: Option<Link>,
}

/// The form of the first administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetupForm {
    /// The id.
    pub person: String,
    /// The name.
    pub name: String,
}
