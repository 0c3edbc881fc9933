//! NT-24, NT-30, NT-31, NT-42 with real devices: a session goes with the device that began it, and a device is its own leaf.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Browser, Door, House, host, tests};

pub(crate) const TESTS: &[Test] = tests![
    nt_24_nt_42_a_session_of_a_device_goes_nowhere_without_its_certificate,
    nt_31_a_device_is_its_leaf_whatever_stands_behind_it,
];

/// A device with its key and certificate.
struct Device {
    name: String,
    key: PathBuf,
    certificate: PathBuf,
}

fn enrol(house: &House, folder: &Path, name: &str, owner: &str) -> Result<Device> {
    let out = folder.to_str().context("the folder has a plain name")?;
    house.server.command(&["device", "enrol", name, "--owner", owner, "--managed", "--out", out])?;
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    Ok(Device { name: name.to_owned(), key: file("key"), certificate: file("pem") })
}

/// Signs a person in over connections that show a device, and enters an application.
fn sign_in(house: &House, door: Door, person: &str) -> Result<(Arc<Door>, Browser)> {
    let door = Arc::new(door);
    let mut browser = Browser::new(Arc::clone(&door));
    browser.use_link(&house.server.setup_link(person)?)?;
    house.enter(&mut browser, &host("raw"))?;
    Ok((door, browser))
}

fn ask(house: &House, door: &Door, cookie: &str) -> Result<(u16, serde_json::Value)> {
    let mark = house.mark("device");
    let raw = format!("GET /{mark} HTTP/1.1\r\nhost: {}\r\n{cookie}connection: close\r\n\r\n", host("raw"));
    let mut visit = door.open(&host("raw"))?;
    visit.send(raw)?;
    let heard = visit.listen();
    if heard.status() != 200 {
        house.unheard(&mark)?;
    }
    Ok((heard.status(), house.ledger.from(visit.from, 1)?.remove(0)))
}

fn nt_24_nt_42_a_session_of_a_device_goes_nowhere_without_its_certificate(house: &House) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let own = enrol(house, folder.path(), "lena-laptop", "lena")?;
    let other = enrol(house, folder.path(), "bob-laptop", "bob")?;
    let (door, browser) = sign_in(house, house.door.showing(&[&own.certificate], &own.key)?, "lena")?;
    let cookie = browser.cookie_line(&host("raw"));
    let (status, record) = ask(house, &door, &cookie)?;
    ensure!(status == 200 && record["ask"]["place"]["device"]["id"] == *own.name, "{record}");
    // The cookie alone, and the cookie with the certificate of another device.
    let (status, record) = ask(house, &house.door, &cookie)?;
    ensure!(status == 401 && record["verdict"] == "deny", "a cookie without its device: {status}: {record}");
    let others = house.door.showing(&[&other.certificate], &other.key)?;
    let (status, record) = ask(house, &others, &cookie)?;
    ensure!(status == 401 && record["verdict"] == "deny", "a cookie on another device: {status}: {record}");
    // The portal neither.
    let mut thief = Browser::new(Arc::clone(&house.door));
    thief.jar.clone_from(&browser.jar);
    let page = thief.get(&host("portal"), "/api/v1/whoami")?;
    ensure!(page.heard.status() == 401, "{page:?}");
    // And the device that it belongs to still may.
    ensure!(ask(house, &door, &cookie)?.0 == 200);
    Ok(())
}

fn nt_31_a_device_is_its_leaf_whatever_stands_behind_it(house: &House) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let victim = enrol(house, folder.path(), "mona-laptop", "mona")?;
    let attacker = enrol(house, folder.path(), "mallory-laptop", "bob")?;
    let (_, browser) = sign_in(house, house.door.showing(&[&victim.certificate], &victim.key)?, "mona")?;
    let cookie = browser.cookie_line(&host("raw"));
    // The attacker proves his own key and puts the victim's certificate behind, and behind that the authority's.
    let authority = house.server.folder().join("data/ca.pem");
    for chain in [
        vec![&attacker.certificate, &victim.certificate],
        vec![&attacker.certificate, &victim.certificate, &authority],
        vec![&attacker.certificate, &authority, &victim.certificate],
    ] {
        let chain: Vec<&Path> = chain.into_iter().map(PathBuf::as_path).collect();
        let door = house.door.showing(&chain, &attacker.key)?;
        // A chain with something foreign in it may be refused as a whole.
        let Ok((status, record)) = ask(house, &door, &cookie) else { continue };
        ensure!(status == 401, "the certificate behind the leaf counted: {record}");
        ensure!(record["ask"]["place"]["device"]["id"] != *victim.name, "{record}");
    }
    // The other way round, the key is not that of the leaf: no connection comes of it.
    let door = house.door.showing(&[&victim.certificate, &attacker.certificate], &attacker.key);
    let came = door.and_then(|door| ask(house, &door, &cookie));
    ensure!(came.is_err(), "a leaf without its key was taken: {came:?}");
    Ok(())
}
