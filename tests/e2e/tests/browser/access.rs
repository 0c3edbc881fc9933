//! A denial, and the way out of it.

use anyhow::{Context, Result, ensure};

use crate::people::{Running, use_link};
use safeconduct_e2e::{ADMIN, Look};

pub(crate) fn a_denial_explains_itself_and_its_remedy_opens() -> Result<()> {
    let running = Running::start()?;
    let server = &running.server;
    let link = server.first_link.clone().context("the first start prints a link")?;
    let browser = server.browser(ADMIN)?;
    use_link(&browser, server, &link, ADMIN)?;
    let books = server.application("books");
    browser.open(&format!("{books}/ledger?quarter=3"))?;
    browser.reads("Books stays shut")?;
    let reason = browser.shows("dl.small-print code:not(.path):not(.hash)")?;
    ensure!(reason == "purpose_required", "the reason is {reason}");
    for look in Look::ALL {
        browser.look(look)?;
        ensure!(browser.fits()?, "the denial is wider than {} pixels", look.width);
        browser.shot(&format!("books-denial-{}", look.name()))?;
    }
    browser.look(Look::WIDE)?;
    browser.click(".remedies a[href*='/why?']")?;
    browser.arrives(&format!("{}/why?", server.portal))?;
    browser.shot("why")?;
    browser.choose("select[name=purpose]", "audit")?;
    browser.click("main form button[type=submit]")?;
    browser.arrives(&format!("{books}/ledger?quarter=3"))?;
    ensure!(browser.shows("#asker")?.contains(ADMIN), "the application was not told who asks");
    browser.is_content(&["status of 403"])?;
    drop(browser);
    running.server.ends_well()
}
