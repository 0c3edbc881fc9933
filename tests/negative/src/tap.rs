//! A recorder between the gateway and a web server: it hands on every byte, and keeps those that the gateway sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use crate::parse::{Request, first};

/// What came over one connection.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// The whole requests in it, and how far they reach.
    requests: Vec<Request>,
    read: usize,
}

type Bytes = Arc<Mutex<Kept>>;

impl Kept {
    /// All requests: those that were read before, and what came since.
    fn requests(&mut self) -> Result<Vec<Request>> {
        while self.read < self.bytes.len() {
            let (request, rest) = first(&self.bytes[self.read..])?;
            if !request.whole {
                // It may still grow, so it is read again the next time.
                return Ok(self.requests.iter().cloned().chain([request]).collect());
            }
            self.read = self.bytes.len() - rest.len();
            self.requests.push(request);
        }
        Ok(self.requests.clone())
    }
}

/// A recorder in front of one web server.
pub struct Tap {
    /// Where the gateway connects.
    pub port: u16,
    connections: Arc<Mutex<Vec<Bytes>>>,
}

impl Tap {
    /// Starts a recorder in front of a port. Its threads end with the process.
    pub fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let tap = Self { port: listener.local_addr()?.port(), connections: Arc::default() };
        let connections = Arc::clone(&tap.connections);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let kept = Bytes::default();
                connections.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&kept));
                thread::spawn(move || {
                    let _ = relay(&client, to, &kept);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(tap)
    }

    /// The bytes of every connection, in the order in which they were opened.
    #[must_use]
    pub fn connections(&self) -> Vec<Vec<u8>> {
        let all = self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().map(|bytes| bytes.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()).collect()
    }

    /// Whether a word came over any connection.
    #[must_use]
    pub fn heard(&self, word: &str) -> bool {
        let all = self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().any(|bytes| holds(&bytes.lock().unwrap_or_else(PoisonError::into_inner).bytes, word))
    }

    /// The requests whose head holds a word, read by the letter.
    pub fn requests(&self, word: &str) -> Result<Vec<Request>> {
        let mut found = Vec::new();
        let all = self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for bytes in all {
            let mut kept = bytes.lock().unwrap_or_else(PoisonError::into_inner);
            // Other tests use other connections; theirs may not be whole yet.
            if !holds(&kept.bytes, word) {
                continue;
            }
            let all = kept.requests().context("the gateway sent what is no request by the letter")?;
            let of = |r: &Request| r.target.contains(word) || r.headers.iter().any(|(_, v)| v.contains(word));
            found.extend(all.into_iter().filter(of));
        }
        Ok(found)
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    // Latin letters stay what they are, whatever stands around them; most recordings are text and are not copied.
    String::from_utf8_lossy(bytes).contains(word)
}

fn relay(client: &TcpStream, to: u16, kept: &Bytes) -> Result<()> {
    let server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, to)))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        copy(&mut from_server, &mut to_client, |_| {});
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    copy(&mut from_client, &mut to_server, |bytes| {
        kept.lock().unwrap_or_else(PoisonError::into_inner).bytes.extend_from_slice(bytes);
    });
    let _ = to_server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

fn copy(from: &mut TcpStream, to: &mut TcpStream, keep: impl Fn(&[u8])) {
    let mut space = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut space) {
        keep(&space[..n]);
        if to.write_all(&space[..n]).is_err() {
            return;
        }
    }
}
