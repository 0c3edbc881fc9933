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
    steps
        .step("observe: Theo of IT gets through, and so does Jakob of sales", async {
            let (theo, jakob) = tokio::try_join!(cast.sign_in("theo", true), cast.sign_in("jakob", true))?;
            told(&arrive(cast, &theo, APP).await?, "theo")?;
            told(&arrive(cast, &jakob, APP).await?, "jakob")?;
            browsers = Some((theo, jakob));
            Ok("200 and 200".to_owned())
        })
        .await;
    let mut proposal = None;
    steps
        .step("propose: the console writes rules from use", async {
            let mira = cast.sign_in("mira", true).await?;
            let token = open(&mira, &format!("{}/console/policy", cast.portal())).await?.token().to_owned();
            let page = mira
                .submit(&format!("{}/console/policy/propose", cast.portal()), &[("csrf", &token), ("app", APP)])
                .await?;
            ensure!(page.status == StatusCode::OK, "the proposal answers {}", page.status);
            ensure!(
                page.address.path.starts_with("/console/policy/proposals/crm-"),
                "the proposal is at {}",
                page.address
            );
            let shown = text(&page.body);
            ensure!(shown.contains("People in sales"), "the proposal does not speak of sales");
            ensure!(!shown.contains("Person :: \"gus\""), "the proposal lets the contractor in");
            proposal = Some((mira, page.address.to_string()));
            let rules = before(&shown, "proposed rules").context("the page does not count its rules")?;
            let covered = before(&shown, "of observed use covered").context("the page does not tell its coverage")?;
            Ok(format!("{rules} rules, {covered} of use covered"))
        })
        .await;
    let Some((mira, address)) = proposal else { return };
    steps
        .step("rehearse: the past is decided again under the proposal", async {
            let page = open(&mira, &address).await?;
            let shown = text(&page.body);
            let denied =
                before(&shown, "past requests newly denied").context("the page does not tell what would be denied")?;
            ensure!(shown.contains("Gus Palmer"), "the contractor's export is not among what would be denied");
            ensure!(!shown.contains("Warehouse"), "applications that stay observed are said to lose something");
            let asked = before(&shown, "requests from").context("the page does not tell how much was decided again")?;
            Ok(format!("{asked} requests decided again, {denied} newly denied, the contractor's export among them"))
        })
        .await;
    let mut published = false;
    steps
        .step("publish: the operator lets it bind", async {
            let token = open(&mira, &address).await?.token().to_owned();
            let page = mira.submit(&format!("{address}/publish"), &[("csrf", &token)]).await?;
            ensure!(page.status.is_success(), "publishing answers {}: {}", page.status, text(&page.body));
            published = true;
            Ok(format!("revision {}", stage.running.house.current().snapshot.revision()))
        })
        .await;
    let Some((theo, jakob)) = browsers.filter(|_| published) else { return };
    steps
        .step("Theo is denied now, Jakob is not", async {
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

/// The number in front of some words. Thousands are set apart by a narrow space.
fn before(shown: &str, words: &str) -> Option<String> {
    let number = |c: &char| c.is_ascii_digit() || matches!(c, '\u{202f}' | '\u{a0}' | '\u{2009}' | ' ' | '%' | '.');
    let front = shown.split_once(words)?.0;
    let digits: Vec<char> = front.chars().rev().take_while(number).collect();
    let text: String = digits.into_iter().rev().filter(|c| c.is_ascii_digit() || matches!(c, '%' | '.')).collect();
    (!text.is_empty()).then_some(text)
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
    let plain = out.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    plain.split([' ', '\n', '\t']).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_text_of_a_page() {
        let shown = text(
            "<html><main><b>4</b> proposed rules <b>99 %</b> of use; <b>18\u{202f}267</b> requests &quot;x&quot;</main>",
        );
        assert_eq!(shown, "4 proposed rules 99 % of use; 18\u{202f}267 requests \"x\"");
        assert_eq!(before(&shown, "proposed rules").as_deref(), Some("4"));
        assert_eq!(before(&shown, "of use").as_deref(), Some("99%"));
        assert_eq!(before(&shown, "requests").as_deref(), Some("18267"));
        assert_eq!(before(&shown, "nothing"), None);
    }
}
