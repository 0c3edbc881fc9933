//! A new process takes over from the one that serves, without a lost connection.
//!
//! The new process reads and checks its configuration first; then it asks on a socket in the data folder, which only the owner can
//! open, and gets the listening sockets themselves. From that instant the system queues new connections for whoever accepts. The
//! old process stops to accept, lets what is open end within a bound, records it, closes the ledger and goes; that its end of the
//! socket is closed says so, also if it dies. Only then the new process opens the ledger and accepts: at no instant do two
//! processes write the ledger, decide, or hold a lease.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_util::sync::CancellationToken;

/// The name of the socket in the data folder.
const SOCKET: &str = "upgrade.sock";
/// The most listening sockets that are handed over.
const MOST: usize = 64;
/// The bytes of their names, one a line.
const NAMES: usize = 1_024;
/// How long one side waits for a word of the other.
const WORD: Duration = Duration::from_secs(5);
/// How long the new process waits for the old one beyond what that may take to drain.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the new process says when it has the sockets.
const TAKEN: [u8; 1] = *b"t";

/// The listening sockets of this process, by name.
#[derive(Default)]
pub(crate) struct Sockets(Vec<(&'static str, OwnedFd)>);

impl Sockets {
    /// Takes a copy of a listening socket.
    pub(crate) fn keep(&mut self, name: &'static str, listener: &TcpListener) -> Result<()> {
        let copy = listener.as_fd().try_clone_to_owned().context("a listening socket cannot be copied")?;
        self.0.push((name, copy));
        Ok(())
    }
}

/// The place where a new process asks.
pub(crate) struct Door {
    listener: UnixListener,
    sockets: Sockets,
    taken: Arc<Taken>,
}

/// Whether a new process took over.
#[derive(Default)]
pub(crate) struct Taken {
    asked: CancellationToken,
    by: Mutex<Option<UnixStream>>,
}

impl Taken {
    /// Until a new process has taken the sockets.
    pub(crate) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Whether one has.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_cancelled()
    }

    /// Tells the new process that nothing of us is left.
    pub(crate) fn gone(&self) {
        *self.by.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Door {
    /// Opens the door. The lock on the ledger is held: a socket that is still there belongs to a process that is gone.
    pub(crate) fn open(data: &Path, sockets: Sockets) -> Result<(Self, Arc<Taken>)> {
        let path = data.join(SOCKET);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .context("cannot close the socket of upgrades to others")?;
        let taken = Arc::<Taken>::default();
        Ok((Self { listener, sockets, taken: Arc::clone(&taken) }, taken))
    }

    /// Waits for one new process that takes the sockets; one that does not is forgotten.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let sockets = Arc::new(self.sockets);
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                asked = self.listener.accept() => asked,
            };
            let sockets = Arc::clone(&sockets);
            let given = match asked.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => tokio::task::spawn_blocking(move || give(stream, &sockets)).await,
                Err(error) => Ok(Err(error.into())),
            };
            match given {
                Ok(Ok(stream)) => {
                    *self.taken.by.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
                    self.taken.asked.cancel();
                    return;
                }
                Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "a new process did not take over"),
                Err(error) => tracing::warn!(%error, "a new process could not be answered"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Gives copies of the sockets; the stream, once the other side says that it has them.
fn give(mut stream: UnixStream, sockets: &Sockets) -> Result<UnixStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WORD))?;
    stream.set_write_timeout(Some(WORD))?;
    ensure!(sockets.0.len() <= MOST, "there are more than {MOST} listening sockets");
    let names: Vec<&str> = sockets.0.iter().map(|(name, _)| *name).collect();
    let descriptors: Vec<BorrowedFd<'_>> = sockets.0.iter().map(|(_, fd)| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    ensure!(beside.push(SendAncillaryMessage::ScmRights(&descriptors)), "the sockets do not fit into a message");
    let text = names.join("\n");
    ensure!(!text.is_empty() && text.len() <= NAMES, "the names of the sockets do not fit into a message");
    let sent = rustix::net::sendmsg(&stream, &[IoSlice::new(text.as_bytes())], &mut beside, SendFlags::empty())?;
    ensure!(sent == text.len(), "the sockets were given in part");
    let mut word = [0; 1];
    stream.read_exact(&mut word).context("it did not say that it has the sockets")?;
    ensure!(word == TAKEN, "it said something else");
    Ok(stream)
}

/// What the old process gave: its sockets, and the line that says when it is gone.
#[derive(Default)]
pub(crate) struct Inherited {
    sockets: Vec<(String, std::net::TcpListener)>,
    old: Option<UnixStream>,
}

