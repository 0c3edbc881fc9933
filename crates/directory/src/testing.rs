//! What several tests need: a store in memory that can fail, and a small organisation.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use safeconduct_model::{PersonId, Timestamp};
use serde_json::Value;

use crate::{Accounts, BoxFuture, Keep, KeepError, People, Seal};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_790_776_920_000);
pub(crate) const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

#[derive(Default)]
pub(crate) struct MemoryKeep {
    documents: Mutex<BTreeMap<(String, String), Value>>,
    broken: AtomicBool,
}

impl MemoryKeep {
    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Everything that is kept, as text.
    pub(crate) fn dump(&self) -> String {
        format!("{:?}", self.documents.lock().expect("lock"))
    }

    pub(crate) fn change(&self, kind: &str, change: impl Fn(&mut Value)) {
        let mut documents = self.documents.lock().expect("lock");
        documents.iter_mut().filter(|((k, _), _)| k == kind).for_each(|(_, body)| change(body));
    }

    fn works(&self) -> Result<(), KeepError> {
        if self.broken.load(Ordering::SeqCst) { Err(KeepError("disk full".to_owned())) } else { Ok(()) }
    }
}

impl Keep for MemoryKeep {
    fn load<'a>(&'a self, kind: &'a str) -> BoxFuture<'a, Result<Vec<(String, Value)>, KeepError>> {
        Box::pin(async move {
            self.works()?;
            let documents = self.documents.lock().expect("lock");
            Ok(documents.iter().filter(|((k, _), _)| k == kind).map(|((_, id), v)| (id.clone(), v.clone())).collect())
        })
    }

    fn put<'a>(&'a self, kind: &'a str, id: &'a str, body: &'a Value) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(async move {
            self.works()?;
            tokio::task::yield_now().await;
            self.documents.lock().expect("lock").insert((kind.to_owned(), id.to_owned()), body.clone());
            Ok(())
        })
    }

    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(async move {
            self.works()?;
            tokio::task::yield_now().await;
            self.documents.lock().expect("lock").remove(&(kind.to_owned(), id.to_owned()));
            Ok(())
        })
    }
}

/// Ada and Bob work here; both have an address.
pub(crate) struct Staff;

impl People for Staff {
    fn knows(&self, person: &PersonId) -> bool {
        matches!(person.as_str(), "ada" | "bob")
    }

    fn by_email(&self, email: &str) -> Option<PersonId> {
        email.strip_suffix("@clinic.example").and_then(|name| name.parse().ok())
    }
}

pub(crate) fn person(id: &str) -> PersonId {
    id.parse().expect("id")
}

pub(crate) async fn accounts() -> (Arc<MemoryKeep>, Arc<Accounts>) {
    let keep = Arc::new(MemoryKeep::default());
    let accounts = reload(&keep).await;
    (keep, accounts)
}

pub(crate) async fn reload(keep: &Arc<MemoryKeep>) -> Arc<Accounts> {
    let keep: Arc<dyn Keep> = Arc::<MemoryKeep>::clone(keep);
    Arc::new(Accounts::load(keep, Seal::new(&[3; 32])).await.expect("readable"))
}
