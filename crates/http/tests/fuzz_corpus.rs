//! Replays the committed corpora of the fuzz targets in `tests/fuzz`, so that what was found stays fixed.

#[path = "other/hyper.rs"]
mod hyper;

use std::error::Error;
use std::fs;
use std::path::Path;

use safeconduct_http::fuzzing::{self, Seen};

/// Asks about every input of a target; how many of them are good.
fn replay(target: &str, question: impl Fn(&[u8]) -> Result<bool, String>) -> Result<usize, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let (mut inputs, mut good) = (0, 0);
    for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry?.path();
        inputs += 1;
        good += usize::from(question(&fs::read(&path)?).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    if inputs > 30 { Ok(good) } else { Err(format!("{target} has only {inputs} inputs").into()) }
}

#[test]
fn requests_are_read_as_others_read_them_and_written_as_decided() {
    let forwarded = replay("request", |raw| fuzzing::request(raw, hyper::server)).unwrap();
    assert!(forwarded > 20, "{forwarded}");
}

#[test]
fn bodies_are_read_as_a_naive_reader_and_hyper_read_them() {
    let whole = replay("body", |raw| fuzzing::body(raw, hyper::server)).unwrap();
    assert!(whole > 10, "{whole}");
}

#[test]
fn answers_are_written_as_they_were_read() {
    let accepted = replay("answer", fuzzing::answer).unwrap();
    assert!(accepted > 20, "{accepted}");
}

#[test]
fn nt_01_paths_have_one_spelling_and_no_climb() {
    let accepted = replay("path", |raw| fuzzing::path(raw).map(|n| n > 0)).unwrap();
    assert!(accepted > 20, "{accepted}");
}

#[test]
fn hyper_tells_one_request_from_the_next() {
    let wire = b"POST /a?b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /c HTTP/1.1\r\nhost: y\r\n\r\n";
    let one = |method: &str, target: &str, host: &str, body: &str| Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        hosts: vec![host.as_bytes().to_vec()],
        body: Some(body.as_bytes().to_vec()),
    };
    assert_eq!(hyper::server(wire), [one("POST", "/a?b", "x", "hi"), one("GET", "/c", "y", "")]);
    assert_eq!(hyper::server(b"GET / HTTP/1.1\r\nhost : x\r\n\r\n"), []);
    let cut = hyper::server(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhi");
    assert_eq!(cut.first().map(|seen| &seen.body), Some(&None), "a body that is cut is no body");
}
