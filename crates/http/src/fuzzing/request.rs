//! The head of a request: what is accepted, what other readers make of it, and what the application gets.

use super::{NEXT, Seen, Server, hardening, hold, is_next, show, small};
use crate::names::{is_hop_by_hop, is_protected};
use crate::{Bounds, Framing, Head, MAX_FIELDS, Own, Upgrade, reference};

/// The cookies of the gateway.
const COOKIES: [&str; 2] = ["__Host-sc", "__Host-sc-state"];
/// Of another gateway.
const OTHER_COOKIES: [&str; 2] = ["a", "__Host-sc"];
/// The longest body that is made up to see where it ends.
const LONGEST_BODY: u64 = 4_096;
/// The inputs whose every prefix is read.
const SHORT: usize = 200;
/// Request lines in front of lines that were read before.
const OTHER_LINES: [&str; 8] = [
    "GET /x HTTP/1.1\r\n",
    "POST /another/path?q=1 HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "GET http://a/%61 HTTP/1.1\r\n",
    "HEAD /a//b HTTP/1.1\r\n",
    "GET /x HTTP/1.1\n",
    "GET  /x HTTP/1.1\r\n",
    "\r\nGET /x HTTP/1.1\r\n",
];
const OWN: Own<'_> = Own { client: "192.0.2.7", proto: "https", request: "r1", more: b"", trace: b"" };

/// A field as a plain reader sees it: name in lower case, value without blanks.
type Field = (String, Vec<u8>);

/// Reads a request; whether an application would get it.
///
/// # Errors
/// If something differs, in words.
pub fn request(raw: &[u8], server: Server) -> Result<bool, String> {
    as_the_reference(raw, &small())?;
    let bounds = Bounds::default();
    as_the_reference(raw, &bounds)?;
    as_a_stranger(raw, &bounds)?;
    let mut head = Head::default();
    let Ok(Some(n)) = head.read_h1(raw, &bounds) else { return Ok(false) };
    as_others(&head, &raw[..n], server)?;
    let Ok(authority) = head.authority() else { return Ok(false) };
    let cookies = COOKIES.map(str::to_owned);
    let mut forwarded = false;
    for bits in [0, 15, raw.len() % 16] {
        let mut settled = head.clone();
        if settled.settle(hardening(bits), &cookies, &bounds).is_ok() {
            as_decided(&settled, &authority.to_string(), bits, server)?;
            forwarded = true;
        }
    }
    Ok(forwarded)
}

/// The fast reader accepts what the reference accepts, and one that is fed in parts says the same.
fn as_the_reference(raw: &[u8], bounds: &Bounds) -> Result<(), String> {
    let slow = reference::end_of_head(raw, 0, bounds).and_then(|end| match end {
        Some(n) => reference::head(&raw[..n], bounds).map(|read| Some((n, read.framing))),
        None => Ok(None),
    });
    let mut head = Head::default();
    let fast = head.read_h1(raw, bounds);
    match (&slow, &fast) {
        (Ok(Some((n, framing))), Ok(Some(m))) => {
            hold!(n == m && *framing == head.framing(), "reference {slow:?}, fast {fast:?} {:?}", head.framing());
        }
        // The fast reader sees a bad byte at the end of the head; and only it looks into an absolute target.
        (Ok(None) | Err(_), Ok(None)) | (Err(_), Err(_)) => {}
        (Ok(Some(_)), Err(refused)) if refused.code == "target" => {}
        _ => return Err(format!("reference {slow:?}, fast {fast:?}: {}", show(raw))),
    }
    let mut parts = Head::default();
    let step = if raw.len() <= SHORT { 1 } else { raw.len() / 7 };
    for end in (0..raw.len()).step_by(step).chain([raw.len()]) {
        match parts.read_h1(&raw[..end], bounds) {
            Ok(None) => hold!(end < raw.len() || fast == Ok(None), "in parts it does not end: {}", show(raw)),
            found => {
                let same = found == fast || (found.is_err() && fast.is_err());
                hold!(same, "whole {fast:?}, up to {end} {found:?}: {}", show(raw));
                break;
            }
        }
    }
    Ok(())
}

