//! Every kind of change that takes a permit away, made as people make it: on the command line, in the files, by a report of a
//! device, by the clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::gateway::company::PORTAL;
use crate::bench::gateway::contestant::HOST;
use crate::bench::gateway::ours::{Jar, Server};
use crate::bench::gateway::process::find;

/// A trigger that the clock pulls comes so much after it was set.
const AHEAD_MS: i64 = 6_000;
/// Far enough to be no end.
pub(crate) const FAR_MS: i64 = 4_102_444_800_000;
/// The host of the application that changes.
pub(crate) const CHANGED_HOST: &str = "changed.bench.localhost";
/// The applications that tunnels lead to.
pub(crate) const LINES: &str = "lines";
pub(crate) const CHANGED_LINES: &str = "changed-lines";

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trigger {
    SessionEnded,
    LeftGroup,
    Deactivated,
    Posture,
    GrantWithdrawn,
    ApplicationChanged,
    PolicyPublished,
    WindowEnds,
    GrantEnds,
}

impl Trigger {
    pub(crate) const ALL: [Self; 9] = [
        Self::SessionEnded,
        Self::LeftGroup,
        Self::Deactivated,
        Self::Posture,
        Self::GrantWithdrawn,
        Self::ApplicationChanged,
        Self::PolicyPublished,
        Self::WindowEnds,
        Self::GrantEnds,
    ];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SessionEnded => "sessions ended by an operator",
            Self::LeftGroup => "person taken out of a group",
            Self::Deactivated => "person deactivated",
            Self::Posture => "device reports that its protection is off",
            Self::GrantWithdrawn => "grant withdrawn",
            Self::ApplicationChanged => "application enforced instead of observed",
            Self::PolicyPublished => "policy published",
            Self::WindowEnds => "clock: the window of a rule ends",
            Self::GrantEnds => "clock: a grant ends",
        }
    }

    /// Whose permit goes.
    pub(crate) fn person(self) -> &'static str {
        match self {
            Self::SessionEnded => "p-session",
            Self::LeftGroup => "p-group",
            Self::Deactivated => "p-person",
            Self::Posture => "p-device",
            Self::GrantWithdrawn => "p-grant",
            Self::ApplicationChanged => "p-app",
            Self::PolicyPublished => "p-policy",
            Self::WindowEnds => "p-window",
            Self::GrantEnds => "p-until",
        }
    }

    /// Where they are.
    pub(crate) fn host(self) -> &'static str {
        if self == Self::ApplicationChanged { CHANGED_HOST } else { HOST }
    }

    /// Where their tunnels lead.
    pub(crate) fn lines(self) -> &'static str {
        if self == Self::ApplicationChanged { CHANGED_LINES } else { LINES }
    }

    /// The file of the configuration that gives the permit, where it is one, and what it says.
    pub(crate) fn file(self, until_ms: i64) -> (&'static str, String) {
        let person = self.person();
        let just = format!("== Person::\"{person}\"");
        let until = instant(until_ms);
        let grant = |id: &str, app: &str| {
            format!(
                "[[grant]]\nid = \"{id}\"\nperson = \"{person}\"\napplication = \"{app}\"\npurpose = \"support\"\nfrom = \"2026-01-01T00:00:00Z\"\nuntil = \"{until}\"\nby = \"mira\"\n"
            )
        };
        let grants = || grant(person, "app") + &grant(&format!("{person}-{LINES}"), LINES);
        match self {
            Self::LeftGroup => ("estate/p-group.toml", people(person, "groups = [\"moving\"]\n")),
            Self::Deactivated => ("estate/p-person.toml", people(person, "")),
            Self::GrantWithdrawn => ("estate/grant.toml", grants()),
            Self::GrantEnds => ("estate/grant-until.toml", grants()),
            Self::PolicyPublished => ("policies/p-policy.cedar", rule(person, &just, "")),
            Self::WindowEnds => {
                ("policies/p-window.cedar", rule(person, &just, &format!("\nwhen {{ context.time < {until_ms} }}")))
            }
            Self::Posture => {
                ("policies/p-device.cedar", rule(person, &just, "\nwhen { context.device.endpoint_protection }"))
            }
            Self::SessionEnded => ("policies/p-session.cedar", rule(person, &just, "")),
            Self::ApplicationChanged => ("estate/changed.toml", String::new()),
        }
    }
}

