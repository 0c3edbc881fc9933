//! From observed use to a rule that binds.

use anyhow::{Result, ensure};

use crate::people::operator_of_the_demo;
use safeconduct_e2e::Server;

/// An application of the demo that is observed only.
const APP: &str = "crm";
/// Other applications that are observed, and stay so.
const OTHERS: [&str; 2] = ["Reports", "Warehouse"];

pub(crate) fn a_proposal_is_published_and_binds() -> Result<()> {
    let server = Server::demo()?;
    let browser = operator_of_the_demo(&server)?;
    // Mira of IT has no business with the customers, but observed, she gets in.
    let application = format!("{}/", server.application(APP));
    browser.open(&application)?;
    ensure!(browser.shows("[data-asker]")? == "mira", "the application was told of someone else");
    browser.open(&format!("{}/console/apps/{APP}", server.portal))?;
    browser.reads("observe")?;
    browser.open(&format!("{}/console/policy", server.portal))?;
    browser.shot("policy")?;
    propose(&browser)?;
    browser.arrives(&format!("{}/console/policy/proposals/", server.portal))?;
    browser.shows("section[aria-label='Proposed rules'] article")?;
    browser.shot("proposal")?;
    let rehearsal = browser.shows("section[aria-labelledby=rehearsal]")?;
    let wrong = OTHERS.iter().find(|other| rehearsal.contains(*other));
    ensure!(
        wrong.is_none(),
        "publishing a rule for {APP} changes nothing for {wrong:?}, but the rehearsal says: {rehearsal}"
    );
    let promise = browser.shows("form[action$='/publish'] button")?;
    ensure!(promise.starts_with("Publish: binds"), "the button says: {promise}");
    browser.click("form[action$='/publish'] button")?;
    browser.arrives_at("/publish")?;
    browser.reads("observe to enforce")?;
    browser.shot("published")?;
    browser.open(&format!("{}/console/apps/{APP}", server.portal))?;
    browser.reads("enforce")?;
    browser.shot("application-enforced")?;
    browser.open(&application)?;
    browser.reads("stays shut")?;
    browser.shot("observed-use-binds")?;
    browser.is_content(&["status of 403", "favicon.ico"])?;
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
