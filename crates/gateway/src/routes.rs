//! From a host to its application. Worked out once per snapshot.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use safeconduct_model::{Application, Host};
use safeconduct_policy::Snapshot;

/// The routing of the snapshot that was asked for last.
#[derive(Default)]
pub(crate) struct Routes(ArcSwapOption<Table>);

struct Table {
    snapshot: Arc<Snapshot>,
    /// In the order of the hosts.
    by_host: Vec<(Host, Arc<Application>)>,
}

impl Routes {
    /// The application that is published under `host`.
    pub(crate) fn find(&self, snapshot: &Arc<Snapshot>, host: &Host) -> Option<Arc<Application>> {
        let table = self.0.load();
        match table.as_ref().filter(|t| Arc::ptr_eq(&t.snapshot, snapshot)) {
            Some(table) => table.find(host),
            None => {
                let table = Arc::new(Table::of(snapshot));
                let found = table.find(host);
                self.0.store(Some(table));
                found
            }
        }
    }
}

impl Table {
    fn of(snapshot: &Arc<Snapshot>) -> Self {
        let apps = snapshot.sources().applications.iter().filter_map(|a| snapshot.application(&a.id));
        let mut by_host: Vec<_> = apps.flat_map(|a| a.hosts.iter().map(|h| (h.clone(), Arc::clone(a)))).collect();
        by_host.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { snapshot: Arc::clone(snapshot), by_host }
    }

    fn find(&self, host: &Host) -> Option<Arc<Application>> {
        let at = self.by_host.binary_search_by(|(h, _)| h.cmp(host)).ok()?;
        self.by_host.get(at).map(|(_, app)| Arc::clone(app))
    }
}
