//! `[limits]`: every bound of the gateway in one table. The table is the settings, the page in `docs/limits.md`, and what
//! `safeconduct config limits` prints.

use std::fmt::Write as _;

use safeconduct_model::Duration;

use crate::reader::{Faults, Table};

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The key below `[limits]`.
    pub name: &'static str,
    /// What the number counts: `bytes`, `time`, or a noun.
    pub unit: &'static str,
    /// The value without a line in the file.
    pub default: String,
    /// The smallest and the largest value.
    pub bounds: (String, String),
    /// What is bounded.
    pub what: &'static str,
    /// What the client sees when it is met.
    pub met: &'static str,
    /// The test that meets it.
    pub tested: &'static str,
    /// From when on a changed value counts.
    pub counts: Counts,
}

/// From when on a changed value of a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// From the next time that somebody meets it; what waits already waits as it began.
    AtOnce,
    /// For connections that are opened from now on.
    NewConnections,
    /// From the next start of the process on.
    NextStart,
}

impl Counts {
    /// As the page says it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewConnections => "new connections",
            Self::NextStart => "next start",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "h2_streams" | "h2_pending_resets" | "h2_error_resets" | "h2_ping" => Self::NewConnections,
            // The system took the one with the listening socket, and the queue of the ledger is as long as it was made.
            "backlog" | "ledger_queue" => Self::NextStart,
            _ => Self::AtOnce,
        }
    }
}

/// A value of the table: whole numbers, spans of time, and whole numbers that may be absent.
trait Value: Copy {
    fn read(t: &mut Table<'_>, key: &'static str, bounds: (Self, Self), faults: &mut Faults) -> Option<Self>;
    fn show(self) -> String;
}

impl Value for u64 {
    fn read(t: &mut Table<'_>, key: &'static str, bounds: (Self, Self), faults: &mut Faults) -> Option<Self> {
        t.number(key, bounds.0..bounds.1 + 1, faults)
    }
    fn show(self) -> String {
        self.to_string()
    }
}

impl Value for Option<u64> {
    fn read(t: &mut Table<'_>, key: &'static str, bounds: (Self, Self), faults: &mut Faults) -> Option<Self> {
        t.number(key, bounds.0.unwrap_or(1)..bounds.1.unwrap_or(1) + 1, faults).map(Some)
    }
    fn show(self) -> String {
        self.map_or_else(|| "none".to_owned(), |n| n.to_string())
    }
}

impl Value for Duration {
    fn read(t: &mut Table<'_>, key: &'static str, bounds: (Self, Self), faults: &mut Faults) -> Option<Self> {
        let at = t.at_of(key);
        let span = t.span(key, faults)?;
        let good = bounds.0 <= span && span <= bounds.1;
        if !good {
            let what = format!("`{key}` must be from {} to {}", bounds.0.show(), bounds.1.show());
            faults.tell(&at, what, "correct the span");
        }
        good.then_some(span)
    }
    fn show(self) -> String {
        match self.millis() {
            ms if ms > 0 && ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
            ms if ms > 0 && ms % 60_000 == 0 => format!("{}min", ms / 60_000),
            ms if ms > 0 && ms % 1_000 == 0 => format!("{}s", ms / 1_000),
            ms => format!("{ms}ms"),
        }
    }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

macro_rules! limits {
    ($($name:ident: $type:ty = $default:expr, $low:expr, $high:expr, $unit:literal, $what:literal, $met:literal, $tested:literal;)*) => {
        /// The bounds of the gateway, effective: what the file says, and the defaults for the rest.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = $what] pub $name: $type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// Every row, in the order of the page.
            #[must_use]
            pub fn table() -> Vec<Limit> {
                vec![$(Limit {
                    name: stringify!($name),
                    unit: $unit,
                    default: <$type as Value>::show($default),
                    bounds: (<$type as Value>::show($low), <$type as Value>::show($high)),
                    what: $what,
                    met: $met,
                    tested: $tested,
                    counts: Counts::of(stringify!($name)),
                },)*]
            }

            /// What `other` has otherwise: each limit, its value here, and its value there.
            #[must_use]
            pub fn changes(&self, other: &Self) -> Vec<(Limit, String, String)> {
                let values = self.values().into_iter().zip(other.values());
                let all = Self::table().into_iter().zip(values);
                all.filter(|(_, (here, there))| here != there).map(|(row, (here, there))| (row, here, there)).collect()
            }

            /// The effective values, in the order of the table.
            #[must_use]
            pub fn values(&self) -> Vec<String> {
                vec![$(Value::show(self.$name),)*]
            }
        }

        /// Reads `[limits]`.
        pub(crate) fn read(t: Option<Table<'_>>, faults: &mut Faults) -> Limits {
            let mut limits = Limits::default();
            let Some(mut t) = t else { return limits };
            $(limits.$name = Value::read(&mut t, stringify!($name), ($low, $high), faults).unwrap_or(limits.$name);)*
            if limits.connections_per_address > limits.connections || limits.handshakes_per_address > limits.handshakes {
                let what = "the bound of one address is larger than the bound of all";
                faults.tell(&t.at, what, "lower `connections_per_address` or `handshakes_per_address`, or raise the other");
            }
            t.done(faults);
            limits
        }
    };
}

