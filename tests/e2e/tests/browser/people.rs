//! What people do in several tests.

use anyhow::{Context, Result};
use safeconduct_e2e::{Browser, Company, Helper, Server};

/// The small company with its application, running.
pub(crate) struct Running {
    /// The server. Dropped first.
    pub(crate) server: Server,
    _application: Helper,
}

impl Running {
    /// Starts both.
    pub(crate) fn start() -> Result<Self> {
        let application = Helper::start("application", &[])?;
        let company = Company { upstream: application.port, ..Company::default() };
        let server = Server::up(|folder| company.write(folder))?;
        Ok(Self { server, _application: application })
    }
}

/// Uses a one-time link: the person is signed in afterwards, on the page of sign-in methods.
pub(crate) fn use_link(browser: &Browser, server: &Server, link: &str, person: &str) -> Result<()> {
    browser.open(link)?;
    browser.shows("main form button")?;
    if browser.has("input[name=person]:not([type=hidden])")? {
        browser.write("input[name=person]", person)?;
    }
    if browser.has("input[name=name]:not([type=hidden])")? {
        browser.write("input[name=name]", person)?;
    }
    browser.click("main form button[type=submit]")?;
    browser.arrives(&format!("{}/me/security", server.portal))
}

/// Adds a passkey on the page of sign-in methods.
pub(crate) fn add_passkey(browser: &Browser, name: &str) -> Result<()> {
    browser.write("form[data-passkey=add] input[name=name]", name)?;
    browser.click("form[data-passkey=add] button")?;
    browser.shows("form[action^='/me/passkeys/']")?;
    browser.reads(name)
}

/// Signs out by the button in the head of the page.
pub(crate) fn sign_out(browser: &Browser, server: &Server) -> Result<()> {
    browser.click("form[action='/sign-out'] button")?;
    browser.arrives(&format!("{}/signed-out", server.portal))
}

/// Signs in with the passkey, wanting to go to a path of the portal.
pub(crate) fn sign_in(browser: &Browser, server: &Server, path: &str) -> Result<()> {
    browser.open(&format!("{}{path}", server.portal))?;
    browser.arrives(&format!("{}/sign-in", server.portal))?;
    browser.click("form[data-passkey=sign-in] button")?;
    browser.arrives(&format!("{}{path}", server.portal))
}

/// From a one-time link to a session that was begun with a passkey, in a browser of its own.
pub(crate) fn operator(server: &Server, link: &str, person: &str) -> Result<Browser> {
    let browser = server.browser(person)?;
    browser.plug_in_authenticator()?;
    use_link(&browser, server, link, person)?;
    add_passkey(&browser, "Laptop")?;
    sign_out(&browser, server)?;
    sign_in(&browser, server, "/console")?;
    browser.shows("nav[aria-label=Console]")?;
    Ok(browser)
}

/// In the demo: the console as the one who runs Safeconduct there, by the tour's button.
pub(crate) fn operator_of_the_demo(server: &Server) -> Result<Browser> {
    let browser = server.browser("mira")?;
    browser.open(server.tour.as_deref().context("the demo has a tour")?)?;
    browser.click("form:has(input[name=person][value=mira]):has(input[name=to][value='/console']) button")?;
    browser.follow_new_window()?;
    browser.arrives(&format!("{}/console", server.portal))?;
    browser.shows("nav[aria-label=Console]")?;
    // The tour has no icon, and browsers ask for one.
    browser.is_content(&["favicon.ico"])?;
    Ok(browser)
}
