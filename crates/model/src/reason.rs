//! Why something was denied and what would help: stable codes for machines, words for people.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $words:literal;)*) => {
        /// A stable reason code. Codes are never renamed; new ones may come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// One sentence for the person who was denied.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

reasons! {
    /// Nobody is signed in.
    SignInRequired = "sign_in_required", "You are not signed in.";
    /// The proof is too weak or too old.
    StepUpRequired = "step_up_required", "This needs a stronger or more recent sign-in.";
    /// A purpose must be stated.
    PurposeRequired = "purpose_required", "This needs a stated purpose.";
    /// The purpose does not fit.
    PurposeNotAccepted = "purpose_not_accepted", "The stated purpose does not open this.";
    /// A ticket must be named.
    TicketRequired = "ticket_required", "This needs a ticket number.";
    /// No device proved itself.
    DeviceUnknown = "device_unknown", "The device is not known.";
    /// The device is known but not managed.
    DeviceNotManaged = "device_not_managed", "The device is not managed by the organisation.";
    /// A check of the device failed, or its report is old.
    DeviceNotCompliant = "device_not_compliant", "The device does not meet the requirements.";
    /// Outside the time window.
    OutsideHours = "outside_hours", "This is not open at this time.";
    /// The date is before the start or after the end.
    OutsidePeriod = "outside_period", "This is not open on this date.";
    /// The network is not allowed.
    NetworkNotAllowed = "network_not_allowed", "This is not open from this network.";
    /// The country is not allowed.
    CountryNotAllowed = "country_not_allowed", "This is not open from this country.";
    /// The person may do something else here, not this.
    ActionNotAllowed = "action_not_allowed", "You may use this application, but not in this way.";
    /// The person may use other parts of the application.
    PathNotAllowed = "path_not_allowed", "You may use this application, but not this part of it.";
    /// Needs a grant that is live.
    GrantRequired = "grant_required", "This needs a dated grant.";
    /// No rule lets this principal in.
    NoRule = "no_rule", "No rule opens this for you.";
    /// A forbid rule spoke.
    Forbidden = "forbidden", "A rule forbids this.";
    /// A lock is in force.
    Locked = "locked", "This is locked.";
    /// A rule failed while it was evaluated.
    EvaluationError = "evaluation_error", "The policy could not be evaluated, so the answer is no.";
    /// No such application.
    UnknownApplication = "unknown_application", "There is nothing here.";
    /// The request is malformed or ambiguous.
    BadRequest = "bad_request", "The request is malformed.";
    /// A bound was reached.
    LimitReached = "limit_reached", "A limit was reached.";
    /// The verdict could not be recorded.
    RecordUnavailable = "record_unavailable", "The access could not be recorded, so it is not given.";
    /// The clock cannot be trusted.
    ClockUnreliable = "clock_unreliable", "The clock of the server is not reliable, so the answer is no.";
    /// Something broke on our side.
    InternalError = "internal_error", "Something failed on our side, so the answer is no.";
    /// The upstream did not answer.
    UpstreamUnavailable = "upstream_unavailable", "The application does not answer.";
    /// The upstream speaks HTTP/2 and offers no WebSockets over it.
    UpstreamNoWebsocket = "upstream_no_websocket", "The application takes no WebSocket over HTTP/2.";
    /// No connector of the application's site is there.
    ConnectorUnavailable = "connector_unavailable", "The place where the application runs is not connected.";
    /// The upstream took too long.
    UpstreamTimeout = "upstream_timeout", "The application took too long to answer.";
}

impl Reason {
    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What the asker can do about a denial, cheapest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Remedy {
    /// Sign in.
    SignIn,
    /// Sign in again, or with a stronger method.
    StepUp {
        /// A passkey is needed.
        phishing_resistant: bool,
    },
    /// State what the access is for.
    StatePurpose {
        /// The purposes that would open it.
        #[serde(default)]
        accepted: Vec<String>,
    },
    /// Repair the device.
    FixDevice {
        /// What fails, in words.
        steps: Vec<String>,
    },
    /// Use a managed, compliant device.
    OtherDevice,
    /// Wait.
    WaitUntil {
        /// When it opens.
        at: crate::Timestamp,
    },
    /// Use another network.
    OtherNetwork,
    /// Ask the owner of the application.
    AskOwner {
        /// Whom to ask; `None` if the application has no owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// Ask who runs Safeconduct: only they can lift what stands in the way.
    AskOperators,
    /// Nothing that the asker can do.
    Nothing,
}

/// One condition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The condition in the words of the policy language.
    pub condition: String,
    /// The condition in words.
    pub words: String,
    /// What was found instead, in words.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_stable_and_the_same_everywhere() {
        for r in Reason::ALL {
            assert_eq!(Reason::from_code(r.code()), Some(*r));
            assert_eq!(serde_json::to_string(r).ok(), Some(format!("\"{}\"", r.code())));
            assert!(r.words().ends_with('.'));
        }
    }

    #[test]
    fn remedies_are_ordered_by_what_they_cost() {
        assert!(Remedy::StepUp { phishing_resistant: true } < Remedy::OtherDevice);
        assert!(Remedy::OtherDevice < Remedy::WaitUntil { at: crate::Timestamp::MAX });
        assert!(Remedy::WaitUntil { at: crate::Timestamp::MAX } < Remedy::AskOwner { owner: None });
        assert!(Remedy::AskOwner { owner: None } < Remedy::AskOperators);
        assert!(Remedy::AskOperators < Remedy::Nothing);
    }
}
