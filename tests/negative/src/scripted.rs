//! An application that does as it is told, wrong things above all: what it says stands under the path that asks for it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// The longest head that is read.
const LONGEST_HEAD: usize = 256 * 1024;

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Says these bytes.
    Say(Vec<u8>),
    /// Reads the body of the request.
    Body,
    /// Waits.
    Pause(Duration),
    /// Closes the connection.
    Close,
}

impl Step {
    /// Says a text.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::Say(text.as_bytes().to_vec())
    }
}

type Scripts = Arc<Mutex<HashMap<String, Vec<Step>>>>;

/// The application.
#[derive(Clone)]
pub struct Scripted {
    /// Where it listens.
    pub port: u16,
    scripts: Scripts,
}

impl Scripted {
    /// Starts it. Its threads end with the process.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let this = Self { port: listener.local_addr()?.port(), scripts: Scripts::default() };
        let (scripts, number) = (Arc::clone(&this.scripts), AtomicU64::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (scripts, number) = (Arc::clone(&scripts), number.fetch_add(1, Ordering::Relaxed));
                thread::spawn(move || talk(stream, &scripts, number));
            }
        });
        Ok(this)
    }

    /// From now on, a request for this path is answered so.
    pub fn answer(&self, path: &str, steps: Vec<Step>) {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), steps);
    }
}

/// Answers request after request; the number of the connection stands in every answer that is not scripted.
fn talk(mut stream: TcpStream, scripts: &Scripts, number: u64) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            read(&mut stream, &mut buffer)?;
        };
        let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<_>>()).into_owned();
        let path = head.split(' ').nth(1).and_then(|t| t.split('?').next()).unwrap_or_default();
        let steps = scripts.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        let ordinary = || {
            let who = head.lines().find_map(|l| l.strip_prefix("x-safeconduct-assertion: ")).unwrap_or("none");
            let text = format!("ok {path} {who}");
            let head =
                format!("HTTP/1.1 200 OK\r\nx-connection: {number}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            vec![Step::Body, Step::Say(head.into_bytes())]
        };
        for step in steps.unwrap_or_else(ordinary) {
            match step {
                Step::Say(bytes) => stream.write_all(&bytes).ok()?,
                Step::Body => body(&head, &mut stream, &mut buffer)?,
                Step::Pause(span) => thread::sleep(span),
                Step::Close => return None,
            }
        }
    }
}

fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut space = [0; 4096];
    let n = stream.read(&mut space).ok().filter(|n| *n > 0 && buffer.len() < LONGEST_HEAD)?;
    buffer.extend_from_slice(&space[..n]);
    Some(())
}

/// Reads the body that the head announces, and nothing after it.
fn body(head: &str, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let of = |name: &str| {
        let mut pairs = head.lines().filter_map(|l| l.split_once(':'));
        pairs.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned())
    };
    if let Some(length) = of("content-length") {
        let length: usize = length.parse().ok()?;
        while buffer.len() < length {
            read(stream, buffer)?;
        }
        buffer.drain(..length);
    } else if of("transfer-encoding").is_some() {
        loop {
            let end = loop {
                if let Some(end) = buffer.windows(2).position(|w| w == b"\r\n") {
                    break end;
                }
                read(stream, buffer)?;
            };
            let line = String::from_utf8_lossy(&buffer.drain(..end + 2).collect::<Vec<_>>()).into_owned();
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            while buffer.len() < size + 2 {
                read(stream, buffer)?;
            }
            buffer.drain(..size + 2);
            if size == 0 {
                break;
            }
        }
    }
    Some(())
}
