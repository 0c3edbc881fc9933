//! The task that keeps the index up to date.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::Index;
use crate::Batch;

/// After a new entry, this long is waited for further ones, so that they share a transaction.
const GATHER: Duration = Duration::from_millis(50);

/// After a failure, this long is waited.
const RETRY: Duration = Duration::from_secs(1);

/// The task that indexes what is written. Dropping it ends the task at the next step; nothing is lost, because the place in the
/// ledger moves only with the rows.
#[derive(Debug)]
pub struct Follower {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Index {
    /// Starts the task: it catches up, then indexes what `entries` announces. The entries themselves are read from the ledger,
    /// so a lag does no harm.
    #[must_use]
    pub fn follow(&self, mut entries: broadcast::Receiver<Arc<Batch>>) -> Follower {
        let (stop, mut stopped) = watch::channel(false);
        let index = self.clone();
        let task = tokio::spawn(async move {
            loop {
                let mut wait = GATHER;
                if let Err(e) = index.catch_up().await {
                    tracing::warn!(
                        "the index does not follow the ledger, questions are answered from older entries: {e}"
                    );
                    wait = RETRY;
                }
                let news = async {
                    tokio::time::sleep(wait).await;
                    if wait == RETRY {
                        return true;
                    }
                    loop {
                        match entries.recv().await {
                            Ok(batch) if batch.next_seq() <= index.indexed() => {}
                            Ok(_) | Err(RecvError::Lagged(_)) => return true,
                            Err(RecvError::Closed) => return false,
                        }
                    }
                };
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => break,
                    more = news => if !more { break },
                }
            }
            if let Err(e) = index.catch_up().await {
                tracing::warn!("the index could not be brought to the end of the ledger: {e}");
            }
        });
        Follower { stop, task }
    }
}

impl Follower {
    /// Ends the task after a last look at the ledger.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if self.task.await.is_err() {
            tracing::warn!("the task that indexes the ledger ended early");
        }
    }
}
