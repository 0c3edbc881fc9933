//! Tasks that belong to a link: all of them end when it is cut.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Runs what the HTTP library wants to run, as long as the link is not cut.
#[derive(Clone)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    pub(crate) cut: CancellationToken,
}

impl Tasks {
    /// Runs something until it ends or the link is cut.
    pub(crate) fn spawn(&self, work: impl Future + Send + 'static) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                _ = work => {}
            }
        });
    }
}

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, work: F) {
        self.spawn(work);
    }
}
