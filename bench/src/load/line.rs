//! One connection as bytes: plain, or through TLS. Nothing here waits.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// How long connecting and the handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Line {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What was sent and not taken by the system yet.
    waiting: Vec<u8>,
    raw: Vec<u8>,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes, and there may be more at once.
    Some(usize),
    /// Nothing now.
    Nothing,
    /// The other side is done.
    End,
}

impl Line {
    /// Connects, with the handshake done.
    pub(crate) fn open(
        at: SocketAddr,
        from: Option<IpAddr>,
        tls: Option<(&Arc<ClientConfig>, &ServerName<'static>)>,
    ) -> Result<Self> {
        let mut stream = connect(at, from).with_context(|| format!("cannot connect to {at}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let tls = match tls {
            None => None,
            Some((config, name)) => {
                let mut tls = ClientConnection::new(Arc::clone(config), name.clone())?;
                while tls.is_handshaking() {
                    tls.complete_io(&mut stream).with_context(|| format!("the TLS handshake with {at} failed"))?;
                }
                Some(Box::new(tls))
            }
        };
        stream.set_nonblocking(true)?;
        Ok(Self { stream, tls, waiting: Vec::new(), raw: vec![0; 64 * 1024] })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What the application protocol is, as agreed in the handshake.
    pub(crate) fn agreed(&self) -> Option<&[u8]> {
        self.tls.as_ref().and_then(|tls| tls.alpn_protocol())
    }

    /// Reads once. `into` takes at most as much as it has room for.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Got> {
        let Some(tls) = &mut self.tls else { return told(self.stream.read(into)) };
        // What is decrypted already comes first.
        match tls.reader().read(into) {
            Ok(0) => return Ok(Got::End),
            Ok(n) => return Ok(Got::Some(n)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        let n = match told(self.stream.read(&mut self.raw))? {
            Got::Some(n) => n,
            other => return Ok(other),
        };
        let (mut rest, mut filled) = (&self.raw[..n], 0);
        while !rest.is_empty() {
            tls.read_tls(&mut rest)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            while filled < into.len() {
                match tls.reader().read(&mut into[filled..]) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(if filled > 0 { Got::Some(filled) } else { Got::Some(0) })
    }

    /// Sends; what the system does not take waits. Says whether something waits.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            return self.flush();
        }
        if !self.waiting.is_empty() {
            self.waiting.extend_from_slice(bytes);
            return self.flush();
        }
        let n = match self.stream.write(bytes) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            Err(e) => return Err(e),
        };
        self.waiting.extend_from_slice(&bytes[n..]);
        Ok(!self.waiting.is_empty())
    }

    /// Sends what waits. Says whether something still waits.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(e) => return Err(e),
                }
            }
            return Ok(false);
        }
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }
}

fn told(read: io::Result<usize>) -> io::Result<Got> {
    match read {
        Ok(0) => Ok(Got::End),
        Ok(n) => Ok(Got::Some(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Got::Nothing),
        Err(e) => Err(e),
    }
}

fn connect(at: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect_timeout(&at, PATIENCE) };
    use rustix::net::{AddressFamily, SocketType};
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
    rustix::net::connect(&socket, &at)?;
    Ok(TcpStream::from(socket))
}
