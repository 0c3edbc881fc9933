//! The flow map: people, devices, the gateway, applications, data. Each use is one thread through the columns; a denied one
//! ends at the gateway.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::order;
use crate::parts::{url, words};
use crate::view::{Flow, Link, Map, Via};

/// Above so many nodes a drawing is no longer read; the matrix takes over.
pub(crate) const MAX_NODES: usize = 60;

const WIDTH: f64 = 1200.0;
const TOP: f64 = 44.0;
const GAP: f64 = 14.0;
const BOX: f64 = 176.0;
const WHO_X: f64 = 0.0;
const VIA_X: f64 = 268.0;
const GATE_X: f64 = 566.0;
const GATE_W: f64 = 28.0;
const APP_X: f64 = 732.0;
const DATA_X: f64 = 1024.0;

/// What becomes of a thread at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Allowed,
    WouldDeny,
    Denied,
}

impl State {
    pub(crate) const ALL: [Self; 3] = [Self::Allowed, Self::WouldDeny, Self::Denied];

    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::WouldDeny => "would",
            Self::Denied => "denied",
        }
    }
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::WouldDeny => "would be denied",
            Self::Denied => "denied",
        }
    }
    pub(crate) const fn count(self, flow: &Flow) -> u64 {
        match self {
            Self::Allowed => flow.allowed,
            Self::WouldDeny => flow.would_deny,
            Self::Denied => flow.denied,
        }
    }
}

/// One use: who, from what, to where, with which answer.
#[derive(Debug)]
struct Thread<'a> {
    who: &'a str,
    via: Via,
    app: &'a str,
    state: State,
    count: u64,
    new: bool,
    label: String,
}

/// How many nodes the map has.
pub(crate) fn nodes(map: &Map) -> usize {
    let whos: std::collections::BTreeSet<_> = map.flows.iter().map(|f| &f.who.key).collect();
    let data: std::collections::BTreeSet<_> = map.apps.iter().flat_map(|a| &a.assets).map(|a| &a.id).collect();
    let vias: std::collections::BTreeSet<_> = map.flows.iter().map(|f| f.via).collect();
    whos.len() + vias.len() + map.apps.len() + data.len() + 1
}

/// What makes a thread: who, from what, to where, with which answer.
type Use<'a> = (&'a str, Via, &'a str, State);

fn threads(map: &Map) -> Vec<Thread<'_>> {
    let name_of = |id: &str| map.apps.iter().find(|a| a.id.as_str() == id).map_or(id, |a| a.name.as_str()).to_owned();
    let mut all: BTreeMap<Use<'_>, (u64, bool, &str)> = BTreeMap::new();
    for flow in &map.flows {
        for state in State::ALL {
            let n = state.count(flow);
            if n > 0 {
                let slot = all.entry((&flow.who.key, flow.via, flow.app.as_str(), state)).or_insert((
                    0,
                    true,
                    &flow.who.name.text,
                ));
                slot.0 += n;
                // A thread is new only if every use in it is.
                slot.1 &= flow.new;
            }
        }
    }
    all.into_iter()
        .map(|((who, via, app, state), (count, new, name))| Thread {
            who,
            via,
            app,
            state,
            count,
            new,
            label: format!(
                "{name} to {}, from {}: {} {}{}",
                name_of(app),
                via.words(),
                words::plural(count, "request", "requests"),
                state.words(),
                if new { ", not seen before" } else { "" }
            ),
        })
        .collect()
}

struct Column {
    tops: BTreeMap<String, (f64, f64)>,
    height: f64,
}

impl Column {
    /// Places nodes from the top, each as high as its threads need.
    fn stack(keys: &[&str], need: impl Fn(&str) -> usize) -> Self {
        let mut y = 0.0;
        let mut tops = BTreeMap::new();
        for key in keys {
            #[expect(clippy::cast_precision_loss, reason = "at most some hundred threads")]
            let h = (14.0 + need(key) as f64 * 5.0).clamp(32.0, 140.0);
            tops.insert((*key).to_owned(), (y, h));
            y += h + GAP;
        }
        Self { tops, height: (y - GAP).max(0.0) }
    }
    fn centred(mut self, total: f64) -> Self {
        let shift = TOP + (total - self.height) / 2.0;
        for (y, _) in self.tops.values_mut() {
            *y += shift;
        }
        self
    }
    fn port(&self, key: &str, i: usize, of: usize) -> f64 {
        let (y, h) = self.tops.get(key).copied().unwrap_or((TOP, 32.0));
        #[expect(clippy::cast_precision_loss, reason = "at most some hundred threads")]
        let step = ((h - 12.0) / of.max(1) as f64).min(7.0);
        #[expect(clippy::cast_precision_loss, reason = "at most some hundred threads")]
        let offset = (i as f64 - (of.max(1) - 1) as f64 / 2.0) * step;
        y + h / 2.0 + offset
    }
}

const fn via_key(via: Via) -> &'static str {
    match via {
        Via::Compliant => "0",
        Via::Failing => "1",
        Via::Unmanaged => "2",
        Via::Unknown => "3",
    }
}

