//! Waiting for the end beside work that is polled often.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio_util::sync::CancellationToken;

/// Until the token is cancelled. The token is asked once, and again when it called: to ask from the same task in between is a look
/// at whether it did.
pub(crate) async fn cancelled(token: &CancellationToken) {
    let mut waiting = pin!(token.cancelled());
    let called = Arc::new(Called { yes: AtomicBool::new(true), task: AtomicWaker::new() });
    let waker = Waker::from(Arc::clone(&called));
    let mut known: Option<Waker> = None;
    std::future::poll_fn(|cx| {
        let known_here = known.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known_here || called.yes.load(Ordering::Acquire) {
            called.task.register(cx.waker());
            known = Some(cx.waker().clone());
        }
        if !called.yes.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Whether it is cancelled only the token knows.
        called.yes.store(false, Ordering::Release);
        waiting.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await;
}

/// Whether the token called, or was never asked; and whom to tell.
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
