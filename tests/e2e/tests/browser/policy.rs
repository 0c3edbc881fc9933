//! From observed use to a rule that binds.

use anyhow::{Result, ensure};

use crate::people::operator;
use safeconduct_e2e::{ADMIN, Server};

/// An application of the demo that is observed only.
const APP: &str = "warehouse";

pub(crate) fn a_proposal_is_published_and_binds() -> Result<()> {
    let server = Server::demo()?;
    let browser = operator(&server, &server.setup_link(ADMIN)?, ADMIN)?;
    browser.open(&format!("{}/console/apps/{APP}", server.portal))?;
    browser.reads("observe")?;
    browser.open(&format!("{}/console/policy", server.portal))?;
    browser.shot("policy")?;
    propose(&browser)?;
    browser.arrives(&format!("{}/console/policy/proposals/", server.portal))?;
    browser.shows("section[aria-label='Proposed rules'] article")?;
    browser.shot("proposal")?;
    let promise = browser.shows("form[action$='/publish'] button")?;
    ensure!(promise.starts_with("Publish: binds"), "the button says: {promise}");
    browser.click("form[action$='/publish'] button")?;
    browser.shows("main h1")?;
    browser.shot("published")?;
    browser.open(&format!("{}/console/apps/{APP}", server.portal))?;
    browser.reads("enforce")?;
    browser.shot("application-enforced")?;
    // Mira of IT has nothing to do in the warehouse: observed, she got in; now the rule binds.
    browser.open(&format!("{}/", server.application(APP)))?;
    browser.reads("stays shut")?;
    browser.is_content(&["status of 403"])?;
    drop(browser);
    server.ends_well()
}

/// Asks for a proposal by whichever form the page offers.
fn propose(browser: &safeconduct_e2e::Browser) -> Result<()> {
    let form = "form[action='/console/policy/propose']";
    browser.shows(form)?;
    if browser.has(&format!("{form} select[name=app]"))? {
        browser.choose(&format!("{form} select[name=app]"), APP)?;
        return browser.click(&format!("{form} button"));
    }
    browser.click(&format!("{form}:has(input[name=app][value={APP}]) button"))
}
