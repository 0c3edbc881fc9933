//! Ways in: the first administrator's link, a passkey, an OpenID provider.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use safeconduct_e2e::{ADMIN, Company, Helper, Server, free_port};

use crate::people::{Running, add_passkey, sign_in, sign_out, use_link};

/// The configuration that `safeconduct init` writes, on any free port.
fn starter(folder: &Path) -> Result<()> {
    let program = safeconduct_e2e::program()?;
    let made = Command::new(program).arg("init").arg(folder).args(["--domain", "start.localhost"]).output()?;
    ensure!(made.status.success(), "init: {}", String::from_utf8_lossy(&made.stderr));
    let main = folder.join("safeconduct.toml");
    let text = fs::read_to_string(&main)?;
    fs::write(main, text.replace("127.0.0.1:8443", "127.0.0.1:0"))?;
    Ok(())
}

pub(crate) fn the_first_administrator_signs_in_with_a_passkey() -> Result<()> {
    let server = Server::up(starter)?;
    let link = server.first_link.clone().context("the first start prints a link")?;
    let browser = server.browser("the first administrator")?;
    browser.plug_in_authenticator()?;
    browser.open(&link)?;
    browser.shows("main form button")?;
    browser.shot("first-link")?;
    use_link(&browser, &server, &link, "admin")?;
    add_passkey(&browser, "Laptop")?;
    browser.shot("passkey-added")?;
    let cookies = browser.cookies()?;
    let session = cookies.iter().find(|c| c["name"] == "__Host-safeconduct").context("there is a session cookie")?;
    ensure!(session["secure"] == true && session["httpOnly"] == true && session["path"] == "/", "{session}");
    sign_out(&browser, &server)?;
    browser.shot("signed-out")?;
    sign_in(&browser, &server, "/console")?;
    browser.reads("Overview")?;
    browser.shot("console-first")?;
    browser.is_content(&[])?;
    drop(browser);
    server.ends_well()
}

pub(crate) fn a_used_one_time_link_opens_nothing() -> Result<()> {
    let running = Running::start()?;
    let server = &running.server;
    let link = server.first_link.clone().context("the first start prints a link")?;
    let browser = server.browser(ADMIN)?;
    use_link(&browser, server, &link, ADMIN)?;
    sign_out(&browser, server)?;
    browser.open(&link)?;
    browser.reads("There is nothing here")?;
    browser.open(&format!("{}/me/security", server.portal))?;
    browser.arrives(&format!("{}/sign-in", server.portal))?;
    browser.is_content(&["status of 404"])?;
    drop(browser);
    running.server.ends_well()
}

pub(crate) fn openid_connect_reaches_an_application() -> Result<()> {
    let application = Helper::start("application", &[])?;
    let port = free_port()?;
    let redirect = format!("https://portal.harbour.localhost:{port}/sign-in/oidc/corp/callback");
    let provider = Helper::start("provider", &["ada", &redirect])?;
    let company = Company { port, upstream: application.port, provider: Some(provider.port) };
    let server = Server::up(|folder| company.write(folder))?;
    let browser = server.browser("ada")?;
    let board = server.application("board");
    browser.open(&format!("{board}/"))?;
    browser.arrives(&format!("{}/sign-in", server.portal))?;
    browser.shot("sign-in")?;
    browser.click("a[href^='/sign-in/oidc/corp']")?;
    browser.arrives(&format!("http://127.0.0.1:{}/interaction/", provider.port))?;
    browser.click("#yes")?;
    // The provider asks twice, for the person and for the consent; then the session is handed over to the application.
    browser.reads("(consent)")?;
    browser.click("#yes")?;
    browser.arrives(&format!("{board}/"))?;
    ensure!(browser.shows("#asker")?.contains("ada"), "the application was told of someone else: {}", browser.text()?);
    browser.shot("openid-application")?;
    browser.open(&server.portal)?;
    browser.reads("Ada Lindqvist")?;
    browser.is_content(&[])?;
    drop(browser);
    server.ends_well()
}
