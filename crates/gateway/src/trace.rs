//! W3C Trace Context: which trace a request belongs to, and what the application and the collector of traces are told.
//!
//! Only a trusted hop may continue a trace; everybody else's `traceparent` is dropped and a new trace begins, whose id is the id of
//! the request. The id of a request is always our own, also in a continued trace: what a client can choose must not name a
//! record. The id of our span is the first half of the request id, so the two lead to each other.

use std::fmt;

use safeconduct_model::{AppId, Reason, RequestId, Timestamp};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// The bytes of a `traceparent` of version 00.
const PARENT_BYTES: usize = 55;
/// The bytes of the line that tells of a trace without a state.
pub(crate) const LINE_BYTES: usize = "traceparent: \r\n".len() + PARENT_BYTES;
/// The bounds of `tracestate`, as the standard has them.
const STATE_BYTES: usize = 512;
const STATE_MEMBERS: usize = 32;
const STATE_KEY: usize = 256;

/// A trace id and a span in it, from `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl Parent {
    /// Reads the value of the field, strictly.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, more) = value.split_at_checked(PARENT_BYTES)?;
        let [version, trace, span, flags] = dashed(head)?;
        let version = hex::<1>(version)?;
        // A later version may have more fields behind a dash; version 00 has none, and ff is none at all.
        let fits = match version {
            [0x00] => more.is_empty(),
            [0xff] => false,
            _ => more.is_empty() || more.starts_with(b"-"),
        };
        let parent = Self { trace: hex(trace)?, span: hex(span)?, sampled: hex::<1>(flags)?[0] & 1 == 1 };
        (fits && parent.trace != [0; 16] && parent.span != [0; 8]).then_some(parent)
    }
}

impl Parent {
    /// Appends it as the field spells it.
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"00-");
        digits(&self.trace, out);
        out.push(b'-');
        digits(&self.span, out);
        out.extend_from_slice(if self.sampled { b"-01" } else { b"-00" });
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(PARENT_BYTES);
        self.push(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The four fields of a head of the right length.
fn dashed(head: &[u8]) -> Option<[&[u8]; 4]> {
    let dashes = [2, 35, 52].iter().all(|at| head.get(*at) == Some(&b'-'));
    dashes.then_some(())?;
    Some([head.get(..2)?, head.get(3..35)?, head.get(36..52)?, head.get(53..)?])
}

/// Lower-case hexadecimal digits.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(*pair.first()?)? << 4) | digit(*pair.last()?)?;
    }
    Some(bytes)
}

fn digits(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Whether this is a `tracestate` that may be handed on.
#[must_use]
pub fn is_state(value: &[u8]) -> bool {
    let mut keys = Vec::new();
    for member in value.split(|b| *b == b',') {
        let member = member.trim_ascii();
        if member.is_empty() {
            continue;
        }
        let Some(at) = member.iter().position(|b| *b == b'=') else { return false };
        let (key, value) = (&member[..at], &member[at + 1..]);
        let first = key.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let of_key = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(b);
        let of_value = |b: &u8| (0x20..=0x7e).contains(b) && !b",=".contains(b);
        let good = first && key.len() <= STATE_KEY && key.iter().all(of_key) && value.iter().all(of_value);
        if !good || value.is_empty() || value.len() > STATE_KEY || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    value.len() <= STATE_BYTES && (1..=STATE_MEMBERS).contains(&keys.len())
}

/// The trace of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Our span: what the application is told.
    pub(crate) own: Parent,
    /// The span of the hop, where it continues a trace.
    pub(crate) parent: Option<[u8; 8]>,
    /// What other systems put on the trace.
    pub(crate) state: Option<String>,
}

impl Trace {
    /// The trace of a request: continued if a trusted hop says so in exactly one good field, or begun anew. One of `every` new
    /// traces is recorded; none if that is 0.
    pub(crate) fn of<'v>(
        request: &RequestId,
        trusted: bool,
        mut parents: impl Iterator<Item = &'v [u8]>,
        states: impl Iterator<Item = &'v [u8]>,
        every: u64,
    ) -> Option<Self> {
        let id = hex::<16>(request.as_str().as_bytes())?;
        let (first, second) = (*id.first_chunk::<8>()?, *id.last_chunk::<8>()?);
        let span = if first == [0; 8] { second } else { first };
        let told = if trusted { parents.next().and_then(Parent::parse) } else { None };
        let Some(told) = told.filter(|_| parents.next().is_none()) else {
            let sampled = u64::from_be_bytes(second).checked_rem(every) == Some(0);
            return Some(Self { own: Parent { trace: id, span, sampled }, parent: None, state: None });
        };
        let state = states.collect::<Vec<_>>().join(&b","[..]);
        let state = is_state(&state).then(|| String::from_utf8(state).ok()).flatten();
        Some(Self { own: Parent { span, ..told }, parent: Some(told.span), state })
    }
}

