//! A WebSocket between a client over HTTP/1.1 and an application over HTTP/2.

use http::{Response, StatusCode};
use safeconduct_http::Refused;
use safeconduct_model::{Class, RequestId};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Conn, Next};
use crate::answer;
use crate::body::empty;
use crate::exchange::{Decided, Exchange};
use crate::tunnel::accepted;
use crate::upstream::socket::{self, Said};

impl<S> Conn<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) async fn websocket_h2(&mut self, id: RequestId, host: &str, decided: Decided) -> Next {
        let Decided { lease, mut receipt } = decided;
        let worker = Arc::clone(&self.worker);
        let exchange = Exchange { worker: &worker, client: self.client(), id: id.clone() };
        // Over HTTP/1.1 the application looks at the key; here nobody else does.
        let Some(accept) = accepted(&self.head) else {
            let refusal = exchange.refuse(&Refused::bad("websocket"), Some(&lease.standing.target));
            self.respond(refusal, true).await;
            return Next::Close;
        };
        if lease.standing.target.class == Class::Critical
            && let Err(refused) = receipt.durable().await
        {
            return self.unrecorded(id, host, &lease, refused).await;
        }
        let said = socket::open(&exchange, &self.head, (host, &self.trace), &lease).await;
        if let Err(refused) = receipt.written().await {
            return self.unrecorded(id, host, &lease, refused).await;
        }
        let mut response = Response::new(empty());
        let up = match said {
            Ok(Said::Yes(fields, up)) => {
                *response.headers_mut() = fields;
                up
            }
            Ok(Said::No(status, fields)) => {
                // The application did not agree: its status tells, its body is not passed on.
                lease.answered(status.as_u16());
                *response.status_mut() = status;
                *response.headers_mut() = fields;
                self.respond(answer::stamp(response, &id), true).await;
                return Next::Close;
            }
            Err(error) => {
                let failure = exchange.failed(&self.head, &lease, &error);
                self.respond(failure, true).await;
                return Next::Close;
            }
        };
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let fields = response.headers_mut();
        fields.insert(http::header::CONNECTION, http::HeaderValue::from_static("upgrade"));
        fields.insert(http::header::UPGRADE, http::HeaderValue::from_static("websocket"));
        fields.insert(http::header::SEC_WEBSOCKET_ACCEPT, accept);
        let written = tokio::select! {
            biased;
            () = lease.entry().lost() => false,
            written = self.respond_switch(answer::stamp(response, &id)) => written,
        };
        if !written {
            return Next::Abort;
        }
        lease.entry().open();
        Next::Relay(Box::new((*up, lease)))
    }
}
