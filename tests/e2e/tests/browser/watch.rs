//! A cut.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::people::{Running, operator, use_link};
use safeconduct_e2e::ADMIN;

/// How long a connection may outlive the facts that it rests on.
const WITHIN_MS: i64 = 1_000;

pub(crate) fn a_cut_ends_a_live_websocket_within_a_second() -> Result<()> {
    let running = Running::start()?;
    let server = &running.server;
    let ada = server.browser("ada")?;
    let link = server.first_link.clone().context("the first start prints a link")?;
    let mira = operator(server, &link, ADMIN)?;
    use_link(&ada, server, &server.setup_link("ada")?, "ada")?;
    ada.open(&server.application("board"))?;
    let ticking = "return document.getElementById('state')?.textContent === 'Live' && Number(document.getElementById('ticks').textContent) > 2";
    ada.yields("a live connection", Duration::from_secs(20), ticking)?;

    mira.open(&format!("{}/console/watch", server.portal))?;
    mira.shows("section[aria-labelledby=sessions]")?;
    let cut = "[...document.querySelectorAll('section[aria-labelledby=sessions] tr')].find((r) => r.innerText.includes('Ada'))?.querySelector('form button')";
    mira.yields("the button that cuts Ada's session", Duration::from_secs(20), &format!("return !!{cut}"))?;
    mira.shot("watch-sessions")?;
    let clicked = mira.script(&format!("const now = Date.now(); {cut}.click(); return now;"))?;
    let closed = ada.yields("the end of the connection", Duration::from_secs(20), "return window.closedAt ?? null")?;
    let took = closed.as_i64().context("an instant")? - clicked.as_i64().context("an instant")?;
    ensure!(took < WITHIN_MS, "the connection lived {took} ms longer than the session");
    mira.arrives(&format!("{}/console/sessions/", server.portal))?;
    mira.shot("watch-cut")?;
    ada.open(&server.application("board"))?;
    ada.arrives(&format!("{}/sign-in", server.portal))?;
    mira.open(&format!("{}/console/watch", server.portal))?;
    let cuts = mira.shows("section[aria-labelledby=cuts]")?;
    ensure!(cuts.contains("Ada"), "the cut is not on record: {cuts}");
    mira.is_content(&[])?;
    ada.is_content(&[])?;
    drop((ada, mira));
    running.server.ends_well()
}
