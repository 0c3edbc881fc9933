//! The task that keeps the index up to date.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::Index;
use crate::Batch;

/// After some entries were indexed, this long is waited for further ones.
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
    /// Starts the task: it catches up, then indexes what `batches` announces. What was lost on the way is read from the
    /// ledger, so a lag does no harm.
    #[must_use]
    pub fn follow(&self, mut batches: broadcast::Receiver<Arc<Batch>>) -> Follower {
        let (stop, mut stopped) = watch::channel(false);
        let index = self.clone();
        let task = tokio::spawn(async move {
            let mut news = News { more: true, gap: true, batches: Vec::new() };
            while news.more {
                let done =
                    if news.gap { index.catch_up().await.map(|_| true) } else { index.take(&news.batches).await };
                let mut wait = GATHER;
                match done {
                    Ok(whole) => news.gap = !whole,
                    Err(e) => {
                        tracing::warn!(
                            "the index does not follow the ledger, questions are answered from older entries: {e}"
                        );
                        (news.gap, wait) = (true, RETRY);
                    }
                }
                news.batches.clear();
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => break,
                    () = news.gather(&mut batches, wait) => {}
                }
            }
            if let Err(e) = index.catch_up().await {
                tracing::warn!("the index could not be brought to the end of the ledger: {e}");
            }
        });
        Follower { stop, task }
    }
}

/// What the writer announced.
struct News {
    /// Whether anything may still come.
    more: bool,
    /// Whether something was lost, so that the ledger itself must be read.
    gap: bool,
    batches: Vec<Arc<Batch>>,
}

impl News {
    /// Waits for a batch and takes all that are there. Sleeping rather than listening, the task is not woken for each.
    async fn gather(&mut self, batches: &mut broadcast::Receiver<Arc<Batch>>, wait: Duration) {
        tokio::time::sleep(wait).await;
        if !self.gap {
            let first = batches.recv().await;
            self.take(first);
        }
        loop {
            match batches.try_recv() {
                Ok(batch) => self.take(Ok(batch)),
                Err(TryRecvError::Lagged(n)) => self.take(Err(RecvError::Lagged(n))),
                Err(TryRecvError::Closed) => {
                    self.more = false;
                    return;
                }
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn take(&mut self, news: Result<Arc<Batch>, RecvError>) {
        match news {
            // Once there is a gap, the ledger is read, and it has these too.
            Ok(_) if self.gap => {}
            Ok(batch) => self.batches.push(batch),
            Err(RecvError::Lagged(_)) => {
                self.gap = true;
                self.batches.clear();
            }
            Err(RecvError::Closed) => self.more = false,
        }
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
