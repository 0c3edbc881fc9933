//! Spans reach a collector.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::bench::{Client, DOMAIN, configured, run};

/// Takes one message and answers 200; the message.
async fn collect(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&heard).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.and_then(|l| l.parse().ok()).expect("a length") {
                break;
            }
        }
        let got = stream.read(&mut buffer).await.expect("readable");
        assert!(got > 0, "the whole message came: {text}");
        heard.extend(&buffer[..got]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("answered");
    String::from_utf8(heard).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_to_the_collector_without_its_path_and_its_person() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("an address");
    let collector = tokio::spawn(collect(listener));
    let dir = configured(&format!("\n[traces]\nendpoint = \"http://{at}/v1/traces\"\nevery = 1\n"));
    let running = run(dir.path()).await;
    let mut client = Client::new(running.plain.expect("configured"));
    assert_eq!(client.get(&format!("wiki.{DOMAIN}"), "/secret", "").await.expect("an answer").0, 401);
    let message = tokio::time::timeout(Duration::from_secs(10), collector).await.expect("in time").expect("no panic");
    assert!(message.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{message}");
    assert!(message.contains("\"intValue\":\"401\"") && message.contains("\"traceId\":\""), "{message}");
    assert!(!message.contains("secret"), "{message}");
    running.stop().await.expect("stopped");
}
