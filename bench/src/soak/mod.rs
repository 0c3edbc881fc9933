//! `soak IDS`: the clients of the soak. Like `hold` it is told what to do line by line, as JSON, and answers each line with one;
//! the id of every answered request goes to a file. It ends when its input ends.
//!
//! | file | idea |
//! |---|---|
//! | `expect` | what may be answered, and when |
//! | `tally` | what came, held against it |
//! | `ask` | steady requests |
//! | `live` | connections that live |
//! | `tunnel` | TCP through the gateway |
//! | `slow` | slow clients, half-open handshakes |
//! | `talk` | HTTP/1.1 as bytes |

mod ask;
mod expect;
mod live;
mod slow;
mod talk;
mod tally;
mod tunnel;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinHandle;

use crate::hold::group::{Order, Place};
use crate::hold::kinds::Kind;
use ask::Asker;
use expect::Expect;
use live::Slot;
use slow::{Half, Slow};
use tally::Tally;
use tunnel::Tunnel;

/// What it can be told.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    /// Somebody may expect something from now on.
    Expect { who: String, is: Expect },
    /// Ask again and again.
    Ask { upstream: String, http: u8, every_ms: u64, order: Order },
    /// Keep these open.
    Live { order: Order },
    /// Be slow.
    Slow { upstream: String, limit_ms: u64, order: Order },
    /// Begin handshakes.
    HalfOpen { at: SocketAddr, from: Vec<IpAddr>, limit_ms: u64, count: usize, over_ms: u64 },
    /// Use tunnels that begin at a port of this machine.
    Tunnel { who: String, upstream: String, at: SocketAddr, every_ms: u64, count: usize },
    /// Whoever is named ends at once.
    Stop { who: Vec<String> },
    /// Tell what came so far.
    Tell {},
}

/// Listens and answers until there is nothing more to hear.
pub(crate) async fn run(ids: &Path, mut say: impl FnMut(String)) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut crowd = Crowd { tally: Tally::new(ids)?, tasks: BTreeMap::new() };
    while let Some(line) = lines.next_line().await? {
        let told = serde_json::from_str(&line).with_context(|| format!("not understood: {line}"))?;
        say(crowd.hear(told)?.to_string());
    }
    Ok(())
}

/// Everybody, by name.
struct Crowd {
    tally: Tally,
    tasks: BTreeMap<String, Vec<JoinHandle<()>>>,
}

impl Crowd {
    fn hear(&mut self, told: Told) -> Result<Value> {
        match told {
            Told::Expect { who, is } => self.tally.expect(&who, is),
            Told::Ask { upstream, http, every_ms, order } => {
                let place = Arc::new(Place::of(&order, http)?);
                for number in 0..order.count {
                    let asker = Asker {
                        who: order.name.as_str().into(),
                        name: upstream.as_str().into(),
                        place: Arc::clone(&place),
                        every: Duration::from_millis(every_ms),
                        number,
                        tally: self.tally.clone(),
                    };
                    let streams = order.streams;
                    self.add(&order.name, async move {
                        if http == 2 { asker.two(streams).await } else { asker.one().await }
                    });
                }
            }
            Told::Live { order } => {
                ensure!(order.kind != Kind::Tunnel, "a tunnel is told of as one");
                let place = Arc::new(Place::of(&order, order.kind.http())?);
                for number in 0..order.count {
                    let slot = Slot {
                        who: order.name.as_str().into(),
                        kind: order.kind,
                        place: Arc::clone(&place),
                        number,
                        tally: self.tally.clone(),
                    };
                    self.add(&order.name, slot.keep());
                }
            }
            Told::Slow { upstream, limit_ms, order } => {
                let place = Arc::new(Place::of(&order, 1)?);
                for number in 0..order.count {
                    let slow = Slow {
                        who: order.name.as_str().into(),
                        name: upstream.as_str().into(),
                        place: Arc::clone(&place),
                        number,
                        limit: Duration::from_millis(limit_ms),
                        tally: self.tally.clone(),
                    };
                    self.add(&order.name, slow.clone().heads());
                    self.add(&order.name, slow.bodies());
                }
            }
            Told::HalfOpen { at, from, limit_ms, count, over_ms } => {
                let half = Half { at, from, limit: Duration::from_millis(limit_ms), tally: self.tally.clone() };
                self.add("half-open", half.pile(count, Duration::from_millis(over_ms)));
            }
            Told::Tunnel { who, upstream, at, every_ms, count } => {
                for number in 0..count {
                    let tunnel = Tunnel {
                        who: who.as_str().into(),
                        name: upstream.as_str().into(),
                        at,
                        every: Duration::from_millis(every_ms),
                        number,
                        tally: self.tally.clone(),
                    };
                    self.add(&who, tunnel.keep());
                }
            }
            Told::Stop { who } => {
                for task in who.iter().filter_map(|name| self.tasks.remove(name)).flatten() {
                    task.abort();
                }
            }
            Told::Tell {} => return self.tally.tell(),
        }
        Ok(json!({}))
    }

    fn add(&mut self, who: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.entry(who.to_owned()).or_default().push(tokio::spawn(task));
    }
}
