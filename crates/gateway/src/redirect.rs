//! The plain HTTP listener: it knows one answer, the same address over HTTPS.

use std::sync::Arc;

use bytes::BytesMut;
use safeconduct_http::{Head, Refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::gateway::Core;

/// Reads one head and answers it.
pub(crate) async fn serve(core: &Arc<Core>, mut stream: TcpStream, port: u16, shutdown: CancellationToken) {
    let work = async {
        let (mut head, mut input) = (Head::default(), BytesMut::new());
        let heard = loop {
            match head.read_h1(&input, &core.bounds) {
                Ok(Some(_)) => break Ok(()),
                Ok(None) => {}
                Err(refused) => break Err(refused),
            }
            if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
                return;
            }
        };
        let answer = match heard.and_then(|()| location(core, &mut head, port)) {
            Ok(to) => format!("HTTP/1.1 308 Permanent Redirect\r\nlocation: {to}\r\n"),
            Err(refused) => format!("HTTP/1.1 {} \r\n", refused.status),
        };
        let whole = format!("{answer}content-length: 0\r\nconnection: close\r\n\r\n");
        if stream.write_all(whole.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
            // What the client still sends must not turn the answer into a reset.
            let _ = stream.read_buf(&mut input).await;
        }
    };
    tokio::select! {
        _ = timeout(core.limits.head_read, work) => {}
        () = shutdown.cancelled() => {}
    }
}

fn location(core: &Core, head: &mut Head, port: u16) -> Result<String, Refused> {
    let host = head.host()?;
    let app = core.routes.find(&core.control.snapshot(), &host);
    if app.is_none() && !core.control.is_portal(&host) {
        return Err(Refused { status: 404, ..Refused::bad("unknown_host") });
    }
    let opt_outs = app.as_ref().map(|a| a.opt_outs()).unwrap_or_default();
    head.settle(opt_outs, &core.cookies, &core.bounds)?;
    let place = if port == 443 { host.to_string() } else { format!("{host}:{port}") };
    Ok(format!("https://{place}{}", head.path_and_query()))
}