/// The drawing.
pub(crate) fn draw(map: &Map) -> Markup {
    let threads = threads(map);
    let order = Order::of(map, &threads);
    let uses = |f: &dyn Fn(&Thread<'_>) -> bool| threads.iter().filter(|t| f(t)).count();
    let who = Column::stack(&order.who, |k| uses(&|t| t.who == k));
    let via = Column::stack(&order.via, |k| uses(&|t| via_key(t.via) == k));
    let app = Column::stack(&order.app, |k| uses(&|t| t.app == k && t.state != State::Denied));
    let data = Column::stack(&order.data, |_| 1);
    let total = [who.height, via.height, app.height, data.height, 240.0].into_iter().fold(0.0, f64::max);
    let (who, via, app, data) = (who.centred(total), via.centred(total), app.centred(total), data.centred(total));
    let height = TOP + total + 16.0;
    html! {
        svg.map viewBox=(format!("0 0 {WIDTH} {height:.0}")) role="img" aria-labelledby="map-title map-desc" {
            title #map-title { "Who uses what" }
            desc #map-desc { (description(map, &threads)) }
            @for (x, name) in [(WHO_X, "People and groups"), (VIA_X, "Devices"), (APP_X, "Applications"), (DATA_X, "Data and assets")] {
                text.column x=(format!("{x:.0}")) y="20" { (name) }
            }
            text.column x=(format!("{:.0}", GATE_X + GATE_W / 2.0)) y="20" text-anchor="middle" { "Gateway" }
            g.threads { (thread_paths(&threads, &order, (&who, &via, &app), total)) }
            g.threads { (data_paths(map, &app, &data)) }
            rect.gate x=(GATE_X) y=(format!("{TOP:.0}")) width=(GATE_W) height=(format!("{total:.0}")) rx="8" {}
            (stops(&threads, &order, total))
            (boxes(map, &order, [&who, &via, &app, &data]))
        }
    }
}

struct Order<'a> {
    who: Vec<&'a str>,
    via: Vec<&'static str>,
    app: Vec<&'a str>,
    data: Vec<&'a str>,
    /// The threads in the order in which they cross the gateway.
    crossing: Vec<usize>,
}

