//! NT-46 to NT-68: where a message begins and ends, and whose it is. Every probe goes to each of the five web servers.

use anyhow::{Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{House, STACKS, host, tests};

pub(crate) const TESTS: &[Test] = tests![
    nt_46_nt_47_length_beside_encoding_in_either_order,
];

/// Sends a request of these fields and this body to every web server; none may hear of it.
fn refused(house: &House, fields: &str, body: &str, code: &str) -> Result<()> {
    for stack in STACKS {
        let mark = house.mark("framing");
        let (host, cookie) = (host(stack), house.ada(stack));
        let raw = format!("POST /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}{fields}\r\n{body}");
        house.refused(stack, &mark, raw, 400, &[code])?;
    }
    Ok(())
}

fn nt_46_nt_47_length_beside_encoding_in_either_order(house: &House) -> Result<()> {
    let (length, chunked) = ("content-length: 5\r\n", "transfer-encoding: chunked\r\n");
    let body = "0\r\n\r\n";
    refused(house, &format!("{length}{chunked}"), body, "length_and_encoding")?;
    refused(house, &format!("{chunked}{length}"), body, "length_and_encoding")?;
    ensure!(!house.ada("nginx").is_empty(), "these requests carried a session");
    Ok(())
}