/// A reader that read these lines before reads them as one that never did, also behind another request line.
fn as_a_stranger(raw: &[u8], bounds: &Bounds) -> Result<(), String> {
    let lines = raw.iter().position(|b| *b == b'\n').map_or(raw, |at| &raw[at + 1..]);
    let others = OTHER_LINES.map(|line| [line.as_bytes(), lines].concat());
    let mut used = Head::default();
    let turns =
        [raw, raw, raw].into_iter().chain(others.iter().map(Vec::as_slice)).chain([raw, &raw[1.min(raw.len())..], raw]);
    // Under one route first, then another now and then, or another name of our cookies.
    let twice = turns
        .clone()
        .zip(std::iter::repeat((usize::MAX, usize::MAX)))
        .chain(turns.zip(0..).map(|(r, n)| (r, (n % 3, n % 4))));
    for (raw, (route, names)) in twice {
        let under = (if route == 2 { 15 } else { 0 }, if names == 3 { OTHER_COOKIES } else { COOKIES });
        let (known, new) = (outcome(&mut used, raw, bounds, under), outcome(&mut Head::default(), raw, bounds, under));
        hold!(known == new, "as before {known:?}, anew {new:?}: {}", show(raw));
        if !matches!(new.0, Ok(Some(_))) {
            // The connection ends here, and the memory with it.
            used = Head::default();
        }
    }
    Ok(())
}

/// What is read, and what of it an application would get.
fn outcome(
    head: &mut Head,
    raw: &[u8],
    bounds: &Bounds,
    (bits, ours): (usize, [&str; 2]),
) -> (Result<Option<usize>, crate::Refused>, String, Vec<u8>) {
    let read = head.read_h1(raw, bounds);
    let (mut told, mut out) = (String::new(), Vec::new());
    if let Ok(Some(_)) = read {
        let fields: Vec<_> = head.raw_fields().collect();
        let authority = head.authority().map(|a| a.to_string());
        told = format!(
            "{} {} {:?} {:?} {authority:?} {fields:?}",
            head.method(),
            head.raw_path(),
            head.version(),
            head.framing()
        );
        let ours: Vec<String> = ours.iter().map(|c| (*c).to_owned()).collect();
        let settled = head.settle(hardening(bits), &ours, bounds);
        let (session, expects) = (head.session(), head.expects_continue());
        told += &format!("{settled:?} {session:?} {expects} {:?} {}", head.upgrade(), head.persistent());
        if settled.is_ok() {
            head.write_request("a", &OWN, &mut out);
            head.add_websocket_key("key");
            head.write_request("a", &OWN, &mut out);
        }
    }
    (read, told, out)
}

/// A plain reader reads what was accepted, and alike; if hyper reads it, then alike too.
fn as_others(head: &Head, raw: &[u8], server: Server) -> Result<(), String> {
    let (method, target, fields) = plain(raw)?;
    hold!(method == head.method(), "another method: {}", show(raw));
    let ours: Vec<Field> = head.raw_fields().map(|(name, value, _)| (name.to_owned(), value.to_vec())).collect();
    hold!(ours == fields, "other fields: {ours:?} {fields:?}");
    hold!(framing(&fields)? == head.framing(), "another framing: {}", show(raw));
    if let Some(whole) = with_body(raw, head.framing()) {
        match server(&whole).as_slice() {
            [] => {}
            [seen] | [seen, _] => {
                hold!(seen.method == method, "hyper sees another method: {seen:?}");
                let path = |t: &str| t.split('?').next().unwrap_or_default().to_owned();
                let plain = !target.starts_with('/') || path(&seen.target) == head.raw_path();
                hold!(plain, "hyper sees another target: {seen:?}");
                hold!(seen.body.is_some(), "hyper finds another end of the body: {seen:?} {}", show(raw));
            }
            more => return Err(format!("hyper finds more requests: {more:?}")),
        }
    }
    Ok(())
}

/// What an application gets is exactly one request, and the one that was decided.
fn as_decided(head: &Head, host: &str, bits: usize, server: Server) -> Result<(), String> {
    let bounds =
        Bounds { head_bytes: usize::MAX, header_count: MAX_FIELDS, target_bytes: usize::MAX, body_bytes: None };
    let mut out = Vec::new();
    head.write_request(host, &OWN, &mut out);
    let (method, target, fields) = plain(&out)?;
    hold!(method == head.method() && target == head.path_and_query(), "written: {}", show(&out));
    hold!(framing(&fields)? == head.framing(), "the framing is written otherwise: {}", show(&out));
    own_fields_only(&fields, host, head.upgrade())?;

    let mut again = Head::default();
    hold!(again.read_h1(&out, &bounds) == Ok(Some(out.len())), "it is not read again: {}", show(&out));
    let written_host = again.authority().map(|a| a.to_string());
    hold!(written_host.as_deref() == Ok(host), "another host: {}", show(&out));
    hold!(again.framing() == head.framing(), "another framing: {}", show(&out));
    let settled = again.settle(hardening(bits), &COOKIES.map(str::to_owned), &bounds);
    hold!(settled.is_ok(), "{settled:?}: {}", show(&out));
    let mut twice = Vec::new();
    again.write_request(host, &OWN, &mut twice);
    hold!(twice == out, "written twice: {} {}", show(&out), show(&twice));

    // hyper's URI does not take these, and goes without their request.
    let foreign = target.bytes().any(|b| matches!(b, b'"' | b'<' | b'>')) || target.len() > 60_000;
    if let (Some(whole), false) = (with_body(&out, head.framing()), foreign) {
        match server(&whole).as_slice() {
            [seen, next] => {
                let one = Seen { method, target, hosts: vec![host.as_bytes().to_vec()], body: seen.body.clone() };
                hold!(*seen == one && seen.body.is_some() && is_next(next), "hyper reads {seen:?} {next:?}");
            }
            other => return Err(format!("hyper reads {other:?}: {}", show(&whole))),
        }
    }
    Ok(())
}

