//! One thread that keeps many connections busy: as fast as answers come (closed), or by a schedule that does not wait for
//! them (open). In the open loop a latency counts from the instant at which the request should have been sent, so that an
//! answer that holds up others makes them late too, as it does for users.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::calm::Sample;
use super::histogram::Histogram;
use super::http1::Http1;
use super::http2::Http2;
use super::line::{Got, Line};
use super::stalls::monotonic;

/// Larger than what one read from the network can decrypt to.
const BUFFER: usize = 256 * 1024;
/// So many errors are enough to give up.
const MAX_ERRORS: usize = 20;
/// The schedule of the open loop counts in steps of 250 µs: what falls into one goes out at its begin, as one burst. To wake up
/// for each request would take as much of the core as the requests do.
const TICK: u64 = 250_000;
/// Room that is made for answers of the open loop before it begins, at most.
const ROOM: usize = 4_000_000;
/// Nothing happens for so long at most.
const LOOK: Duration = Duration::from_millis(50);

/// What a connection speaks.
pub(crate) enum Talk {
    /// One request at a time, these bytes.
    One(Http1, std::rc::Rc<Vec<u8>>),
    /// Several at a time.
    Two(Box<Http2>),
}

/// A connection with its places; a place has at most one request under way, since an instant.
pub(crate) struct Connection {
    pub line: Line,
    pub talk: Talk,
    pub since: Vec<u64>,
    pub out: Vec<u8>,
    /// Whether the system is asked to tell when it takes more.
    pub waits: bool,
}

/// How the load comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Requests a second; nothing sends the next when an answer came.
    pub rate: Option<f64>,
    pub warm: Duration,
    pub window: Duration,
}

/// What was seen in the window.
pub(crate) struct Seen {
    pub latencies: Histogram,
    pub seconds: f64,
    /// Requests whose instant had come and that were not answered at the end: of the open loop, counted with the time that
    /// they have waited.
    pub left: u64,
    /// Begin and end of the window, in nanoseconds of the monotonic clock.
    pub window: (u64, u64),
    /// Of the open loop: everything that is in the histogram, one by one.
    pub samples: Vec<Sample>,
    pub errors: Vec<String>,
}

/// The loop and what it holds.
pub(crate) struct Driver {
    epoll: OwnedFd,
    all: Vec<Connection>,
    free: VecDeque<(usize, usize)>,
    began: Instant,
    seen: Histogram,
    samples: Vec<Sample>,
    counting: bool,
    errors: Vec<String>,
    closed: bool,
}

