//! `connect`: a TCP connection to an application, through the gateway.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context as Polling, Poll, ready};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use safeconduct_model::Fault;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::out::{Answer, aside, say, table};
use crate::program::{Ended, Home, Keyring, Link, Local, Net, OAuth, Told};

/// How many local connections are carried at a time.
const AT_ONCE: usize = 256;
/// How long standard input may go on after the application has ended.
const LINGER: Duration = Duration::from_secs(1);
/// How many reads of standard input may wait.
const WAITING_READS: usize = 4;
/// The bytes of one read.
const BUFFER_BYTES: usize = 16 * 1024;

/// Carries a TCP connection to an application, through the gateway.
#[derive(Args)]
pub(crate) struct Connect {
    /// The application, by its id; without one, those that there are.
    app: Option<String>,
    /// Listen here and carry each connection, instead of standard input and output. Port 0 takes any.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Listen on an address that others reach: they act as you.
    #[arg(long, requires = "listen")]
    let_others_in: bool,
    /// How to reach the gateway: auto takes HTTP/2 where it passes.
    #[arg(long, value_enum, default_value_t)]
    carrier: Carrier,
    /// What the access is for.
    #[arg(long, requires = "app")]
    purpose: Option<String>,
    /// The ticket that asks for it.
    #[arg(long, requires = "purpose")]
    ticket: Option<String>,
    /// The certificate of this device, where applications ask for a known one.
    #[arg(long, value_name = "PEM", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "PEM", requires = "certificate")]
    key: Option<PathBuf>,
    /// The portal; the one that was signed in at last if it is not named.
    #[arg(long)]
    portal: Option<String>,
    /// Trust this authority, instead of the one that was kept at the sign-in.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// How to reach the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Carrier {
    /// HTTP/2 where it passes, else a WebSocket.
    #[default]
    Auto,
    /// A WebSocket in any case.
    Websocket,
}

pub(crate) async fn connect(asked: Connect) -> Result<Answer> {
    if let Some(at) = asked.listen.filter(|at| !at.ip().is_loopback() && !asked.let_others_in) {
        let what = format!("{at} is reached by others, who would act as you");
        return Ok(Answer::BadInput(vec![Fault::new(
            "--listen",
            0,
            what,
            "listen on 127.0.0.1, or add --let-others-in",
        )]));
    }
    match Box::pin(run(&asked)).await {
        // No is an answer, not a failure.
        Err(error) if error.is::<Told>() => {
            aside(error.to_string());
            Ok(Answer::No)
        }
        other => other,
    }
}

async fn run(asked: &Connect) -> Result<Answer> {
    let home = Home::of(asked.portal.as_deref())?;
    let authority = asked.ca.clone().or_else(|| home.authority());
    let mut net = Net::new(authority.as_deref())?;
    if let (Some(certificate), Some(key)) = (&asked.certificate, &asked.key) {
        net = net.with_device(certificate, key)?;
    }
    let keyring = Keyring::open(home, net.clone())?;
    let session = keyring.session().await?;
    let Some(app) = &asked.app else {
        let rows: Vec<Vec<String>> = session.applications.into_iter().map(|a| vec![a.id, a.name, a.address]).collect();
        table(&["application", "name", "address"], &rows);
        return Ok(Answer::Done);
    };
    let Some(row) = session.applications.iter().find(|a| a.id == *app) else {
        let known: Vec<&str> = session.applications.iter().map(|a| a.id.as_str()).collect();
        let remedy =
            if known.is_empty() { "none is published".to_owned() } else { format!("there are: {}", known.join(", ")) };
        return Ok(Answer::BadInput(vec![Fault::new(
            "connect",
            0,
            format!("no application `{app}` has tunnels"),
            remedy,
        )]));
    };
    if let Some(purpose) = &asked.purpose {
        let fields =
            [("app", app.as_str()), ("purpose", purpose), ("ticket", asked.ticket.as_deref().unwrap_or_default())];
        let token = keyring.token(None).await?;
        let stated =
            keyring.portal.post::<serde_json::Value>(&keyring.key, "/oauth/purpose", &fields, Some(&token)).await;
        match stated {
            Err(error) if error.downcast_ref::<OAuth>().is_some_and(|e| e.code == "invalid_request") => {
                return Ok(Answer::BadInput(vec![Fault::new(
                    "--purpose",
                    0,
                    error.to_string(),
                    "choose one of these",
                )]));
            }
            other => other.map(|_| ())?,
        }
    }
    let fresh = keyring.clone();
    tokio::spawn(async move { aside(fresh.keep_fresh().await.to_string()) });
    let link = Link::new(keyring, net, row.address.parse()?, asked.carrier == Carrier::Websocket);
    match asked.listen {
        Some(at) => listen(&link, app, at).await,
        None => stdio(&link).await,
    }
}

