//! What a person does with a browser: open, read, click, type.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::chromium::Driver;
use crate::log::complaints;
use crate::needs;
use crate::wait::{PAGE, until};

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The tabulator key.
const TAB: &str = "\u{e004}";
/// How much of a page is quoted in an error, in characters.
const QUOTED: usize = 600;

/// How wide a page is looked at, and in which light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Whether the system prefers dark.
    pub dark: bool,
}

impl Look {
    /// A desk, by day.
    pub const WIDE: Self = Self { width: 1440, height: 900, dark: false };
    /// A desk, by night.
    pub const WIDE_DARK: Self = Self { width: 1440, height: 900, dark: true };
    /// A telephone, by day.
    pub const NARROW: Self = Self { width: 400, height: 800, dark: false };
    /// A telephone, by night.
    pub const NARROW_DARK: Self = Self { width: 400, height: 800, dark: true };
    /// All of them.
    pub const ALL: [Self; 4] = [Self::WIDE, Self::WIDE_DARK, Self::NARROW, Self::NARROW_DARK];

    /// As part of a file name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.width, if self.dark { "dark" } else { "light" })
    }
}

/// A browser with one window.
pub struct Browser {
    driver: Driver,
    name: String,
}

impl Browser {
    /// Starts a browser that trusts the authority of a server; `name` is who sits in front of it.
    pub fn start(name: &str, authority: &Path) -> Result<Self> {
        let browser = Self { driver: Driver::start(authority)?, name: name.to_owned() };
        browser.look(Look::WIDE)?;
        Ok(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.driver.command("POST", path, Some(body))
    }

    /// A command of Chromium's own protocol.
    fn chromium(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Sets width and light.
    pub fn look(&self, look: Look) -> Result<()> {
        let metrics = json!({ "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.chromium("Emulation.setEmulatedMedia", &features)?;
        Ok(())
    }

    /// Opens an address and waits for the page.
    pub fn open(&self, address: &str) -> Result<()> {
        self.post("/url", &json!({ "url": address })).with_context(|| format!("cannot open {address}"))?;
        Ok(())
    }

    /// The address of the page.
    pub fn address(&self) -> Result<String> {
        let value = self.driver.command("GET", "/url", None)?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a function body in the page.
    pub fn script(&self, body: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// The text of the page, as a person reads it.
    pub fn text(&self) -> Result<String> {
        let text = self.script("return document.body ? document.body.innerText : ''")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    fn element(&self, css: &str) -> Result<Option<String>> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": css }))?;
        Ok(found[0][ELEMENT].as_str().map(str::to_owned))
    }

    /// Whether there is such an element.
    pub fn has(&self, css: &str) -> Result<bool> {
        Ok(self.element(css)?.is_some())
    }

    /// Waits; on failure says what the page showed, and keeps a picture of it.
    fn wait<T>(&self, what: &str, longest: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        until(what, longest, look).map_err(|error| self.in_front_of(&error))
    }

    fn in_front_of(&self, error: &anyhow::Error) -> anyhow::Error {
        let _ = self.shot(&format!("failed/{}", self.name));
        let mut told = format!("{error:#}");
        let text: String = self.text().unwrap_or_default().chars().take(QUOTED).collect();
        let address = self.address().unwrap_or_default();
        let _ = write!(told, "\n    {} is at {address}, which shows: {}", self.name, text.replace('\n', " | "));
        anyhow::anyhow!(told)
    }

    /// Waits for an element that can be seen, and clicks it.
    pub fn click(&self, css: &str) -> Result<()> {
        self.wait(&format!("{css} to click"), PAGE, || {
            let Some(element) = self.element(css)? else { return Ok(None) };
            Ok(self.post(&format!("/element/{element}/click"), &json!({})).ok())
        })?;
        Ok(())
    }

    /// Waits for a field and writes into it, in place of what it held.
    pub fn write(&self, css: &str, text: &str) -> Result<()> {
        self.wait(&format!("{css} to write into"), PAGE, || {
            let Some(element) = self.element(css)? else { return Ok(None) };
            let cleared = self.post(&format!("/element/{element}/clear"), &json!({}));
            let written =
                cleared.and_then(|_| self.post(&format!("/element/{element}/value"), &json!({ "text": text })));
            Ok(written.ok())
        })?;
        Ok(())
    }

    /// Chooses an option of a list by its value.
    pub fn choose(&self, css: &str, value: &str) -> Result<()> {
        self.click(&format!("{css} option[value=\"{value}\"]"))
    }

    /// Waits for the window that a link or form opens, and goes there. The one before is closed.
    pub fn follow_new_window(&self) -> Result<()> {
        let here = self.driver.command("GET", "/window", None)?;
        let other = self.wait("a new window", PAGE, || {
            let handles = self.driver.command("GET", "/window/handles", None)?;
            Ok(handles.as_array().into_iter().flatten().find(|h| **h != here).cloned())
        })?;
        self.driver.command("DELETE", "/window", None)?;
        self.post("/window", &json!({ "handle": other }))?;
        self.look(Look::WIDE)
    }

    /// Waits until the address begins so.
    pub fn arrives(&self, start: &str) -> Result<()> {
        self.wait(&format!("the address {start}"), PAGE, || Ok(self.address()?.starts_with(start).then_some(())))
    }

    /// Waits until the address ends so.
    pub fn arrives_at(&self, end: &str) -> Result<()> {
        self.wait(&format!("the address ...{end}"), PAGE, || Ok(self.address()?.ends_with(end).then_some(())))
    }

    /// Waits until the page says something.
    pub fn reads(&self, words: &str) -> Result<()> {
        self.wait(&format!("the words `{words}`"), PAGE, || {
            Ok(self.text().is_ok_and(|t| t.contains(words)).then_some(()))
        })
    }

    /// Waits until there is such an element, and returns what it is asked for.
    fn of(&self, css: &str, what: &str) -> Result<String> {
        let value = self.wait(css, PAGE, || {
            let Some(element) = settled(self.element(css))?.flatten() else { return Ok(None) };
            settled(self.driver.command("GET", &format!("/element/{element}/{what}"), None))
        })?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until there is such an element, and returns its text.
    pub fn shows(&self, css: &str) -> Result<String> {
        self.of(css, "text")
    }

    /// Waits until a function body returns something other than null and false, and returns that.
    pub fn yields(&self, what: &str, longest: Duration, body: &str) -> Result<Value> {
        self.wait(what, longest, || {
            let value = settled(self.script(body))?.unwrap_or_default();
            Ok((!value.is_null() && value != Value::Bool(false)).then_some(value))
        })
    }

    /// An attribute of the first such element.
    pub fn attribute(&self, css: &str, name: &str) -> Result<String> {
        self.of(css, &format!("attribute/{name}"))
    }

    /// Plugs in an authenticator of this machine, with a user who is always willing.
    pub fn plug_in_authenticator(&self) -> Result<()> {
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true, "isUserConsenting": true,
        });
        self.post("/webauthn/authenticator", &options)?;
        Ok(())
    }

    /// The cookies that the page's address has.
    pub fn cookies(&self) -> Result<Vec<Value>> {
        Ok(self.driver.command("GET", "/cookie", None)?.as_array().cloned().unwrap_or_default())
    }

    /// Presses the tabulator until the focus is on such an element, and checks that it can be seen there.
    pub fn tab_to(&self, css: &str, most: u32) -> Result<u32> {
        let key = |kind: &str| json!({ "type": kind, "value": TAB });
        let press =
            json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [key("keyDown"), key("keyUp")] }] });
        for n in 1..=most {
            self.post("/actions", &press)?;
            let focus = self.script(&format!(
                "const e = document.activeElement; if (!e || !e.matches({})) return null;
                 const s = getComputedStyle(e); const r = e.getBoundingClientRect();
                 const drawn = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0;
                 return {{ drawn: drawn || s.boxShadow !== 'none', within: r.bottom > 0 && r.top < innerHeight, visible: e.matches(':focus-visible') }};",
                json!(css)
            ))?;
            if focus.is_null() {
                continue;
            }
            ensure!(focus["drawn"] == true && focus["visible"] == true, "the focus on {css} is not drawn");
            ensure!(focus["within"] == true, "the focus on {css} is outside of the window");
            return Ok(n);
        }
        let last =
            self.script("return document.activeElement ? document.activeElement.outerHTML.slice(0, 200) : ''")?;
        bail!("{most} tabs do not reach {css}; the last was on {last}")
    }

    /// Keeps a picture of the window.
    pub fn shot(&self, name: &str) -> Result<()> {
        let value = self.driver.command("GET", "/screenshot", None)?;
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default())?;
        let path: PathBuf = needs::root()?.join("target/e2e-shots").join(format!("{name}.png"));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether the page is as wide as the window, and no wider.
    pub fn fits(&self) -> Result<bool> {
        Ok(self.script("return document.documentElement.scrollWidth <= window.innerWidth")? == true)
    }

    /// The complaints since the last time that it was asked, but for the expected ones.
    pub fn complaints(&self, expected: &[&str]) -> Result<Vec<String>> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }))?;
        Ok(complaints(&entries, expected))
    }

    /// Fails if the browser complained about anything but the expected.
    pub fn is_content(&self, expected: &[&str]) -> Result<()> {
        let complaints = self.complaints(expected)?;
        ensure!(complaints.is_empty(), "{}'s browser complains: {}", self.name, complaints.join("\n    "));
        Ok(())
    }
}

/// What a page says while another one takes its place.
const PASSING: [&str; 4] = ["stale element reference", "no such element", "javascript error", "aborted"];

/// Nothing instead of an error that only says that the page is being replaced.
fn settled<T>(came: Result<T>) -> Result<Option<T>> {
    match came {
        Ok(value) => Ok(Some(value)),
        Err(error) if PASSING.iter().any(|p| error.to_string().contains(p)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_is_waited_out() {
        assert_eq!(settled(Ok(1)).unwrap(), Some(1));
        assert_eq!(settled::<()>(Err(anyhow::anyhow!("/text: stale element reference: gone"))).unwrap(), None);
        assert!(settled::<()>(Err(anyhow::anyhow!("invalid selector"))).is_err());
    }
}
