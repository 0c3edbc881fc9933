//! What the fuzz targets of this crate ask, shared with their replay in the tests. Not part of the interface.
//!
//! Each question takes bytes and says what differs, in words. The files name nothing but what they ask about, so that the
//! targets can be built without the rest of the gateway.

mod proxy;
mod tunnel;

pub use proxy::proxy;
pub use tunnel::tunnel;
