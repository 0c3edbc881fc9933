//! The quick end of a client's connection: whoever is cut sees it before anything is cleared up.

use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// A connection that can end without a last word.
pub(crate) trait HangUp {
    /// Ends our side at once, below TLS: what was cut must not look whole. Its memory is freed when it is dropped, which takes
    /// longer.
    fn hang_up(&mut self);
}

impl HangUp for TcpStream {
    fn hang_up(&mut self) {
        // It never waits. Who is gone already needs no end.
        let _ = Pin::new(self).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

impl<S: HangUp> HangUp for Box<S> {
    fn hang_up(&mut self) {
        S::hang_up(self);
    }
}
