//! The tour of the demo.

use anyhow::{Context, Result, ensure};
use safeconduct_e2e::{Look, Server};

pub(crate) fn the_tour_leads_to_the_sentence() -> Result<()> {
    let server = Server::demo()?;
    let browser = server.browser("a visitor")?;
    let tour = server.tour.clone().context("the demo has a tour")?;
    browser.open(&tour)?;
    browser.reads("One sentence, enforced")?;
    for look in Look::ALL {
        browser.look(look)?;
        ensure!(browser.fits()?, "the tour is wider than {} pixels", look.width);
        browser.shot(&format!("tour-{}", look.name()))?;
    }
    browser.look(Look::WIDE)?;
    browser.is_content(&["favicon.ico"])?;
    // Ada is asked what it is for; for the quarter-end close it opens.
    browser.click("form:has(input[name=to][value='q3-finance:/']) button.main")?;
    browser.follow_new_window()?;
    browser.reads("stays shut")?;
    browser.shot("denial")?;
    browser.click(".remedies a[href*='/why?']")?;
    browser.choose("select[name=purpose]", "quarter-end-close")?;
    browser.click("main form button[type=submit]")?;
    browser.arrives(&server.application("finance"))?;
    ensure!(browser.shows("[data-asker]")? == "ada", "the application was told of someone else");
    browser.shot("sentence-allowed")?;
    browser.is_content(&["status of 403", "favicon.ico"])?;
    drop(browser);
    server.ends_well()
}