impl Inherited {
    /// Takes the sockets of the process that serves this data folder; nothing, if there is none.
    pub(crate) fn take(data: &Path) -> Result<Self> {
        let Ok(mut stream) = UnixStream::connect(data.join(SOCKET)) else { return Ok(Self::default()) };
        stream.set_read_timeout(Some(WORD))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; NAMES];
        let got =
            rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut text)], &mut beside, RecvFlags::CMSG_CLOEXEC)
                .context("the process that serves gave no sockets")?;
        let mut descriptors = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(given) = message {
                descriptors.extend(given);
            }
        }
        let names = std::str::from_utf8(text.get(..got.bytes).unwrap_or_default()).context("the names are no text")?;
        let names: Vec<String> = names.lines().map(str::to_owned).collect();
        if names.is_empty() || names.len() != descriptors.len() {
            bail!("the process that serves gave {} sockets with {} names", descriptors.len(), names.len());
        }
        stream.write_all(&TAKEN).context("the process that serves is gone")?;
        let sockets = names.into_iter().zip(descriptors.into_iter().map(std::net::TcpListener::from)).collect();
        Ok(Self { sockets, old: Some(stream) })
    }

    /// A listener at this address: the one of the old process, if it had one there under this name, or a new one.
    pub(crate) fn listen(&mut self, name: &'static str, at: SocketAddr, backlog: u32) -> Result<TcpListener> {
        let fits = |l: &std::net::TcpListener| l.local_addr().is_ok_and(|a| a == at || at.port() == 0);
        if let Some(found) = self.sockets.iter().position(|(n, l)| n == name && fits(l)) {
            let (_, listener) = self.sockets.swap_remove(found);
            listener.set_nonblocking(true)?;
            return Ok(TcpListener::from_std(listener)?);
        }
        let fresh = || {
            let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A restart need not wait for connections of the process before.
            socket.set_reuseaddr(true)?;
            socket.bind(at)?;
            socket.listen(backlog)
        };
        let key = if name == "decision_point" { "[decision_point] listen" } else { &*format!("[listen] {name}") };
        fresh().with_context(|| format!("{key}: cannot listen on {at}"))
    }

    /// Waits until nothing is left of the old process, for as long as that may take to drain and a little more.
    pub(crate) async fn wait(&mut self, drain: Duration) -> Result<()> {
        let Some(mut old) = self.old.take() else { return Ok(()) };
        old.set_read_timeout(Some(drain + PATIENCE))?;
        let gone = tokio::task::spawn_blocking(move || old.read(&mut [0; 1])).await?;
        match gone {
            Ok(0) => Ok(()),
            // A reset says the same as an end.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            Ok(_) => bail!("the old process said something after its last word"),
            Err(e) => Err(e).context("the old process does not go; stop it, and start again"),
        }
    }
}

/// Removes the socket of upgrades, as the last thing of a process that stops.
pub(crate) fn close(data: &Path) {
    let _ = std::fs::remove_file(data.join(SOCKET));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_change_hands_with_what_waits_in_them() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("an address");
        let mut sockets = Sockets::default();
        sockets.keep("https", &listener).expect("copied");
        let (door, taken) = Door::open(dir.path(), sockets).expect("opened");
        let watching = tokio::spawn(door.watch(CancellationToken::new()));
        let waits = tokio::net::TcpStream::connect(at).await.expect("queued");
        let data = dir.path().to_owned();
        let inherited = tokio::task::spawn_blocking(move || Inherited::take(&data)).await.expect("no panic");
        let mut inherited = inherited.expect("taken");
        taken.asked().await;
        watching.await.expect("no panic");
        drop(listener);
        let other = inherited.listen("plain", SocketAddr::from(([127, 0, 0, 1], 0)), 16).expect("a new socket");
        assert_ne!(other.local_addr().expect("an address"), at, "another name is another socket");
        let listener = inherited.listen("https", at, 16).expect("the same socket");
        let (_, peer) = listener.accept().await.expect("what waited is there");
        assert_eq!(peer, waits.local_addr().expect("an address"));
        let waiting = tokio::spawn(async move { inherited.wait(Duration::ZERO).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished(), "the old one is still there");
        taken.gone();
        waiting.await.expect("no panic").expect("gone");
    }

    #[tokio::test]
    async fn a_listener_holds_as_many_connections_as_its_backlog_says() {
        for backlog in [4, 16] {
            let at = SocketAddr::from(([127, 0, 0, 1], 0));
            let listener = Inherited::default().listen("https", at, backlog).expect("a listener");
            let at = listener.local_addr().expect("an address");
            let mut held = Vec::new();
            // The system answers no more than it holds, and one.
            while held.len() <= 64
                && let Ok(Ok(stream)) =
                    tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(at)).await
            {
                held.push(stream);
            }
            assert_eq!(held.len(), backlog as usize + 1);
        }
    }

    #[tokio::test]
    async fn one_that_does_not_take_them_is_forgotten_and_nobody_is_asked_to_go() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut sockets = Sockets::default();
        sockets.keep("https", &listener).expect("copied");
        let (door, taken) = Door::open(dir.path(), sockets).expect("opened");
        let stop = CancellationToken::new();
        let watching = tokio::spawn(door.watch(stop.clone()));
        drop(UnixStream::connect(dir.path().join(SOCKET)).expect("it asks"));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!taken.is_asked());
        stop.cancel();
        watching.await.expect("no panic");
        assert!(Inherited::take(&dir.path().join("nobody")).expect("nobody serves").old.is_none());
    }
}