/// The fields that tell an application the trace of a request, as whole lines; without one, a trace that begins with this request
/// and that nobody collects.
pub(crate) fn write(trace: Option<&Trace>, request: &RequestId, lines: &mut Vec<u8>) {
    let begun;
    let trace = match (trace, request.as_str().as_bytes().split_first_chunk::<16>()) {
        (Some(trace), _) => trace,
        // The usual one, written as it is: the name of a request is 32 digits.
        (None, Some((first, rest))) if rest.len() == 16 && *first != [b'0'; 16] => {
            for part in [&b"traceparent: 00-"[..], first, rest, b"-", first, b"-00\r\n"] {
                lines.extend_from_slice(part);
            }
            return;
        }
        (None, _) => {
            begun = Trace::of(request, false, std::iter::empty(), std::iter::empty(), 0);
            let Some(begun) = &begun else { return };
            begun
        }
    };
    lines.extend_from_slice(b"traceparent: ");
    trace.own.push(lines);
    lines.extend_from_slice(b"\r\n");
    if let Some(state) = &trace.state {
        lines.extend_from_slice(b"tracestate: ");
        lines.extend_from_slice(state.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was permitted, and the application answered.
    Permitted,
    /// Policy denied it, or the permit was lost.
    Denied,
    /// It was refused before policy was asked: malformed, over a bound, or for nothing that is here.
    Refused,
    /// It was permitted, and the application failed.
    Failed,
    /// It was ours: the portal and its pages.
    Own,
}

impl Outcome {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Own => "own",
        }
    }
}

/// One exchange, as a collector of traces gets it. It names no person, no address and no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace and the id of this span.
    pub own: Parent,
    /// The span that it belongs to.
    pub parent: Option<[u8; 8]>,
    /// The id of the request in the ledger.
    pub request: RequestId,
    /// When the head was read.
    pub from: Timestamp,
    /// How long it took to the head of the answer, in microseconds.
    pub took_us: u64,
    /// The method.
    pub method: String,
    /// The status of the answer.
    pub status: u16,
    /// `https` or `http`, as the client spoke.
    pub scheme: &'static str,
    /// The version of HTTP that the client spoke: `1.0`, `1.1` or `2`.
    pub version: &'static str,
    /// The host that was asked for, if it is one of ours.
    pub host: Option<String>,
    /// The application, if the host was known.
    pub app: Option<AppId>,
    /// The line of the application's route table that spoke of it: text of the configuration, never of a client.
    pub route: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was denied or refused.
    pub reason: Option<Reason>,
}

/// Where spans go. It never waits: a span for which there is no room is dropped and counted.
#[derive(Clone, Debug)]
pub struct Spans {
    sender: Sender<Span>,
    /// One of how many new traces is recorded.
    pub(crate) every: u64,
}

impl Spans {
    /// A queue of `room` spans, of which one of `every` new traces is recorded.
    #[must_use]
    pub fn new(room: usize, every: u64) -> (Self, Receiver<Span>) {
        let (sender, receiver) = mpsc::channel(room.max(1));
        (Self { sender, every }, receiver)
    }

