//! Who is looking at a page, as the shells that serve pages need to know it.

use safeconduct_model::{Auth, DeviceId, PersonId};

/// The person behind a portal request, proven by the session cookie. Handed to pages as a request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Who it is.
    pub person: PersonId,
    /// The name to greet with.
    pub name: String,
    /// How and when the identity was proven.
    pub auth: Auth,
    /// The device bound to the session.
    pub device: Option<DeviceId>,
    /// The token that every state-changing form must carry.
    pub csrf: String,
    /// Whether policy lets this person into the console.
    pub operator: bool,
}