impl Driver {
    pub(crate) fn new(all: Vec<Connection>, closed: bool) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?;
        let mut free = VecDeque::new();
        for (at, connection) in all.iter().enumerate() {
            epoll::add(&epoll, connection.line.stream(), EventData::new_u64(at as u64), EventFlags::IN)?;
            free.extend((0..connection.since.len()).map(|place| (at, place)));
        }
        // A timer may otherwise come 50 µs late, which is as long as an answer takes.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        Ok(Self {
            epoll,
            all,
            free,
            began: Instant::now(),
            seen: Histogram::new(),
            samples: Vec::new(),
            counting: false,
            errors: Vec::new(),
            closed,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs. `mark` is called when the window begins and when it ends.
    pub(crate) fn run(mut self, plan: Plan, mut mark: impl FnMut()) -> Result<Seen> {
        let (warm, end) = (nanos(plan.warm), nanos(plan.warm + plan.window));
        let gap = plan.rate.map(|rate| 1e9 / rate.max(1.0));
        let mut buffer = vec![0; BUFFER];
        let mut events = Vec::with_capacity(256);
        let (mut sent, mut start) = (0u64, 0);
        if let Some(rate) = plan.rate {
            self.samples.reserve_exact(room(rate, plan));
        }
        self.began = Instant::now();
        // The same instant on the clock that the watchers read.
        let origin = monotonic();
        if gap.is_none() {
            while let Some((at, place)) = self.free.pop_front() {
                self.ask(at, place, 0)?;
            }
            self.send_all();
        }
        loop {
            let now = self.now();
            if !self.counting && now >= warm {
                mark();
                start = self.now();
                (self.counting, self.seen) = (true, Histogram::new());
            }
            if now >= end || self.errors.len() >= MAX_ERRORS {
                break;
            }
            let mut patience = LOOK;
            if let Some(gap) = gap {
                loop {
                    let due = due(sent, gap);
                    if due > now {
                        patience = patience.min(Duration::from_nanos(due - now));
                        break;
                    }
                    let Some((at, place)) = self.free.pop_front() else { break };
                    self.ask(at, place, due)?;
                    sent += 1;
                    self.send(at);
                }
            }
            let patience = rustix::time::Timespec::try_from(patience).context("a short time")?;
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll failed"),
            }
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                let at = usize::try_from(data.u64()).unwrap_or(usize::MAX);
                if flags.contains(EventFlags::OUT) {
                    self.send(at);
                }
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    self.read(at, &mut buffer);
                }
            }
        }
        let ended = self.now();
        mark();
        let mut left = 0;
        if let Some(gap) = gap {
            let under_way = self.all.iter().flat_map(|c| c.since.iter().copied()).filter(|since| *since != FREE);
            let unsent = (sent..).map(|n| due(n, gap)).take_while(|due| *due < ended);
            let waiting: Vec<u64> = under_way.chain(unsent).collect();
            left = waiting.len() as u64;
            for due in waiting {
                let latency = ended.saturating_sub(due);
                self.seen.add(latency);
                self.samples.push(Sample { due, latency });
            }
        }
        self.samples.iter_mut().for_each(|sample| sample.due += origin);
        let seconds = ended.saturating_sub(start) as f64 / 1e9;
        let window = (origin + start, origin + ended);
        Ok(Seen { latencies: self.seen, seconds, left, window, samples: self.samples, errors: self.errors })
    }

    fn ask(&mut self, at: usize, place: usize, since: u64) -> Result<()> {
        let connection = self.all.get_mut(at).context("there is such a connection")?;
        connection.since[place] = since;
        match &mut connection.talk {
            Talk::One(_, request) => connection.out.extend_from_slice(request),
            Talk::Two(talk) => talk.ask(place, &mut connection.out),
        }
        Ok(())
    }

    fn send_all(&mut self) {
        (0..self.all.len()).for_each(|at| self.send(at));
    }

    fn send(&mut self, at: usize) {
        let Some(connection) = self.all.get_mut(at) else { return };
        let sent =
            if connection.out.is_empty() { connection.line.flush() } else { connection.line.send(&connection.out) };
        connection.out.clear();
        match sent {
            Ok(waits) if waits != connection.waits => {
                connection.waits = waits;
                let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
                let stream = connection.line.stream();
                if let Err(error) = epoll::modify(&self.epoll, stream, EventData::new_u64(at as u64), flags) {
                    self.fault(at, error.to_string());
                }
            }
            Ok(_) => {}
            Err(error) => self.fault(at, format!("sending: {error}")),
        }
    }

    fn read(&mut self, at: usize, buffer: &mut [u8]) {
        loop {
            let Some(connection) = self.all.get_mut(at) else { return };
            let got = connection.line.read(buffer);
            let n = match got {
                Ok(Got::Some(n)) => n,
                Ok(Got::Nothing) => break,
                Ok(Got::End) => return self.fault(at, "the connection was closed".to_owned()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.fault(at, format!("reading: {error}")),
            };
            if let Err(words) = self.take(at, &buffer[..n]) {
                return self.fault(at, words);
            }
            if n < buffer.len() {
                break;
            }
        }
        self.send(at);
    }

    fn take(&mut self, at: usize, bytes: &[u8]) -> Result<(), String> {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Some(connection) = self.all.get_mut(at) else { return Ok(()) };
        let Connection { talk, since, out, .. } = connection;
        let (seen, samples, counting) = (&mut self.seen, &mut self.samples, self.counting);
        let mut end = |place: usize| {
            if counting {
                let latency = now.saturating_sub(since[place]);
                seen.add(latency);
                if !self.closed {
                    samples.push(Sample { due: since[place], latency });
                }
            }
            since[place] = if self.closed { now } else { FREE };
        };
        match talk {
            Talk::One(talk, request) => match talk.take(bytes)? {
                0 => {}
                1 => {
                    end(0);
                    if self.closed {
                        out.extend_from_slice(request);
                    } else {
                        self.free.push_back((at, 0));
                    }
                }
                n => return Err(format!("{n} answers to one request")),
            },
            Talk::Two(talk) => {
                let mut ended = Vec::new();
                talk.take(bytes, out, |place| ended.push(place))?;
                for place in ended {
                    end(place);
                    if self.closed {
                        talk.ask(place, out);
                    } else {
                        self.free.push_back((at, place));
                    }
                }
            }
        }
        Ok(())
    }

    /// A connection is given up. What it was asked for is never answered, which makes the whole case invalid.
    fn fault(&mut self, at: usize, words: String) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(words);
        }
        if let Some(connection) = self.all.get(at) {
            let _ = epoll::delete(&self.epoll, connection.line.stream());
        }
        self.free.retain(|(other, _)| *other != at);
    }
}

