//! Drawings: SVG made on the server, the same data always giving the same picture.

pub(crate) mod interval;
pub(crate) mod map;
pub(crate) mod matrix;
pub(crate) mod order;
pub(crate) mod spark;
