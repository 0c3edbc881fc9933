//! `up`.

use std::path::Path;

use anyhow::Result;
use safeconduct_server::clock::Clock;
use safeconduct_server::{Start, StartError, start, take_over};
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::folder;
use crate::out::{Answer, say};

pub(crate) async fn up(config: &Path, takes_over: bool) -> Result<Answer> {
    let dir = folder(config);
    let asked = Start { dir, clock: Clock::system(), https: None };
    let running = match if takes_over { take_over(asked).await } else { start(asked).await } {
        Ok(running) => running,
        Err(StartError::Faults(faults)) => return Ok(Answer::BadInput(faults)),
        Err(StartError::Other(error)) => return Err(error),
    };
    say(format!("The portal is at {}", running.house.origin));
    say(format!(
        "It listens on {}; the local authority is {}",
        running.https,
        running.house.data.join("ca.pem").display()
    ));
    if let Some(health) = running.health {
        say(format!("Health: http://{health}/healthz"));
    }
    if let Some(point) = running.decision_point {
        say(format!("Decision point: {point}"));
    }
    if let Some(link) = &running.setup_link {
        say(format!(
            "\nNobody can sign in yet. The first administrator makes an account here, once, within 24 hours:\n  {link}"
        ));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = running.taken_over() => say("a new process takes over"),
    }
    say("stopping");
    running.stop().await?;
    Ok(Answer::Done)
}