const KIB: u64 = 1024;

limits! {
    head_bytes: u64 = 32 * KIB, KIB, KIB * KIB, "bytes", "One request head, and one trailer section.", "431, close", "nt_12_bounds_hold_before_anyone_is_identified";
    header_count: u64 = 100, 8, 256, "fields", "The header fields of one request.", "431, close", "nt_12_bounds_hold_before_anyone_is_identified";
    target_bytes: u64 = 8 * KIB, 64, 64 * KIB, "bytes", "The request target.", "414, close", "nt_12_bounds_hold_before_anyone_is_identified";
    body_bytes: Option<u64> = None, Some(1), Some(1 << 50), "bytes", "One request body; without a line, a body may stream without an end.", "413, close", "nt_12_bounds_hold_before_anyone_is_identified";
    connections: u64 = 20_000, 1, 1_000_000, "connections", "Open client connections in all.", "close", "places_are_counted_in_all_and_by_address_and_given_back";
    connections_per_address: u64 = 1_000, 1, 1_000_000, "connections", "Open client connections of one address (one /64 in version 6); hops that are trusted are not counted.", "close", "nt_12_a_slow_head_and_too_many_connections_are_closed";
    handshakes: u64 = 1_024, 1, 100_000, "handshakes", "TLS handshakes at a time in all.", "close", "nt_12_half_open_handshakes_meet_their_bound";
    handshakes_per_address: u64 = 128, 1, 100_000, "handshakes", "TLS handshakes at a time of one address.", "close", "nt_12_half_open_handshakes_meet_their_bound";
    handshake: Duration = s(10), ms(10), s(120), "time", "A TLS handshake, and the header of the PROXY protocol before it.", "close", "nt_12_a_slow_handshake_is_closed_and_recorded";
    head_read: Duration = s(10), ms(10), s(300), "time", "A request head, from its first byte.", "408, close", "nt_12_a_slow_head_and_too_many_connections_are_closed";
    idle: Duration = s(75), ms(10), s(3_600), "time", "A connection rests between requests.", "close", "a_connection_that_rests_too_long_is_closed_but_not_one_that_is_served";
    body_idle: Duration = s(60), ms(10), s(3_600), "time", "A request body pauses.", "408, close", "a_body_that_pauses_too_long_is_a_408_and_the_connection_closes";
    h2_streams: u64 = 128, 1, 10_000, "streams", "Streams at a time on one HTTP/2 connection.", "REFUSED_STREAM", "streams_beyond_the_bound_of_an_http_2_connection_are_refused_one_by_one";
    h2_pending_resets: u64 = 20, 1, 10_000, "streams", "Streams that an HTTP/2 client resets before they were accepted.", "GOAWAY, close", "an_http_2_client_that_resets_what_it_asks_again_and_again_is_told_to_go";
    h2_error_resets: u64 = 64, 1, 10_000, "streams", "Streams that are reset for an error of the HTTP/2 client.", "GOAWAY, close", "an_http_2_client_whose_streams_are_wrong_again_and_again_is_told_to_go";
    h2_ping: Duration = s(20), ms(100), s(600), "time", "How often an HTTP/2 connection is asked whether it lives, and how long its answer takes.", "close", "an_http_2_connection_that_does_not_answer_is_closed";
    connect: Duration = s(5), ms(10), s(120), "time", "Connecting to an application.", "504", "an_application_that_takes_too_long_to_connect_is_a_504";
    first_byte: Duration = s(60), ms(10), s(3_600), "time", "An application answers after the last byte of the request.", "504", "an_upstream_that_is_slow_is_a_504";
    response_head_bytes: u64 = 64 * KIB, KIB, KIB * KIB, "bytes", "One response head.", "502", "an_answer_with_a_head_over_the_bound_is_a_502";
    response_header_count: u64 = 200, 8, 256, "fields", "The header fields of one response.", "502", "an_answer_with_too_many_fields_is_a_502";
    upstream_idle: u64 = 512, 0, 10_000, "connections", "Resting connections to one application, by thread.", "nothing", "only_so_many_connections_to_an_application_rest";
    upstream_idle_for: Duration = s(30), ms(10), s(3_600), "time", "A connection to an application rests.", "nothing", "a_connection_to_an_application_that_rested_too_long_serves_nobody";
    tunnels: u64 = 20_000, 1, 1_000_000, "tunnels", "Tunnels at a time.", "503", "a_tunnel_that_rests_too_long_ends_and_there_are_only_so_many";
    tunnel_idle: Duration = s(3_600), ms(100), s(86_400), "time", "A tunnel rests.", "close", "a_tunnel_that_rests_too_long_ends_and_there_are_only_so_many";
    announce: Duration = ms(0), ms(0), s(600), "time", "How long `/readyz` says no before the listeners close, for balancers that look at it.", "nothing", "a_server_that_stops_tells_probes_first_and_serves_meanwhile";
    drain: Duration = s(10), ms(10), s(86_400), "time", "Open exchanges end when the gateway stops.", "cut, close", "stopping_cuts_what_does_not_end";
    hand_over: Duration = s(1), ms(0), s(60), "time", "What is open goes on when a new process takes over; new connections wait meanwhile.", "cut, close", "a_new_process_takes_over_under_load_without_a_lost_request";
    lease_tick: Duration = ms(50), ms(10), s(1), "time", "How often leases are looked over at least. One ends when its time is up; so much later at most if the clock was set.", "nothing", "a_lease_ends_by_itself_when_its_time_is_up";
    cut_grace: Duration = ms(200), ms(1), s(5), "time", "A cut HTTP/1.1 exchange ends in good order.", "close", "a_cut_exchange_whose_client_does_not_read_ends_with_its_connection_after_the_grace";
    backlog: u64 = 1_024, 16, 65_535, "connections", "Connections that the system holds until they are accepted.", "no connection", "a_listener_holds_as_many_connections_as_its_backlog_says";
    ledger_queue: u64 = 8_192, 64, 1_000_000, "records", "Records that wait to be written.", "503: no record, no access", "a_full_queue_is_an_error_and_never_a_wait";
}