/// A rule that lets somebody use the application, and the same for the one that tunnels lead to.
pub(crate) fn rule(id: &str, who: &str, when: &str) -> String {
    let one = |id: &str, app: &str| {
        format!(
            "@id(\"{id}\")\n@owner(\"mira\")\n@why(\"Daily work\")\npermit(principal {who}, action in [Action::\"read\", Action::\"write\"], resource == Application::\"{app}\"){when};\n\n"
        )
    };
    one(id, "app") + &one(&format!("{id}-{LINES}"), LINES)
}

/// A person with one more line.
pub(crate) fn people(id: &str, more: &str) -> String {
    format!("[[person]]\nid = \"{id}\"\n{more}")
}

/// What a trigger needs when it is pulled, made before the clock runs.
pub(crate) struct Cocked {
    trigger: Trigger,
    report: PathBuf,
    candidate: PathBuf,
}

/// A device of a person: its certificate and its key.
pub(crate) struct Device {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Makes the device of a person known, and has it report that all is well.
pub(crate) fn device(server: &Server, person: &str) -> Result<Device> {
    let (name, out) = (format!("d-{person}"), server.folder.join("devices"));
    fs::create_dir_all(&out)?;
    let folder = out.to_str().context("the path of the repository is not UTF-8")?;
    server.command(&["device", "enrol", &name, "--owner", person, "--managed", "--out", folder])?;
    let device = Device { certificate: out.join(format!("{name}.pem")), key: out.join(format!("{name}.key")) };
    let report = out.join("well.jwt");
    sign(server, &name, &device, "disk_encrypted,endpoint_protection,os_current,firewall,screen_lock", &report)?;
    post(server, &report)?;
    Ok(device)
}

fn sign(server: &Server, name: &str, device: &Device, passed: &str, into: &PathBuf) -> Result<()> {
    let mut command = Command::new(&server.program);
    let output = command.args(["device", "report", name, "--passed", passed, "--key"]).arg(&device.key).output()?;
    ensure!(output.status.success(), "no report: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(into, output.stdout.trim_ascii())?;
    Ok(())
}

fn post(server: &Server, report: &std::path::Path) -> Result<()> {
    let address = format!("https://{PORTAL}:{}/api/v1/posture", server.https.port());
    let data = format!("@{}", report.display());
    let jar = Jar::new(server.folder.join("device.jar"));
    server.curl(&jar, &["-H", "content-type: application/jwt", "--data-binary", &data, &address]).map(|_| ())
}

impl Cocked {
    /// Makes everything ready.
    pub(crate) fn of(trigger: Trigger, server: &Server, device: Option<&Device>) -> Result<Self> {
        let report = server.folder.join("devices/unwell.jwt");
        let candidate = server.folder.with_extension("candidate");
        match (trigger, device) {
            (Trigger::Posture, Some(device)) => {
                // A report must not bear the second of the last.
                sleep(Duration::from_millis(1_100));
                sign(server, &format!("d-{}", trigger.person()), device, "disk_encrypted,os_current", &report)?;
            }
            (Trigger::PolicyPublished, _) => {
                let _ = fs::remove_dir_all(&candidate);
                fs::create_dir_all(&candidate)?;
                for entry in fs::read_dir(server.folder.join("policies"))? {
                    let path = entry?.path();
                    let name = path.file_name().context("a file has a name")?.to_owned();
                    if path.is_file() && name != "p-policy.cedar" {
                        fs::copy(&path, candidate.join(name))?;
                    }
                }
            }
            _ => {}
        }
        Ok(Self { trigger, report, candidate })
    }

    /// When it will happen, in milliseconds of the wall clock, where the clock pulls it. The fact is given its end now.
    pub(crate) fn set(&self, server: &Server) -> Result<Option<i64>> {
        if !matches!(self.trigger, Trigger::WindowEnds | Trigger::GrantEnds) {
            return Ok(None);
        }
        // A grant ends at a whole second; so does the window.
        let at = (now_ms()? + AHEAD_MS) / 1_000 * 1_000;
        let (file, text) = self.trigger.file(at);
        fs::write(server.folder.join(file), text)?;
        server.running.signal("HUP")?;
        Ok(Some(at))
    }

    /// Pulls it.
    pub(crate) fn pull(&self, server: &Server) -> Result<()> {
        let put = |file: &str, text: String| -> Result<()> {
            fs::write(server.folder.join(file), text)?;
            server.running.signal("HUP")
        };
        let person = self.trigger.person();
        match self.trigger {
            Trigger::SessionEnded => {
                // That of the browser, and that of the machine with the tunnels.
                local(server, "POST", &format!("/api/v1/people/{person}/end-sessions"))?;
                Ok(())
            }
            Trigger::LeftGroup => put(self.trigger.file(0).0, people(person, "")),
            Trigger::Deactivated => put(self.trigger.file(0).0, people(person, "active = false\n")),
            Trigger::Posture => post(server, &self.report),
            Trigger::GrantWithdrawn => put(self.trigger.file(FAR_MS).0, String::new()),
            Trigger::ApplicationChanged => {
                let text = fs::read_to_string(server.folder.join("estate/changed.toml"))?;
                put("estate/changed.toml", text.replace("observe", "enforce"))
            }
            Trigger::PolicyPublished => {
                let folder = self.candidate.to_str().context("the path of the repository is not UTF-8")?;
                server.command(&["policy", "publish", folder]).map(|_| ())
            }
            // The clock does it.
            Trigger::WindowEnds | Trigger::GrantEnds => Ok(()),
        }
    }
}

/// The session of a person.
pub(crate) fn session_of(server: &Server, person: &str) -> Result<String> {
    let all: Value = serde_json::from_str(&local(server, "GET", "/api/v1/sessions")?)?;
    let found = all.as_array().into_iter().flatten().find(|s| s["person"] == person);
    let session = found.and_then(|s| s["session"].as_str());
    Ok(session.with_context(|| format!("{person} has no session"))?.to_owned())
}

/// Asks on the local socket, as the command line does, without the time that a start of the program takes.
pub(crate) fn local(server: &Server, method: &str, path: &str) -> Result<String> {
    let mut command = Command::new(find("curl").context("curl is not installed")?);
    command.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "-X", method, "--unix-socket"]);
    let output = command.arg(server.folder.join("data/control.sock")).arg(format!("http://local{path}")).output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{path}: {told}");
    Ok(told)
}

fn now_ms() -> Result<i64> {
    let output = Command::new("date").arg("+%s%3N").output().context("cannot run date")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("date told no number")
}

/// An instant of whole seconds as text, in UTC: from days to the civil calendar.
fn instant(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Eras of 400 years, which begin on the first of March.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_the_civil_calendar() {
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
        assert_eq!(instant(951_827_696_000), "2000-02-29T12:34:56Z");
        assert_eq!(instant(1_790_769_720_000), "2026-09-30T12:02:00Z");
        assert_eq!(instant(FAR_MS), "2100-01-01T00:00:00Z");
    }

    #[test]
    fn every_trigger_has_a_person_of_its_own() {
        let people: std::collections::BTreeSet<&str> = Trigger::ALL.into_iter().map(Trigger::person).collect();
        assert_eq!(people.len(), Trigger::ALL.len());
    }
}
