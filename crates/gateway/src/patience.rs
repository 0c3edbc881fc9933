//! One timer per connection for all its pauses. Setting it costs a look at the clock, not a place in the timer wheel: what is
//! armed already and comes earlier stays, and is armed anew only when it comes.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection waits for what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    due: Option<Instant>,
    armed: Option<Pin<Box<Sleep>>>,
    /// Who is woken by what is armed.
    known: Option<Waker>,
}

impl Patience {
    /// Waits so long from now.
    pub(crate) fn set(&mut self, span: Duration) {
        self.set_from(Instant::now(), span);
    }

    /// Waits so long from this instant.
    pub(crate) fn set_from(&mut self, now: Instant, span: Duration) {
        self.due = Some(now + span);
    }

    /// Whether it waits for an end.
    pub(crate) fn is_set(&self) -> bool {
        self.due.is_some()
    }

    /// Waits for ever.
    pub(crate) fn clear(&mut self) {
        self.due = None;
    }

    /// Whether the time is up.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.due else { return false };
        loop {
            let armed = self.armed.get_or_insert_with(|| Box::pin(sleep_until(due)));
            let later = armed.deadline() > due;
            // What will wake this task in any case need not be told so once more.
            if !later && !armed.is_elapsed() && self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                return false;
            }
            if later {
                armed.as_mut().reset(due);
            }
            // One whose turn is over is sent away before its waker is looked at.
            let looked_at = has_budget_remaining();
            if armed.as_mut().poll(cx).is_pending() {
                self.known = looked_at.then(|| cx.waker().clone());
                return false;
            }
            self.known = None;
            if Instant::now() >= due {
                return true;
            }
            armed.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    async fn over(patience: &mut Patience) {
        std::future::poll_fn(|cx| if patience.poll(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test]
    async fn the_last_setting_counts_whether_it_is_sooner_or_later() {
        let ms = Duration::from_millis;
        let mut patience = Patience::default();
        let began = Instant::now();
        patience.set(ms(50));
        assert!(tokio::time::timeout(ms(10), over(&mut patience)).await.is_err());
        patience.set(ms(120));
        over(&mut patience).await;
        assert!(began.elapsed() >= ms(130), "later than what was armed: {:?}", began.elapsed());
        patience.set(Duration::from_secs(500));
        assert!(tokio::time::timeout(ms(10), over(&mut patience)).await.is_err());
        patience.set(ms(20));
        tokio::time::timeout(Duration::from_secs(60), over(&mut patience)).await.expect("sooner than what was armed");
        patience.clear();
        assert!(tokio::time::timeout(ms(50), over(&mut patience)).await.is_err());
    }

    #[tokio::test]
    async fn whoever_waits_last_is_woken() {
        let mut patience = Patience::default();
        patience.set(Duration::from_millis(30));
        for _ in 0..3 {
            assert!(!patience.poll(&mut Context::from_waker(Waker::noop())));
        }
        // It is another task that waits now, and nobody who was there before counts.
        let waiting = tokio::spawn(async move { over(&mut patience).await });
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it is woken").expect("no panic");
    }

    #[tokio::test]
    async fn one_whose_turn_was_over_is_woken_all_the_same() {
        let mut patience = Patience::default();
        patience.set(Duration::from_millis(30));
        assert!(!patience.poll(&mut Context::from_waker(Waker::noop())));
        let mut first = true;
        let waiting = tokio::spawn(std::future::poll_fn(move |cx| {
            // At first the turn is used up before anybody waits.
            while first && has_budget_remaining() {
                let _ = std::pin::pin!(tokio::task::coop::consume_budget()).poll(cx);
            }
            first = false;
            if patience.poll(cx) { Poll::Ready(()) } else { Poll::Pending }
        }));
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it is woken").expect("no panic");
    }
}
