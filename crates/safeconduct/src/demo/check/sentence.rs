//! The sentence, allowed; and each of its five Ws, flipped.

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use safeconduct_model::Check;

use super::{Steps, arrive, ask, denied, told};
use crate::demo::browser::Browser;
use crate::demo::stage::{Stage, local};

const APP: &str = "q3-finance";
const PURPOSE: &str = "quarter-end-close";

/// Everything but the flip of the time.
pub(super) async fn play(stage: &Stage, steps: &mut Steps) {
    let cast = &*stage.cast;
    let mut browser = None;
    steps
        .step("Ada signs in with a software passkey, from her laptop", async {
            let ada = cast.sign_in("ada", true).await?;
            let me = cast.whoami(&ada).await?;
            let methods = me["methods"].to_string();
            ensure!(methods.contains("passkey"), "she is signed in by {methods}");
            ensure!(me["device"] == "lt-ada", "her device is {}", me["device"]);
            browser = Some(ada);
            Ok(format!("{methods} on lt-ada"))
        })
        .await;
    let Some(ada) = browser else { return };
    steps
        .step("why: without a purpose she is denied, and the page says so", async {
            let page = arrive(cast, &ada, APP).await?;
            ensure!(page.status == StatusCode::FORBIDDEN, "the page answers {}", page.status);
            ensure!(page.body.contains("/why?app=q3-finance"), "the page does not lead to where a purpose is stated");
            denied(&ask(cast, &ada, Method::GET, APP, "/").await?, "purpose_required")
        })
        .await;
    steps
        .step("the sentence: she reads the Q3 finance server for the close", async {
            cast.state_purpose(&ada, APP, PURPOSE).await?;
            let page = ada.open(&cast.app(APP, "/")).await?;
            told(&page, "ada")?;
            ensure!(
                page.body.contains("lt-ada") && page.body.contains("7 087"),
                "the page lacks the device or the figures"
            );
            Ok("200, and the server verified who asks".to_owned())
        })
        .await;
    steps
        .step("who: Bruno, an accountant too, is denied", async {
            let bruno = cast.sign_in("bruno", true).await?;
            cast.state_purpose(&bruno, APP, PURPOSE).await?;
            arrive(cast, &bruno, APP).await?;
            denied(&ask(cast, &bruno, Method::GET, APP, "/").await?, "no_rule")
        })
        .await;
    steps
        .step("what: she may not write", async {
            denied(&ask(cast, &ada, Method::POST, APP, "/ledger").await?, "action_not_allowed")
        })
        .await;
    steps.step("where: not with her endpoint protection off", async { protection_off(stage, &ada).await }).await;
    steps
        .step("where: not from a browser that is no known device", async {
            let elsewhere = cast.sign_in("ada", false).await?;
            cast.state_purpose(&elsewhere, APP, PURPOSE).await?;
            arrive(cast, &elsewhere, APP).await?;
            denied(&ask(cast, &elsewhere, Method::GET, APP, "/").await?, "device_unknown")
        })
        .await;
}

async fn protection_off(stage: &Stage, ada: &Browser) -> Result<String> {
    let cast = &*stage.cast;
    let passed = Check::ALL.into_iter().filter(|c| *c != Check::EndpointProtection).collect();
    cast.report("lt-ada", passed).await?;
    let answer = ask(cast, ada, Method::GET, APP, "/").await?;
    let words = denied(&answer, "device_not_compliant")?;
    cast.report("lt-ada", Check::ALL.into()).await?;
    told(&ask(cast, ada, Method::GET, APP, "/").await?, "ada").context("after the repair")?;
    Ok(format!("{words}; repaired, 200"))
}

/// The flip of the time. The clock goes forward only, so it comes last, and the next morning after it.
pub(super) async fn play_when(stage: &Stage, steps: &mut Steps) {
    let cast = &*stage.cast;
    steps
        .step("when: after hours she is denied", async {
            let ada = reads(stage).await?;
            let to = stage.jump(18, 1)?;
            let words = denied(&again(stage, &ada).await?, "outside_hours")?;
            Ok(format!("{words} at {}", local(to, &stage.zone).strftime("%H:%M")))
        })
        .await;
    steps
        .step("the next morning it opens to her again", async {
            let to = stage.jump_to_morning()?;
            cast.report("lt-ada", Check::ALL.into()).await?;
            reads(stage).await?;
            Ok(local(to, &stage.zone).strftime("200 on %A at %H:%M").to_string())
        })
        .await;
}

/// Ada signs in, states the purpose and reads.
async fn reads(stage: &Stage) -> Result<Browser> {
    let cast = &*stage.cast;
    let ada = cast.sign_in("ada", true).await?;
    cast.state_purpose(&ada, APP, PURPOSE).await?;
    told(&ada.open(&cast.app(APP, "/")).await?, "ada")?;
    Ok(ada)
}

/// She asks again; if the jump of the clock ended her session, she signs in before.
async fn again(stage: &Stage, ada: &Browser) -> Result<crate::demo::browser::Page> {
    let cast = &*stage.cast;
    let page = ask(cast, ada, Method::GET, APP, "/").await?;
    if page.status != StatusCode::UNAUTHORIZED {
        return Ok(page);
    }
    let anew = cast.sign_in("ada", true).await?;
    cast.state_purpose(&anew, APP, PURPOSE).await?;
    arrive(cast, &anew, APP).await?;
    ask(cast, &anew, Method::GET, APP, "/").await
}
