//! Live feeds of the console end when their reader may no longer look.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as AxumBody;
use futures_util::{StreamExt, TryStreamExt};
use http::{Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use safeconduct_access::Visitor;
use safeconduct_gateway::{Body, boxed};

use crate::house::House;
use crate::portal::console_access::may_look;

/// How often it is asked whether the reader may still look.
const STEP: Duration = Duration::from_millis(250);

/// The answer, and if it is a live feed, one that ends with the right to read it.
pub(crate) fn guarded(
    house: &Arc<House>,
    visitor: Option<&Visitor>,
    ip: IpAddr,
    answer: Response<AxumBody>,
) -> Response<Body> {
    let live =
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"));
    let (true, Some(visitor)) = (live, visitor) else { return answer.map(boxed) };
    let revoked = revoked(Arc::clone(house), visitor.clone(), ip);
    answer.map(|body| {
        let frames = body.into_data_stream().map_ok(Frame::data).take_until(Box::pin(revoked));
        boxed(BodyExt::map_err(StreamBody::new(frames), axum::Error::into_inner))
    })
}

/// Resolves when the visitor may no longer look at the console.
async fn revoked(house: Arc<House>, visitor: Visitor, ip: IpAddr) {
    loop {
        tokio::time::sleep(STEP).await;
        let now = house.now();
        let session = house.sessions().get(&visitor.auth.session, now).cloned();
        if !session.is_some_and(|s| may_look(&house, &s, ip, now)) {
            return;
        }
    }
}
