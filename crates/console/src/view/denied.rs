//! A denial that explains itself, and problems. Both are shown on the hosts of applications too.

use safeconduct_model::{AppId, Failing, Reason, Remedy, Timestamp};

/// A denial.
#[derive(Clone, Debug)]
pub struct Denied {
    /// Where the style sheet is served on this host.
    pub assets: String,
    /// The address of the portal without a slash at the end.
    pub portal: String,
    /// The name of the organisation.
    pub organisation: String,
    /// The application, id and name; `None` if it must not be named.
    pub app: Option<(AppId, String)>,
    /// Who asked, by name; `None` for nobody.
    pub person: Option<String>,
    /// Why not.
    pub reason: Reason,
    /// The conditions that did not hold.
    pub failing: Vec<Failing>,
    /// What helps, cheapest first.
    pub remedies: Vec<Remedy>,
    /// What was asked for: "GET /reports/q3".
    pub wanted: String,
    /// The full address to come back to.
    pub back: String,
    /// The request, to quote.
    pub request: String,
    /// When.
    pub now: Timestamp,
}

/// Something went wrong, or is not there.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where the style sheet is served on this host.
    pub assets: String,
    /// The status: 400, 401, 403, 404, 429, 500, 502, 503, 504.
    pub status: u16,
    /// What exactly, in words; `None` says no more than the status does.
    pub detail: Option<String>,
    /// Where to go on.
    pub next: Option<super::Link>,
    /// The request, to quote.
    pub request: Option<String>,
    /// When.
    pub now: Timestamp,
}
