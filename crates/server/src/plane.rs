//! The data plane: threads of their own for what clients ask of applications, so that no page, sign-in or database ever stands
//! in the way of a request.
//!
//! Each thread runs one runtime and serves the connections that it accepted, from their first byte to their last. All of them
//! accept from the same sockets: whoever is free takes the next connection, and a hand-over to a new process passes one
//! socket per listener, whatever the number of threads.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use safeconduct_gateway::Gateway;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The listeners of the data plane.
pub(crate) struct Doors {
    /// Where TLS is served, and how.
    pub(crate) https: (TcpListener, Arc<ServerConfig>),
    /// Where plain HTTP is served, on loopback.
    pub(crate) plain: Option<TcpListener>,
}

/// How much nicer the threads of pages, databases and figures are than those of the data plane (in steps of `nice`): where they
/// share a core, a request does not wait until a page is made.
const NICER: i32 = 5;

/// Lets the present thread stand back behind the data plane. For the threads of the main runtime, when they start; those of the
/// data plane are started by the first thread, which does not stand back.
pub fn stand_back() {
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "a thread could not be made nicer");
    }
}

/// Starts `threads` threads that serve until `stop`. The future is ready when all of them have ended.
pub(crate) fn serve(
    gateway: &Arc<Gateway>,
    doors: Doors,
    threads: usize,
    stop: &CancellationToken,
) -> Result<impl Future<Output = ()> + use<>> {
    let (https, tls) = doors.https;
    let https = https.into_std().context("the HTTPS listener")?;
    let plain = doors.plain.map(TcpListener::into_std).transpose().context("the plain listener")?;
    let mut ends = Vec::new();
    for number in 0..threads.max(1) {
        let (gateway, stop, tls) = (Arc::clone(gateway), stop.clone(), Arc::clone(&tls));
        let https = https.try_clone().context("the HTTPS listener")?;
        let plain = plain.as_ref().map(std::net::TcpListener::try_clone).transpose().context("the plain listener")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("a runtime for the data plane")?;
        let (ended, end) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                let both = async {
                    let https = TcpListener::from_std(https)?;
                    let plain = plain.map(TcpListener::from_std).transpose()?;
                    let serving = gateway.serve(https, Some(tls), stop.clone());
                    match plain {
                        None => serving.await,
                        Some(plain) => {
                            tokio::join!(serving, gateway.serve(plain, None, stop));
                        }
                    }
                    std::io::Result::Ok(())
                };
                if let Err(error) = both.await {
                    tracing::error!(%error, "a thread of the data plane does not serve");
                }
            });
            // Nobody may wait any more.
            let _ = ended.send(());
        };
        thread::Builder::new().name(format!("gateway-{number}")).spawn(work).context("a thread for the data plane")?;
        ends.push(end);
    }
    Ok(async move {
        for end in ends {
            // A thread that panicked has ended too.
            let _ = end.await;
        }
    })
}
