//! server
pub mod clock;
pub mod devices;
pub mod files;
