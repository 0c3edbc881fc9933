//! What is left of connections that were cut: the record of the verdict, their other side, their memory, the record of their end.
//! Thousands may be cut at once, and all of them are told ([`Telling`]) before the first one is cleared up.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::Poll;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::live::lock;
use crate::telling::Telling;

/// What is to be cleared up, in the order in which it was cut. There is never more of it than there were connections.
#[derive(Default)]
pub(crate) struct Aftermath {
    left: Mutex<VecDeque<Left>>,
    bell: Notify,
}

/// One connection: what closes it, and the promise that the gateway does not stop before.
struct Left {
    work: BoxFuture<'static, ()>,
    token: TaskTrackerToken,
}

impl Aftermath {
    /// Takes in what closes a connection. It should not wait for long; `tasks` counts it until it is done.
    pub(crate) fn leave(&self, tasks: &TaskTracker, work: impl Future<Output = ()> + Send + 'static) {
        lock(&self.left).push_back(Left { work: Box::pin(work), token: tasks.token() });
        self.bell.notify_one();
    }

    /// Clears up for ever, one connection at a time: who is not told yet, and whatever else there is to do, goes first.
    pub(crate) async fn clear(&self, telling: &Telling) {
        loop {
            telling.over().await;
            let Some(mut left) = self.next() else {
                self.bell.notified().await;
                continue;
            };
            let done = std::future::poll_fn(|cx| Poll::Ready(left.work.as_mut().poll(cx).is_ready())).await;
            if !done {
                // It waits for its client, and holds up no other.
                tokio::spawn(async move {
                    left.work.await;
                    drop(left.token);
                });
            }
            tokio::task::yield_now().await;
        }
    }

    fn next(&self) -> Option<Left> {
        lock(&self.left).pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn all_of_it_is_cleared_up_behind_what_else_there_is_to_do_and_nobody_stops_before() {
        const MANY: usize = 50;
        let (aftermath, tasks) = (Arc::new(Aftermath::default()), TaskTracker::new());
        let cleared = Arc::new(AtomicUsize::new(0));
        let clearing = Arc::clone(&aftermath);
        tokio::spawn(async move { clearing.clear(&Telling::default()).await });
        tokio::task::yield_now().await;
        for n in 0..MANY {
            let cleared = Arc::clone(&cleared);
            aftermath.leave(&tasks, async move {
                if n == 0 {
                    // Somebody who does not read.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                cleared.fetch_add(1, Ordering::Relaxed);
            });
        }
        tokio::task::yield_now().await;
        assert!(cleared.load(Ordering::Relaxed) < 3, "one at a time");
        tasks.close();
        tokio::time::timeout(Duration::from_secs(60), tasks.wait()).await.expect("it ends");
        assert_eq!(cleared.load(Ordering::Relaxed), MANY);
    }

    /// Clears up behind those who are told; how much was cleared up, and where more is left.
    fn clearing(longest: Duration) -> (Arc<Telling>, Arc<AtomicUsize>, impl Fn()) {
        let telling = Arc::new(Telling::with(longest));
        let (aftermath, cleared) = (Arc::new(Aftermath::default()), Arc::<AtomicUsize>::default());
        let (clearing, told) = (Arc::clone(&aftermath), Arc::clone(&telling));
        tokio::spawn(async move { clearing.clear(&told).await });
        let (tasks, count) = (TaskTracker::new(), Arc::clone(&cleared));
        let leave = move || {
            let count = Arc::clone(&count);
            aftermath.leave(&tasks, async move { _ = count.fetch_add(1, Ordering::Relaxed) });
        };
        (telling, cleared, leave)
    }

    async fn is(cleared: &AtomicUsize, wanted: usize) {
        for _ in 0..2_000 {
            if cleared.load(Ordering::Relaxed) == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} instead of {wanted}", cleared.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn nothing_is_cleared_up_before_all_are_told() {
        let (telling, cleared, leave) = clearing(Duration::from_secs(600));
        telling.begin(2);
        leave();
        telling.told(1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(cleared.load(Ordering::Relaxed), 0, "one is not told yet");
        telling.told(1);
        is(&cleared, 1).await;
        telling.begin(1);
        leave();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(cleared.load(Ordering::Relaxed), 1, "the next ones are waited for too");
    }

    #[tokio::test]
    async fn who_does_not_read_holds_nothing_up_for_long_and_never_twice() {
        let (telling, cleared, leave) = clearing(Duration::from_millis(1));
        telling.begin(1);
        leave();
        is(&cleared, 1).await;
        telling.begin(1);
        leave();
        is(&cleared, 2).await;
    }
}
