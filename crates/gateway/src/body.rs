//! The one body type of the gateway, and the small bodies that it makes itself.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, SizeHint};

/// Any error of a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body in either direction.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body without a byte.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Boxes any other body.
pub fn boxed<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A body that holds something for as long as it lasts.
pub(crate) struct Holding<T> {
    body: Body,
    _held: T,
}

/// Lets a body hold `held` until it is dropped.
pub(crate) fn holding<T: Send + Unpin + 'static>(body: Body, held: T) -> Body {
    Holding { body, _held: held }.boxed_unsync()
}

impl<T: Unpin> hyper::body::Body for Holding<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many pieces of a body wait between the one who reads it and the one who takes it.
const FED_FRAMES: usize = 2;

/// Where the pieces of a body are put.
pub(crate) struct Feed(tokio::sync::mpsc::Sender<Option<Frame<Bytes>>>);

/// A body whose pieces come from somewhere else. It is whole only if that is said: a feed that is dropped broke off.
struct Fed {
    pieces: tokio::sync::mpsc::Receiver<Option<Frame<Bytes>>>,
    whole: bool,
}

/// A body, and where its pieces are put.
pub(crate) fn fed() -> (Feed, Body) {
    let (give, take) = tokio::sync::mpsc::channel(FED_FRAMES);
    (Feed(give), Fed { pieces: take, whole: false }.boxed_unsync())
}

impl Feed {
    /// Puts a piece in, once there is room. Says whether anybody still takes.
    pub(crate) async fn give(&self, frame: Frame<Bytes>) -> bool {
        self.0.send(Some(frame)).await.is_ok()
    }

    /// Says that the body is whole.
    pub(crate) async fn end(self) {
        // Whoever takes no more need not know.
        let _ = self.0.send(None).await;
    }
}

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.whole {
            return Poll::Ready(None);
        }
        Poll::Ready(match std::task::ready!(this.pieces.poll_recv(cx)) {
            Some(Some(frame)) => Some(Ok(frame)),
            Some(None) => {
                this.whole = true;
                None
            }
            None => Some(Err("the body broke off".into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fed_body_is_whole_only_if_that_is_said() {
        let piece = || Frame::data(Bytes::from_static(b"half"));
        let (feed, body) = fed();
        assert!(feed.give(piece()).await);
        feed.end().await;
        assert_eq!(body.collect().await.expect("whole").to_bytes(), "half");
        let (feed, body) = fed();
        assert!(feed.give(piece()).await);
        drop(feed);
        assert!(body.collect().await.is_err(), "what breaks off is no body");
    }
}
