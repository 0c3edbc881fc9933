//! The directory's documents in the control state.

use std::sync::Arc;

use safeconduct_directory::{BoxFuture, Keep, KeepError};
use safeconduct_model::Timestamp;
use safeconduct_store::{Control, ControlError, DocChange};
use serde_json::Value;

/// Implements [`Keep`] over the control state. The change log dates the directory's documents by revision alone: their own
/// bodies carry the instants that matter.
pub(crate) struct StoreKeep(Arc<Control>);

impl StoreKeep {
    pub(crate) fn over(control: Arc<Control>) -> Arc<dyn Keep> {
        Arc::new(Self(control))
    }

    async fn write(&self, kind: &str, id: &str, body: Option<&Value>) -> Result<(), KeepError> {
        let change = DocChange { kind: kind.to_owned(), id: id.to_owned(), body: body.cloned() };
        self.0.append(None, &[change], Timestamp::default()).await.map(|_| ()).map_err(|e| told(&e))
    }
}

impl Keep for StoreKeep {
    fn load<'a>(&'a self, kind: &'a str) -> BoxFuture<'a, Result<Vec<(String, Value)>, KeepError>> {
        Box::pin(async move {
            let docs = self.0.load(kind).await.map_err(|e| told(&e))?;
            Ok(docs.into_iter().map(|d| (d.id, d.body)).collect())
        })
    }

    fn put<'a>(&'a self, kind: &'a str, id: &'a str, body: &'a Value) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(self.write(kind, id, Some(body)))
    }

    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(self.write(kind, id, None))
    }
}

fn told(error: &ControlError) -> KeepError {
    KeepError(error.to_string())
}