    /// Takes a span; says `false` if it was dropped.
    pub(crate) fn take(&self, span: Span) -> bool {
        self.sender.try_send(span).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const REQUEST: &str = "0af7651916cd43dd8448eb211c80319c";

    fn of(trusted: bool, parents: &[&str], states: &[&str], every: u64) -> Trace {
        let bytes = |texts: &[&str]| texts.iter().map(|t| t.as_bytes().to_vec()).collect::<Vec<_>>();
        let (parents, states) = (bytes(parents), bytes(states));
        let request = REQUEST.parse().unwrap();
        Trace::of(&request, trusted, parents.iter().map(Vec::as_slice), states.iter().map(Vec::as_slice), every)
            .unwrap()
    }

    #[test]
    fn a_parent_is_read_strictly_and_written_as_it_was() {
        assert_eq!(Parent::parse(GOOD.as_bytes()).unwrap().to_string(), GOOD);
        let later = GOOD.replacen("00", "cc", 1) + "-what-the-future-will-bring";
        assert!(Parent::parse(later.as_bytes()).is_some(), "a later version may say more");
        for bad in [
            "",
            &GOOD[..54],
            &format!("{GOOD}-"),
            &format!("{GOOD}0"),
            &GOOD.replacen("00", "ff", 1),
            &(GOOD.replacen("00", "cc", 1) + "x"),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace('-', "_"),
            &GOOD.replace("-01", "-0g"),
            &format!(" {}", &GOOD[..54]),
        ] {
            assert_eq!(Parent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_stranger_begins_a_trace_whose_id_is_the_request() {
        let own = of(false, &[GOOD], &["a=b"], 0);
        assert_eq!(own.own.to_string(), format!("00-{REQUEST}-{}-00", &REQUEST[..16]));
        assert_eq!((own.parent, own.state), (None, None));
        assert_eq!(of(true, &[], &[], 0).own, own.own);
        assert_eq!(of(true, &["nonsense"], &[], 0).own, own.own, "a broken field counts as none");
        assert_eq!(of(true, &[GOOD, GOOD], &[], 0).own, own.own, "two fields count as none");
    }

    #[test]
    fn what_is_not_collected_is_told_as_if_it_were() {
        for id in [REQUEST, "0000000000000000dd8448eb211c8031"] {
            let id = id.parse().unwrap();
            let none = || std::iter::empty::<&[u8]>();
            let (mut short, mut long) = (Vec::new(), Vec::new());
            write(None, &id, &mut short);
            write(Trace::of(&id, false, none(), none(), 0).as_ref(), &id, &mut long);
            assert_eq!(String::from_utf8(short), String::from_utf8(long));
        }
    }

    #[test]
    fn a_trusted_hop_continues_its_trace_and_our_span_is_new() {
        let trace = of(true, &[GOOD], &["rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"], 0);
        assert_eq!(trace.own.to_string(), format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", &REQUEST[..16]));
        assert_eq!(trace.parent, Some([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
        assert_eq!(trace.state.as_deref(), Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
        assert_eq!(of(true, &[GOOD], &["A=b"], 0).state, None, "a broken state is dropped, the trace goes on");
    }

    #[test]
    fn the_rule_of_tracestate() {
        for good in ["a=b", "a=b,c=d", "tenant@system=x y", "0a=b", "a=b, ,c=d"] {
            assert!(is_state(good.as_bytes()), "{good}");
        }
        let many = (0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for bad in [
            "",
            ",",
            "a",
            "=b",
            "a=",
            "A=b",
            "a=b,a=c",
            "a=b=c",
            "a=\u{1}",
            "é=b",
            &format!("a={}", "x".repeat(511)),
            &many,
        ] {
            assert!(!is_state(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn one_of_so_many_is_recorded() {
        assert!(of(false, &[], &[], 1).own.sampled && !of(false, &[], &[], 0).own.sampled);
        let low = u64::from_be_bytes(*hex::<16>(REQUEST.as_bytes()).unwrap().last_chunk().unwrap());
        assert_eq!(of(false, &[], &[], 7).own.sampled, low % 7 == 0);
    }

    proptest! {
        /// What is accepted is written as a field that is accepted and says the same.
        #[test]
        fn reading_and_writing_agree(bytes in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}") {
            if let Some(parent) = Parent::parse(bytes.as_bytes()) {
                prop_assert_eq!(Parent::parse(parent.to_string().as_bytes()), Some(parent));
            }
        }
    }
}
