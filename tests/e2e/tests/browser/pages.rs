//! Every page: without a complaint of the browser, in every width and light, and by keyboard.

use anyhow::{Context, Result, ensure};

use crate::people::{Running, operator, operator_of_the_demo};
use safeconduct_e2e::{ADMIN, Browser, Look, Server};

/// Pages of the console and of end users, with the name of their picture.
const PAGES: [(&str, &str); 20] = [
    ("overview", "/console"),
    ("protect", "/console/protect"),
    ("map", "/console/map"),
    ("policy", "/console/policy"),
    ("watch", "/console/watch"),
    ("verdict", "/console/verdicts/SEQ"),
    ("verdict-again", "/console/verdicts/SEQ?again=1"),
    ("assess", "/console/assess"),
    ("apps", "/console/apps"),
    ("app", "/console/apps/q3-finance"),
    ("people", "/console/people"),
    ("person", "/console/people/ada"),
    ("devices", "/console/devices"),
    ("connectors", "/console/connectors"),
    ("locks", "/console/locks"),
    ("health", "/console/health"),
    ("home", "/"),
    ("security", "/me/security"),
    ("my-devices", "/me/devices"),
    ("why", "/why?app=payroll&return=%2F"),
];

pub(crate) fn every_page_is_quiet() -> Result<()> {
    let server = Server::demo()?;
    let browser = operator_of_the_demo(&server)?;
    browser.open(&format!("{}/console/watch?person=ada&app=q3-finance&answer=allowed", server.portal))?;
    let newest = browser.attribute("a[href^='/console/verdicts/']", "href")?;
    let newest = newest.rsplit('/').next().context("a verdict has a number")?.to_owned();
    let mut wrong = Vec::new();
    for look in Look::ALL {
        browser.look(look)?;
        for (name, path) in PAGES {
            browser.open(&format!("{}{}", server.portal, path.replace("SEQ", &newest)))?;
            wrong.extend(problems(&browser, name, look)?);
        }
        // What is shown to whoever is not signed in.
        wrong.extend(alone(&server, &browser, look)?);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(browser);
    server.ends_well()
}

/// What is wrong with a page.
fn problems(browser: &Browser, name: &str, look: Look) -> Result<Vec<String>> {
    browser.shows("main h1")?;
    browser.shot(&format!("{name}-{}", look.name()))?;
    let mut wrong = browser.complaints(&[])?;
    if !browser.fits()? {
        wrong.push(format!("it is wider than {} pixels", look.width));
    }
    let title = browser.shows("main h1")?;
    if title.contains("nothing here") || title.contains("failed") {
        wrong.push(format!("it says: {title}"));
    }
    Ok(wrong.into_iter().map(|w| format!("{name}, {}: {w}", look.name())).collect())
}

/// Pages that stand alone.
fn alone(server: &Server, browser: &Browser, look: Look) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (name, path) in [("step-up", "/step-up?return=%2F"), ("signed-out", "/signed-out")] {
        browser.open(&format!("{}{path}", server.portal))?;
        wrong.extend(problems(browser, name, look)?);
    }
    Ok(wrong)
}

/// A page, the most tabs that its main action may be away, and the action.
const ACTIONS: [(&str, u32, &str); 5] = [
    ("/console", 40, "main a, main button"),
    ("/console/policy", 40, "main form button, main a"),
    ("/console/watch", 60, "section[aria-labelledby=sessions] form button"),
    ("/me/security", 20, "form[data-passkey=add] button"),
    ("/me/devices", 20, "form[data-enrol] button"),
];

pub(crate) fn the_keyboard_reaches_the_main_action() -> Result<()> {
    let running = Running::start()?;
    let server = &running.server;
    let link = server.first_link.clone().context("the first start prints a link")?;
    let stranger = server.browser("a stranger")?;
    stranger.open(&format!("{}/sign-in", server.portal))?;
    stranger.shows("form[data-passkey=sign-in]:not([hidden])")?;
    stranger.tab_to("form[data-passkey=sign-in] button", 5)?;
    drop(stranger);
    let mira = operator(server, &link, ADMIN)?;
    for (path, most, action) in ACTIONS {
        mira.open(&format!("{}{path}", server.portal))?;
        mira.shows("main h1")?;
        mira.tab_to(action, most).with_context(|| path.to_owned())?;
    }
    mira.shot("keyboard-focus")?;
    // The first tab of every page is the way past the navigation.
    mira.open(&format!("{}/console", server.portal))?;
    ensure!(mira.tab_to("a.skip", 1)? == 1, "the first tab does not lead to the content");
    mira.is_content(&[])?;
    drop(mira);
    running.server.ends_well()
}
