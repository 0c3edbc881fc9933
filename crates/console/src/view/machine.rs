//! A machine or a program that asks to sign in as the visitor.

use std::net::IpAddr;

use safeconduct_model::Timestamp;

/// By which way it asks.
#[derive(Clone, PartialEq, Eq)]
pub enum MachineAsked {
    /// By a code that the visitor typed.
    Code(String),
    /// Through this browser, with these parameters.
    Browser(Vec<(String, String)>),
}

/// What is known of it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it calls itself. Anybody may call themselves anything.
    pub name: String,
    /// The address it asks from; nothing if it is this very machine.
    pub ip: Option<IpAddr>,
    /// Whether that is the address of the visitor.
    pub here: bool,
    /// When it asked.
    pub since: Timestamp,
    /// Until when it would be signed in at the latest.
    pub until: Timestamp,
}
