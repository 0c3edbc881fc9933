//! One timer per connection for all its pauses. Setting it costs a look at the clock, not a place in the timer wheel: what is
//! armed already and comes earlier stays, and is armed anew only when it comes.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection waits for what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    due: Option<Instant>,
    armed: Option<Pin<Box<Sleep>>>,
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
            if armed.deadline() > due {
                armed.as_mut().reset(due);
            }
            if armed.as_mut().poll(cx).is_pending() {
                return false;
            }
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
}
