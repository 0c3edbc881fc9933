//! What happens to it meanwhile. Clients are told beforehand what they may see, and afterwards what they may not see any more.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::company::{self, App};
use super::stage::Stage;
use crate::bench::cut::triggers::{local, session_of};

/// How long something stays away.
const AWAY: Duration = Duration::from_millis(2_500);
/// How far the clock steps: further than is put down to a time server. And when the right time has caught up with it.
const STEP_MS: i64 = 4_000;
const CAUGHT_UP: Duration = Duration::from_millis(3_000);
/// After this a change must be in force everywhere. Files are looked at once a second without a signal.
const BOUND: Duration = Duration::from_millis(1_000);
const NOTICED: Duration = Duration::from_millis(2_500);

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    UpstreamDies,
    PolicyEdited,
    SessionEnds,
    ConnectorDies,
    LeavesGroup,
    BrokenFile,
    ClockSteps,
}

impl Happening {
    pub(crate) const ALL: [Self; 7] = [
        Self::UpstreamDies,
        Self::PolicyEdited,
        Self::SessionEnds,
        Self::ConnectorDies,
        Self::LeavesGroup,
        Self::BrokenFile,
        Self::ClockSteps,
    ];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UpstreamDies => "an upstream is killed and returns",
            Self::PolicyEdited => "policies are edited and reloaded",
            Self::SessionEnds => "a session is ended, and its person signs in again",
            Self::ConnectorDies => "the connector is killed and returns",
            Self::LeavesGroup => "a person leaves the group and returns",
            Self::BrokenFile => "a broken file appears and goes",
            Self::ClockSteps => "the clock steps forward, and back",
        }
    }

    /// Makes it happen, and undoes it.
    pub(crate) fn happen(self, stage: &Stage, number: u32) -> Result<()> {
        let folder = &stage.server.folder;
        // In turn with a signal, and without: then the change is found.
        let reload = || {
            if number.is_multiple_of(2) {
                stage.server.running.signal("HUP")?;
                sleep(BOUND);
            } else {
                sleep(NOTICED);
            }
            anyhow::Ok(())
        };
        match self {
            Self::UpstreamDies => {
                stage.expect("mortal", "down")?;
                stage.upstream_dies(App::Mortal)?;
                sleep(AWAY);
                stage.upstream_returns(App::Mortal)?;
                sleep(BOUND);
                stage.expect("mortal", "served")
            }
            Self::ConnectorDies => {
                stage.expect("far", "down")?;
                stage.connector_dies()?;
                sleep(AWAY);
                stage.connector_returns()?;
                sleep(BOUND);
                stage.expect("far", "served")
            }
            Self::PolicyEdited => {
                company::policy(folder, number + 1)?;
                reload()
            }
            Self::LeavesGroup => {
                stage.expect("flip", "either")?;
                company::flip(folder, false)?;
                reload()?;
                stage.expect("flip", "refused")?;
                sleep(AWAY);
                stage.expect("flip", "either")?;
                company::flip(folder, true)?;
                reload()?;
                stage.expect("flip", "served")
            }
            Self::SessionEnds => {
                let session = session_of(&stage.server, "leaver")?;
                stage.expect("leaver", "either")?;
                local(&stage.server, "POST", &format!("/api/v1/sessions/{session}/cut"))?;
                sleep(BOUND);
                stage.expect("leaver", "refused")?;
                sleep(AWAY);
                stage.stop(&["leaver"])?;
                let _browser = stage.arrives("leaver", &[App::Steady])?;
                stage.expect("leaver", "served")?;
                stage.begin_part("leaver")
            }
            Self::ClockSteps => {
                // Forward nothing ends that did not rest on these seconds. Back, nothing can be dated until the time is there again.
                stage.clock.ahead(STEP_MS)?;
                sleep(AWAY);
                stage.expect_all("down")?;
                stage.clock.ahead(0)?;
                sleep(CAUGHT_UP);
                stage.expect_all("served")
            }
            Self::BrokenFile => {
                company::broken(folder, true)?;
                reload()?;
                company::broken(folder, false)?;
                reload()
            }
        }
    }
}
