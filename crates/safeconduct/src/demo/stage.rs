//! The stage: applications, company, history, server and cast, put up in this order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use safeconduct_model::{Duration, Timestamp};
use safeconduct_server::clock::Clock;
use safeconduct_server::{Running, Start, StartError, start};
use safeconduct_store::{LedgerKey, LedgerWriter, Options};

use super::START;
use super::browser::Net;
use super::cast::{Cast, PLAYERS, Scene};
use super::company;
use super::fortnight::{Simulation, Written, write};
use super::upstreams::{Applications, Trust};

/// The demo, running.
pub(crate) struct Stage {
    /// The work folder.
    pub(crate) dir: PathBuf,
    /// The applications.
    pub(crate) applications: Applications,
    /// The server.
    pub(crate) running: Running,
    /// Who acts.
    pub(crate) cast: Arc<Cast>,
    /// What was written of the past; `None` if it was there.
    pub(crate) past: Option<Written>,
    /// The zone of the company.
    pub(crate) zone: TimeZone,
}

impl Stage {
    /// Puts everything up in `dir`. Port 0 takes any free port.
    pub(crate) async fn put_up(dir: &Path, port: u16, days: u32) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let applications = Applications::start(Arc::new(Trust::new())).await?;
        let https = SocketAddr::from(([127, 0, 0, 1], port));
        company::write(&dir, https, &applications.at)?;
        let built = company::built()?;
        let zone = built.config.settings.zone.clone();
        let data = dir.join("data");
        let (past, begins) = if data.join("ledger").exists() {
            (None, opening(last_record(&data)?.max(START), &zone))
        } else {
            let simulation = Simulation::of(built, START - Duration::from_days(u64::from(days)), START);
            let folder = data.clone();
            let written = tokio::task::spawn_blocking(move || write(&simulation, &folder, u64::MAX)).await??;
            (Some(written), START)
        };
        let asked = Start { dir: dir.clone(), clock: Clock::shifted(begins), https: Some(https) };
        let running = start(asked).await.map_err(|e| match e {
            StartError::Faults(faults) => {
                anyhow::anyhow!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
            StartError::Other(error) => error,
        })?;
        let net = Net::new(&data.join("ca.pem"), running.https)?;
        let origin = running.house.origin.clone();
        let house = Arc::clone(&running.house);
        applications.trust.in_portal(&origin, net.clone(), Box::new(move || house.now()));
        let house = Arc::clone(&running.house);
        let scene = Scene { dir: &dir, net, origin, now: Arc::new(move || house.now()) };
        let cast = Arc::new(Cast::gather(scene, &PLAYERS, true).await?);
        Ok(Self { dir, applications, running, cast, past, zone })
    }

    /// Moves the clock forward to a time of this day in the company's zone, and decides again everything that is live.
    pub(crate) fn jump(&self, hour: i8, minute: i8) -> Result<Timestamp> {
        let to = on(self.cast.now(), &self.zone, 0, hour, minute)?;
        self.running.house.clock.advance(to);
        self.running.decide_again();
        Ok(to)
    }

    /// Moves the clock forward to the morning of the next working day.
    pub(crate) fn jump_to_morning(&self) -> Result<Timestamp> {
        let tomorrow = on(self.cast.now(), &self.zone, 1, 0, 0)?;
        let to = opening(tomorrow, &self.zone);
        self.running.house.clock.advance(to);
        self.running.decide_again();
        Ok(to)
    }

    /// Takes everything down.
    pub(crate) async fn take_down(self) -> Result<()> {
        self.running.stop().await?;
        self.applications.stop().await;
        Ok(())
    }
}

/// The instant that lies `days` after the day of `now`, at a time of day.
pub(crate) fn on(now: Timestamp, zone: &TimeZone, days: i64, hour: i8, minute: i8) -> Result<Timestamp> {
    let day = local(now, zone).date().checked_add(jiff::Span::new().try_days(days)?)?;
    Ok(Timestamp::from_millis(day.at(hour, minute, 0, 0).to_zoned(zone.clone())?.timestamp().as_millisecond()))
}

/// The local time at an instant.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> jiff::Zoned {
    let at = jiff::Timestamp::from_millisecond(at.millis()).expect("a model timestamp lies between 1970 and 9999");
    at.to_zoned(zone.clone())
}

/// The first instant from `at` on that lies well within business hours.
fn opening(at: Timestamp, zone: &TimeZone) -> Timestamp {
    let mut day = 0;
    loop {
        let morning = on(at, zone, day, 9, 30).unwrap_or(at);
        let evening = on(at, zone, day, 17, 0).unwrap_or(at);
        let weekend = matches!(local(morning, zone).weekday(), Weekday::Saturday | Weekday::Sunday);
        if !weekend && at < evening {
            return at.max(morning);
        }
        day += 1;
        if day > 7 {
            return at;
        }
    }
}

fn last_record(data: &Path) -> Result<Timestamp> {
    let key = LedgerKey::load_or_create(&data.join("keys/ledger.key"))?;
    let writer = LedgerWriter::open(&data.join("ledger"), &key, Timestamp::MAX, Options::default())?;
    let last = writer.last_at();
    writer.close();
    Ok(last + Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_start_opens_in_business_hours() {
        let zone = TimeZone::get("Europe/Berlin").expect("bundled");
        let shown = |at| local(opening(at, &zone), &zone).strftime("%a %H:%M").to_string();
        assert_eq!(shown(START), "Wed 14:02");
        assert_eq!(shown(on(START, &zone, 0, 18, 1).expect("a time")), "Thu 09:30");
        assert_eq!(shown(on(START, &zone, 2, 17, 0).expect("a time")), "Mon 09:30");
        assert_eq!(shown(on(START, &zone, 1, 5, 0).expect("a time")), "Thu 09:30");
    }

    #[test]
    fn the_demo_starts_on_a_wednesday_at_two_minutes_past_two() {
        let zone = TimeZone::get("Europe/Berlin").expect("bundled");
        assert_eq!(local(START, &zone).strftime("%A %F %H:%M").to_string(), "Wednesday 2026-09-30 14:02");
    }
}
