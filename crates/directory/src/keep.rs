//! Where accounts are kept. The server implements it over the store.

use std::pin::Pin;

use serde_json::Value;

/// A future behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Nothing was kept or read.
#[derive(Debug, thiserror::Error)]
#[error("the store did not answer: {0}")]
pub struct KeepError(pub String);

/// Durable documents by kind and id. When a future resolves, the change is durable.
pub trait Keep: Send + Sync + 'static {
    /// Every document of a kind, with its id.
    fn load<'a>(&'a self, kind: &'a str) -> BoxFuture<'a, Result<Vec<(String, Value)>, KeepError>>;
    /// Writes a document, in place of an older one with the same id.
    fn put<'a>(&'a self, kind: &'a str, id: &'a str, body: &'a Value) -> BoxFuture<'a, Result<(), KeepError>>;
    /// Removes a document, if it is there.
    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<(), KeepError>>;
}