/// One tunnel on standard input and output, as `ssh -o ProxyCommand` wants it.
async fn stdio(link: &Link) -> Result<Answer> {
    let tunnel = link.open().await?;
    let local = Local { read: Stdin::start(), write: Stdout, linger: Some(LINGER) };
    match tunnel.carry(local).await? {
        Ended::Closed | Ended::Left => Ok(Answer::Done),
        Ended::Cut(words) => {
            aside(words);
            Ok(Answer::No)
        }
    }
}

/// A port of this machine: each connection is a tunnel of its own, decided on its own.
async fn listen(link: &Link, app: &str, at: SocketAddr) -> Result<Answer> {
    let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at}"))?;
    say(format!("{app} is at {}", listener.local_addr()?));
    let places = std::sync::Arc::new(Semaphore::new(AT_ONCE));
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    loop {
        let place = std::sync::Arc::clone(&places).acquire_owned().await.context("places are never closed")?;
        let accepted = tokio::select! {
            _ = stop.recv() => return Ok(Answer::Done),
            _ = interrupt.recv() => return Ok(Answer::Done),
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                aside(format!("no connection could be taken: {error}"));
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let link = link.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Some(words) = Box::pin(one(&link, stream)).await {
                aside(format!("{peer}: {words}"));
            }
        });
    }
}

/// One local connection. What it is worth telling of its end, if anything.
async fn one(link: &Link, mut stream: TcpStream) -> Option<String> {
    let _ = stream.set_nodelay(true);
    let ended = match link.open().await {
        Ok(tunnel) => {
            let (read, write) = stream.split();
            tunnel.carry(Local { read, write, linger: None }).await
        }
        Err(error) => Err(error),
    };
    let words = match ended {
        Ok(Ended::Closed) => return None,
        Ok(Ended::Left) => None,
        Ok(Ended::Cut(words)) => Some(words),
        Err(error) => Some(format!("{error:#}")),
    };
    // What did not come to its end must not look as if it had.
    let _ = stream.set_zero_linger();
    words
}

/// Standard input, read by a thread of its own: a read that never ends does not keep the program from ending.
struct Stdin {
    reads: mpsc::Receiver<std::io::Result<Vec<u8>>>,
    rest: Vec<u8>,
    given: usize,
}

impl Stdin {
    fn start() -> Self {
        let (to, reads) = mpsc::channel(WAITING_READS);
        std::thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                let read = input.read(&mut buffer).map(|n| buffer[..n].to_vec());
                let ended = read.as_ref().map_or(true, Vec::is_empty);
                if to.blocking_send(read).is_err() || ended {
                    return;
                }
            }
        });
        Self { reads, rest: Vec::new(), given: 0 }
    }
}

/// Standard output, written at once: whoever does not read makes the gateway wait.
struct Stdout;

impl AsyncWrite for Stdout {
    fn poll_write(self: Pin<&mut Self>, _: &mut Polling<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(tokio::task::block_in_place(|| std::io::stdout().lock().write(buf)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(tokio::task::block_in_place(|| std::io::stdout().lock().flush()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncRead for Stdin {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Polling<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.given == this.rest.len() {
            match ready!(this.reads.poll_recv(cx)) {
                Some(read) => {
                    this.rest = read?;
                    this.given = 0;
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = (this.rest.len() - this.given).min(buf.remaining());
        buf.put_slice(&this.rest[this.given..this.given + n]);
        this.given += n;
        Poll::Ready(Ok(()))
    }
}