/// Nothing that only the gateway may say comes from the client.
fn own_fields_only(fields: &[Field], host: &str, upgrade: Upgrade) -> Result<(), String> {
    let of = |name: &str| -> Vec<&[u8]> { fields.iter().filter(|f| f.0 == name).map(|f| f.1.as_slice()).collect() };
    for (name, value) in [
        ("host", host),
        ("x-forwarded-for", OWN.client),
        ("x-forwarded-proto", OWN.proto),
        ("x-forwarded-host", host),
        ("x-request-id", OWN.request),
    ] {
        hold!(of(name) == [value.as_bytes()], "{name}: {fields:?}");
    }
    let own = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"];
    let websocket = upgrade == Upgrade::WebSocket;
    for (name, value) in fields {
        hold!(own.contains(&name.as_str()) || !is_protected(name), "{name} is ours");
        let steers = is_hop_by_hop(name.as_bytes()) && name != "transfer-encoding";
        hold!(!steers || (websocket && matches!(name.as_str(), "connection" | "upgrade")), "{name} stayed");
        hold!(!name.contains('_'), "{name} has an underscore");
        if name == "cookie" {
            let ours = |pair: &[u8]| {
                let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
                COOKIES.iter().any(|c| c.as_bytes() == name.trim_ascii())
            };
            hold!(!value.split(|b| *b == b';').any(ours), "our cookie goes on: {}", show(value));
        }
    }
    hold!(of("cookie").len() <= 1, "several cookie fields");
    Ok(())
}

/// What httparse alone makes of a whole head.
fn plain(raw: &[u8]) -> Result<(String, String, Vec<Field>), String> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut lines);
    let read = request.parse(raw);
    hold!(read == Ok(httparse::Status::Complete(raw.len())), "httparse says {read:?}: {}", show(raw));
    let fields = request.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.trim_ascii().to_vec())).collect();
    Ok((request.method.unwrap_or_default().to_owned(), request.path.unwrap_or_default().to_owned(), fields))
}

/// The framing as RFC 9112, section 6.3, has it, where there is only one reading.
fn framing(fields: &[Field]) -> Result<Framing, String> {
    let mut said = fields.iter().filter(|f| matches!(f.0.as_str(), "content-length" | "transfer-encoding"));
    let (one, more) = (said.next(), said.next());
    hold!(more.is_none(), "framed twice: {fields:?}");
    match one {
        None => Ok(Framing::None),
        Some((name, value)) if name == "transfer-encoding" => {
            hold!(value.eq_ignore_ascii_case(b"chunked"), "coded: {}", show(value));
            Ok(Framing::Chunked)
        }
        Some((_, value)) => {
            let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
            let length = digits.and_then(|d| d.parse().ok());
            length.map(Framing::Length).ok_or_else(|| format!("a length: {}", show(value)))
        }
    }
}

/// The head with a body that looks like a request, and a request behind it.
fn with_body(head: &[u8], framing: Framing) -> Option<Vec<u8>> {
    let trap = b"GET /trap HTTP/1.1\r\nhost: trap\r\n\r\n";
    let body = match framing {
        Framing::None => Vec::new(),
        Framing::Length(n) if n > LONGEST_BODY => return None,
        Framing::Length(n) => trap.iter().copied().cycle().take(usize::try_from(n).ok()?).collect(),
        Framing::Chunked => [format!("{:x}\r\n", trap.len()).as_bytes(), trap, b"\r\n0\r\n\r\n"].concat(),
    };
    Some([head, &body, NEXT].concat())
}
