//! Waiting for the end beside work that is polled often.

use std::pin::pin;
use std::task::{Poll, Waker};

use tokio_util::sync::CancellationToken;

/// Until the token is cancelled. Asking again from the same task is a look at the token: the place in its list is kept.
pub(crate) async fn cancelled(token: &CancellationToken) {
    let mut waiting = pin!(token.cancelled());
    let mut known: Option<Waker> = None;
    std::future::poll_fn(|cx| {
        if token.is_cancelled() {
            return Poll::Ready(());
        }
        if known.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        known = Some(cx.waker().clone());
        waiting.as_mut().poll(cx)
    })
    .await;
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
