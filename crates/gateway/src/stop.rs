//! Waiting for the end beside work that is polled often.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio_util::sync::CancellationToken;

/// Until the token is cancelled. The token is asked once and calls when it is cancelled: to ask again from the same task is a
/// look at whether it did.
pub(crate) async fn cancelled(token: &CancellationToken) {
    let mut waiting = pin!(token.cancelled());
    let called = Arc::new(Called::default());
    let mut known: Option<Waker> = None;
    std::future::poll_fn(|cx| {
        if !known.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            called.task.register(cx.waker());
            if known.replace(cx.waker().clone()).is_none() {
                let waker = Waker::from(Arc::clone(&called));
                return waiting.as_mut().poll(&mut Context::from_waker(&waker));
            }
        }
        if called.yes.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Whether the token called, and whom to tell.
#[derive(Default)]
struct Called {
    yes: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.yes.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_again_and_again_or_from_another_task_is_told() {
        let token = CancellationToken::new();
        let mut waiting = Box::pin({
            let token = token.clone();
            async move { cancelled(&token).await }
        });
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err());
        }
        let elsewhere = tokio::spawn(waiting);
        tokio::task::yield_now().await;
        token.cancel();
        timeout(Duration::from_secs(60), elsewhere).await.expect("it is told").expect("no panic");
    }
}
