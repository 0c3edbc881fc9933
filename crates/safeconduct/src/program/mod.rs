//! This machine as a program of a person: its key, its tokens, and its way to the portal and to applications.

mod home;
mod keyring;
mod link;
mod net;
mod portal;
mod told;
mod websocket;

pub(crate) use home::Home;
pub(crate) use keyring::{Issued, Keyring, Session};
pub(crate) use link::{Ended, Link, Local};
pub(crate) use net::Net;
pub(crate) use portal::{OAuth, Portal, form, random_text};
pub(crate) use told::Told;