/// A place without a request.
pub(crate) const FREE: u64 = u64::MAX;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// As many as can be due in all, so that nothing is moved while the load runs.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is too much is cut off")]
fn room(rate: f64, plan: Plan) -> usize {
    ((rate * (plan.warm + plan.window).as_secs_f64()) as usize).saturating_add(1).min(ROOM)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a run of seconds is far below 2^52 ns")]
fn due(n: u64, gap: f64) -> u64 {
    (n as f64 * gap) as u64 / TICK * TICK
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::rc::Rc;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const WARM: Duration = Duration::from_millis(50);
    const WINDOW: Duration = Duration::from_millis(500);

    /// Answers on one connection; the answer of this number is late.
    fn server(late: usize, by: Duration, answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let at = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut heard = [0; 4_096];
            for number in 0.. {
                match stream.read(&mut heard) {
                    Ok(1..) => {}
                    _ => return,
                }
                if number == late {
                    std::thread::sleep(by);
                }
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
        at
    }

    fn seen(at: SocketAddr, rate: Option<f64>) -> Seen {
        let line = Line::open(at, None, None).expect("connected");
        let talk = Talk::One(Http1::new(2), Rc::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()));
        let since = vec![if rate.is_none() { 0 } else { FREE }];
        let connection = Connection { line, talk, since, out: Vec::new(), waits: false };
        let driver = Driver::new(vec![connection], rate.is_none()).expect("epoll");
        driver.run(Plan { rate, warm: WARM, window: WINDOW }, || {}).expect("run")
    }

    #[test]
    fn a_stall_makes_late_what_it_held_up() {
        // A hundred requests a second; the twentieth is answered a fifth of a second late, and holds up those behind it.
        let at = server(20, Duration::from_millis(200), ANSWER);
        let seen = seen(at, Some(100.0));
        assert_eq!(seen.errors, Vec::<String>::new());
        let late = |ms: u64| {
            let counts = seen.latencies.sparse().0;
            let all: u64 = counts.iter().map(|(_, n)| n).sum();
            let within = (0..=1_000).rev().find(|p| seen.latencies.at(*p) < ms * 1_000_000).unwrap_or(0);
            all - all * within / 1_000
        };
        assert!(seen.latencies.max() >= 190_000_000, "{}", seen.latencies.max());
        assert!(late(90) >= 8, "only {} were late, so what was held up was not counted", late(90));
    }

    #[test]
    fn every_answer_of_the_open_loop_is_kept_with_the_instant_it_was_due() {
        let before = monotonic();
        // The last ones are not answered any more.
        let seen = seen(server(40, Duration::from_millis(400), ANSWER), Some(100.0));
        let after = monotonic();
        assert!(seen.left > 5 && seen.samples.len() as u64 == seen.latencies.total(), "{}", seen.samples.len());
        let (begin, end) = seen.window;
        assert!(before < begin && end < after && end - begin > 400_000_000, "{begin} {end}");
        let mut again = Histogram::new();
        seen.samples.iter().for_each(|s| again.add(s.latency));
        assert_eq!(again.sparse(), seen.latencies.sparse());
        // Each was answered in the window, or not at all until its end; and it was due by the schedule.
        assert!(seen.samples.iter().all(|s| (begin..=end).contains(&(s.due + s.latency))));
        let mut dues: Vec<u64> = seen.samples.iter().map(|s| s.due).collect();
        dues.sort_unstable();
        assert!(dues.windows(2).all(|two| two[1] - two[0] == 10_000_000), "{dues:?}");
    }

    #[test]
    fn the_closed_loop_asks_again_at_once() {
        let seen = seen(server(usize::MAX, WARM, ANSWER), None);
        assert_eq!((seen.errors, seen.left, seen.samples), (Vec::new(), 0, Vec::new()));
        assert!(seen.latencies.total() > 100 && seen.seconds > 0.4, "{} answers", seen.latencies.total());
    }

    #[test]
    fn a_wrong_answer_is_told() {
        let seen = seen(server(usize::MAX, WARM, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"), None);
        assert!(seen.errors[0].starts_with("the answer HTTP/1.1 403"), "{:?}", seen.errors);
    }
}
