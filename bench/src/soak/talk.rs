//! HTTP/1.1 on one connection, as bytes: a head is sent, an answer is read.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::expect::Came;
use crate::hold::group::Place;

/// How long an answer may take; longer than any limit that this run sets.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const MAX_HEAD: usize = 64 * 1_024;

/// A connection.
pub(crate) type Line = TlsStream<TcpStream>;

/// The head of an answer, and what of the body came with it.
pub(crate) struct Head {
    pub status: u16,
    pub id: Option<String>,
    length: Option<usize>,
    closes: bool,
    pub rest: Vec<u8>,
}

/// The head of a request, without the empty line that ends it.
pub(crate) fn head(place: &Place, method: &str, path: &str) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", place.authority);
    for (name, value) in &place.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// Reads the head of an answer.
pub(crate) async fn answer(line: &mut Line) -> Result<Head> {
    let mut read = Vec::with_capacity(2_048);
    let end = loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(read.len() < MAX_HEAD && line.read_buf(&mut read).await? > 0, "no whole head");
    };
    let text = String::from_utf8_lossy(&read[..end]).into_owned();
    let field = |name: &str| {
        let mut fields = text.lines().filter_map(|l| l.split_once(':'));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    };
    Ok(Head {
        status: text.split(' ').nth(1).unwrap_or_default().parse()?,
        id: field("x-request-id").map(str::to_owned),
        length: field("content-length").and_then(|n| n.parse().ok()),
        closes: field("connection").is_some_and(|v| v.eq_ignore_ascii_case("close")),
        rest: read.split_off(end),
    })
}

/// Reads a whole answer to a request that this application should have got; whether the connection may be used again.
pub(crate) async fn whole(line: &mut Line, name: &str, path: &str) -> Result<(Came, Option<String>, bool)> {
    let mut head = answer(line).await?;
    if head.status != 200 {
        return Ok((Came::Status(head.status), head.id, false));
    }
    let Some(length) = head.length else { return Ok((Came::Wrong, head.id, false)) };
    while head.rest.len() < length {
        ensure!(line.read_buf(&mut head.rest).await? > 0, "the answer ends early");
    }
    let came = right(name, path, head.id.as_deref(), &head.rest);
    Ok((came, head.id, !head.closes))
}

/// Whether an answer is that of this application to this request: the path and the id are those that it saw.
pub(crate) fn right(name: &str, path: &str, id: Option<&str>, body: &[u8]) -> Came {
    let wanted = format!("{name} {path} {}", id.unwrap_or_default());
    if body == wanted.as_bytes() { Came::Right } else { Came::Wrong }
}

/// Sends within the patience that everything has.
pub(crate) async fn send(line: &mut Line, bytes: &[u8]) -> Result<()> {
    line.write_all(bytes).await?;
    line.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_very_request_is_right() {
        assert_eq!(right("wiki", "/a?n=1", Some("r1"), b"wiki /a?n=1 r1"), Came::Right);
        for other in [&b"wiki /a?n=2 r1"[..], b"wiki /a?n=1 r2", b"crm /a?n=1 r1", b"wiki /a?n=1 r1 ", b""] {
            assert_eq!(right("wiki", "/a?n=1", Some("r1"), other), Came::Wrong);
        }
    }
}