impl<'a> Order<'a> {
    fn of(map: &'a Map, threads: &[Thread<'a>]) -> Self {
        let mut whos: Vec<&str> = map.flows.iter().map(|f| f.who.key.as_str()).collect();
        whos.sort_unstable();
        whos.dedup();
        let apps: Vec<&str> = map.apps.iter().map(|a| a.id.as_str()).collect();
        #[expect(clippy::cast_precision_loss, reason = "a weight needs no more than 52 bits")]
        let lines: Vec<_> = threads.iter().map(|t| (t.who, t.app, 1.0 + (t.count as f64).ln())).collect();
        let (who, app) = order::barycentre(whos, apps, &lines);
        let mut data: Vec<&str> = Vec::new();
        for id in &app {
            for asset in map.apps.iter().filter(|a| a.id.as_str() == *id).flat_map(|a| &a.assets) {
                if !data.contains(&asset.id.as_str()) {
                    data.push(asset.id.as_str());
                }
            }
        }
        let via = Via::ALL.into_iter().filter(|v| threads.iter().any(|t| t.via == *v)).map(via_key).collect();
        let mut crossing: Vec<usize> = (0..threads.len()).collect();
        let place = |all: &[&str], k: &str| all.iter().position(|x| *x == k).unwrap_or(usize::MAX);
        crossing.sort_by_key(|i| {
            let t = &threads[*i];
            (t.via, place(&app, t.app), place(&who, t.who), t.state)
        });
        Self { who, via, app, data, crossing }
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most some hundred threads")]
fn gate_y(place: usize, of: usize, total: f64) -> f64 {
    TOP + total * (place as f64 + 0.5) / of.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a width needs no more than 52 bits")]
fn width(count: u64) -> f64 {
    1.3 + (count.max(1) as f64).log10() * 0.9
}

fn curve(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    let mid = f64::midpoint(x1, x2);
    format!("C{mid:.1} {y1:.1} {mid:.1} {y2:.1} {x2:.1} {y2:.1}")
}

fn thread_paths(
    threads: &[Thread<'_>],
    order: &Order<'_>,
    (who, via, app): (&Column, &Column, &Column),
    total: f64,
) -> Markup {
    let of = threads.len();
    let rank = |i: usize, same: &dyn Fn(&Thread<'_>) -> bool| {
        let all: Vec<usize> = order.crossing.iter().copied().filter(|j| same(&threads[*j])).collect();
        (all.iter().position(|j| *j == i).unwrap_or(0), all.len())
    };
    html! {
        @for (place, i) in order.crossing.iter().copied().enumerate() {
            @let t = &threads[i];
            @let (wi, wn) = rank(i, &|o| o.who == t.who);
            @let (vi, vn) = rank(i, &|o| o.via == t.via);
            @let (ai, an) = rank(i, &|o| o.app == t.app && o.state != State::Denied);
            @let (y0, y1, y2, y3) = (who.port(t.who, wi, wn), via.port(via_key(t.via), vi, vn), gate_y(place, of, total), app.port(t.app, ai, an));
            @let start = format!("M{:.1} {y0:.1}{}", WHO_X + BOX, curve(WHO_X + BOX, y0, VIA_X, y1));
            @let onward = format!("M{:.1} {y1:.1}{}", VIA_X + BOX, curve(VIA_X + BOX, y1, GATE_X, y2));
            @let end = if t.state == State::Denied { String::new() } else { format!("H{:.1}{}", GATE_X + GATE_W, curve(GATE_X + GATE_W, y2, APP_X, y3)) };
            path class=(format!("thread {}{}", t.state.class(), if t.new { " new" } else { "" })) d=(format!("{start}{onward}{end}")) fill="none" stroke-width=(format!("{:.1}", width(t.count))) {
                title { (t.label) }
            }
        }
    }
}

/// Where a denied thread ends.
fn stops(threads: &[Thread<'_>], order: &Order<'_>, total: f64) -> Markup {
    html! {
        @for (place, i) in order.crossing.iter().copied().enumerate() {
            @let t = &threads[i];
            @if t.state == State::Denied {
                @let y = gate_y(place, threads.len(), total);
                path.stop d=(format!("M{:.1} {:.1}l7 7m0 -7l-7 7", GATE_X + 4.0, y - 3.5)) fill="none" { title { (t.label) } }
            }
        }
    }
}

fn data_paths(map: &Map, app: &Column, data: &Column) -> Markup {
    html! {
        @for a in &map.apps {
            @for asset in &a.assets {
                @let (y1, y2) = (app.port(a.id.as_str(), 0, 1), data.port(asset.id.as_str(), 0, 1));
                path.thread.holds d=(format!("M{:.1} {y1:.1}{}", APP_X + BOX, curve(APP_X + BOX, y1, DATA_X, y2))) fill="none" stroke-width="1.5" {
                    title { (a.name) " holds or reaches " (asset.name) }
                }
            }
        }
    }
}

fn boxes(map: &Map, order: &Order<'_>, [who, via, app, data]: [&Column; 4]) -> Markup {
    let asker = |k: &str| map.flows.iter().find(|f| f.who.key == k).map(|f| &f.who);
    let asset = |k: &str| map.apps.iter().flat_map(|a| &a.assets).find(|a| a.id.as_str() == k);
    html! {
        @for key in &order.who { @if let Some(w) = asker(key) { (node(who, key, WHO_X, if w.group { "group" } else { "person" }, &w.name, "")) } }
        @for v in Via::ALL { @if order.via.contains(&via_key(v)) { (node(via, via_key(v), VIA_X, if v == Via::Compliant { "via" } else { "via doubtful" }, &Link::to(words::capital(v.words()), "/console/devices"), "")) } }
        @for key in &order.app { @if let Some(a) = map.apps.iter().find(|a| a.id.as_str() == *key) {
            (node(app, key, APP_X, a.mode.name(), &Link::app(&a.id, a.name.clone()), a.mode.name()))
        } }
        @for key in &order.data { @if let Some(a) = asset(key) {
            (node(data, key, DATA_X, "asset", &Link::asset(&a.id, a.name.clone()), a.class.name()))
        } }
    }
}

fn node(column: &Column, key: &str, x: f64, class: &str, name: &Link, note: &str) -> Markup {
    let (y, h) = column.tops.get(key).copied().unwrap_or((TOP, 32.0));
    let inner = html! {
        rect x=(format!("{x:.0}")) y=(format!("{y:.1}")) width=(BOX) height=(format!("{h:.1}")) rx="6" {}
        text x=(format!("{:.0}", x + 12.0)) y=(format!("{:.1}", y + h / 2.0 + 4.5)) { (short(&name.text, room(note))) }
        @if !note.is_empty() { text.note x=(format!("{:.0}", x + BOX - 10.0)) y=(format!("{:.1}", y + h / 2.0 + 4.0)) text-anchor="end" { (note) } }
        title { (name.text) @if !note.is_empty() { ", " (note) } }
    };
    html! {
        @match name.href.as_deref().filter(|h| url::is_plain(h)) {
            Some(href) => a class=(format!("node {class}")) href=(href) { (inner) },
            None => g class=(format!("node {class}")) { (inner) },
        }
    }
}

/// How many characters of a name fit into a box beside its note.
fn room(note: &str) -> usize {
    22_usize.saturating_sub(note.chars().count().saturating_sub(1)).max(8)
}

/// A text cut to a number of characters.
pub(crate) fn short(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars { text.to_owned() } else { text.chars().take(chars - 1).chain(['…']).collect() }
}

fn description(map: &Map, threads: &[Thread<'_>]) -> String {
    let sum = |s| words::count(threads.iter().filter(|t| t.state == s).map(|t| t.count).sum());
    format!(
        "{} applications; {} requests allowed, {} would be denied, {} denied. The table below holds the same data.",
        map.apps.len(),
        sum(State::Allowed),
        sum(State::WouldDeny),
        sum(State::Denied)
    )
}
