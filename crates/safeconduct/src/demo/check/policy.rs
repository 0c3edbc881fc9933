//! Observe, propose, rehearse, publish: the customers application gets its rules from use, by an operator in the console.

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};

use super::{Steps, arrive, ask, denied, told};
use crate::demo::browser::{Browser, Page};
use crate::demo::stage::Stage;

const APP: &str = "crm";

/// The way from use to rule.
pub(super) async fn play(stage: &Stage, steps: &mut Steps) {
    let cast = &*stage.cast;
    let mut browsers = None;
    steps.step("observe: Theo of IT gets through, and so does Jakob of sales", async {
        let (theo, jakob) = tokio::try_join!(cast.sign_in("theo", true), cast.sign_in("jakob", true))?;
        told(&arrive(cast, &theo, APP).await?, "theo")?;
        told(&arrive(cast, &jakob, APP).await?, "jakob")?;
        browsers = Some((theo, jakob));
        Ok("200 and 200".to_owned())
    })
    .await;
    let mut proposal = None;
    steps.step("propose: the console writes rules from use", async {
        let mira = cast.sign_in("mira", true).await?;
        let token = open(&mira, &format!("{}/console/policy", cast.portal())).await?.token().to_owned();
        let page = mira.submit(&format!("{}/console/policy/propose", cast.portal()), &[("csrf", &token), ("app", APP)]).await?;
        ensure!(page.status == StatusCode::OK, "the proposal answers {}", page.status);
        ensure!(page.address.path.starts_with("/console/policy/proposals/crm-"), "the proposal is at {}", page.address);
        ensure!(page.body.contains("sales"), "the proposal does not speak of sales");
        ensure!(!page.body.contains("Person::&quot;gus&quot;"), "the proposal lets the contractor in");
        let rules = page.body.matches("@id(").count();
        let address = page.address.to_string();
        proposal = Some((mira, address));
        Ok(format!("{rules} rules"))
    })
    .await;
    let Some((mira, address)) = proposal else { return };
    steps.step("rehearse: the past is decided again under the proposal", async {
        let page = open(&mira, &address).await?;
        let shown = text(&page.body).to_lowercase();
        std::fs::write("/tmp/proposal.html", &page.body)?;
        ensure!(shown.contains("newly denied"), "the page does not tell who would be newly denied");
        ensure!(shown.contains("gus"), "the contractor's export is not among what would be denied");
        Ok(figure(&shown).unwrap_or_default())
    })
    .await;
    let mut published = false;
    steps.step("publish: the operator lets it bind", async {
        let token = open(&mira, &address).await?.token().to_owned();
        let page = mira.submit(&format!("{address}/publish"), &[("csrf", &token)]).await?;
        ensure!(page.status.is_success(), "publishing answers {}: {}", page.status, text(&page.body));
        published = true;
        Ok(format!("revision {}", stage.running.house.current().snapshot.revision()))
    })
    .await;
    let Some((theo, jakob)) = browsers.filter(|_| published) else { return };
    steps.step("Theo is denied now, Jakob is not", async {
        let words = denied(&ask(cast, &theo, Method::GET, APP, "/").await?, "no_rule")?;
        told(&ask(cast, &jakob, Method::GET, APP, "/").await?, "jakob")?;
        Ok(format!("{words} and 200"))
    })
    .await;
}

async fn open(browser: &Browser, address: &str) -> Result<Page> {
    let page = browser.open(address).await?;
    ensure!(page.status == StatusCode::OK, "{address} answers {}: {}", page.status, text(&page.body));
    Ok(page)
}

/// The sentence about newly denied requests.
fn figure(shown: &str) -> Result<String> {
    let at = shown.find("newly denied").context("no figure")?;
    let from = shown[..at].char_indices().rev().nth(60).map_or(0, |(i, _)| i);
    let to = shown[at..].char_indices().nth(60).map_or(shown.len(), |(i, _)| at + i);
    Ok(shown[from..to].trim().to_owned())
}

/// The text of a page, without its tags.
fn text(html: &str) -> String {
    let body = html.split_once("<main").map_or(html, |(_, rest)| rest);
    let mut out = String::with_capacity(body.len());
    let mut inside = true;
    for c in body.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}