/// The page `docs/limits.md`, as the table says it.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for l in Limits::table() {
        let tested = if l.tested.is_empty() { "–".to_owned() } else { format!("`{}`", l.tested) };
        let counts = l.counts.words();
        let row = [l.name, l.unit, &l.default, &l.bounds.0, &l.bounds.1, l.what, l.met, &tested];
        let [name, unit, default, low, high, what, met, tested] = row;
        let _ =
            writeln!(page, "| `{name}` | {what} | {unit} | {default} | {low} – {high} | {met} | {counts} | {tested} |");
    }
    page
}

const HEAD: &str = "# Every limit, on one page

All of them hold before anyone is identified, so nobody needs an account to meet them and nobody escapes them. They are set below
`[limits]` in `safeconduct.toml`; times are written as in \"10s\", \"200ms\", \"1h\", everything else as a whole number. An unknown
key and a value out of bounds are errors at start. `safeconduct config limits` prints the values that are in effect, and
`safeconduct config limits --page` prints this page: it is the table of the program, and a test holds the two together.

A changed value is taken with the file, within a second or at once with SIGHUP, without a restart and without a lost connection. It
counts for whoever meets the limit next; the limits of HTTP/2 connections are agreed when a connection is opened and count for new ones.
Two need a start, and the log says so: `backlog`, which the system took with the listening socket, and `ledger_queue`. Nothing that is
open is closed because a limit became smaller. A process takes 1024 changes of its limits; then it says that the next needs a start.

| name | what is bounded | unit | default | bounds | what the client sees when it is met | a change counts | the test that meets it |
|---|---|---|---|---|---|---|---|
";
