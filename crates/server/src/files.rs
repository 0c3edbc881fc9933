//! The configuration folder: its texts, and whether they changed.

use std::fs;
use std::path::{Path, PathBuf};

use safeconduct_config::{Config, Settings, Text, Texts};
use safeconduct_model::{AppId, Fault, GroupId, PersonId};
use safeconduct_policy::store::{Store, StoreTexts};
use safeconduct_policy::{Fixture, FixtureText, PolicyText, Snapshot, Sources, parse_fixtures, run_fixtures};
use safeconduct_rehearse::prove::Invariants;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name of the main file.
pub const MAIN: &str = "safeconduct.toml";
/// The largest text file that is read, in bytes.
const MAX_FILE: u64 = 8 * 1024 * 1024;
/// The most files in one folder.
const MAX_FILES: usize = 10_000;

/// Reads every text of the configuration in `dir`. What cannot be read is a fault like any other.
pub fn read(dir: &Path) -> Result<Texts, Vec<Fault>> {
    let mut files = Vec::new();
    let mut faults = Vec::new();
    one(dir, Path::new(MAIN), &mut files, &mut faults);
    folder(dir, "estate", "toml", &mut files, &mut faults);
    folder(dir, "policies", "cedar", &mut files, &mut faults);
    folder(dir, "policies/tests", "toml", &mut files, &mut faults);
    folder(dir, "invariants", "cedar", &mut files, &mut faults);
    folder(dir, "clients", "sha256", &mut files, &mut faults);
    stores(dir, &mut files, &mut faults);
    if faults.is_empty() { Ok(Texts::from_files(files)) } else { Err(faults) }
}

/// Reads and checks the main file alone.
pub fn settings(dir: &Path) -> Result<Settings, Vec<Fault>> {
    let mut files = Vec::new();
    let mut faults = Vec::new();
    one(dir, Path::new(MAIN), &mut files, &mut faults);
    folder(dir, "clients", "sha256", &mut files, &mut faults);
    if faults.is_empty() { Settings::check(&Texts::from_files(files)) } else { Err(faults) }
}

/// What a look at the files without reading them shows: which there are, how long, and when each was last changed. Two looks that are
/// equal mean that nothing was written between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance(Vec<(PathBuf, u64, i64, i64)>);

/// Looks at every file that [`read`] would read.
pub(crate) fn glance(dir: &Path) -> Glance {
    use std::os::unix::fs::MetadataExt;
    let mut seen = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["estate", "policies", "policies/tests", "invariants", "clients"].map(PathBuf::from).into();
    let stores = fs::read_dir(dir.join("stores")).into_iter().flatten().filter_map(Result::ok);
    folders.extend(stores.map(|e| Path::new("stores").join(e.file_name())));
    let files = folders.iter().flat_map(|folder| {
        let listing = fs::read_dir(dir.join(folder)).into_iter().flatten().filter_map(Result::ok);
        listing.map(|e| e.path()).collect::<Vec<_>>()
    });
    for path in files.chain([dir.join(MAIN)]) {
        if let Ok(of) = fs::metadata(&path) {
            seen.push((
                path,
                of.len(),
                of.mtime_nsec() + of.mtime() * 1_000_000_000,
                of.ctime_nsec() + of.ctime() * 1_000_000_000,
            ));
        }
    }
    seen.sort();
    Glance(seen)
}

/// Reads the policies and tests of a candidate: a folder with `*.cedar` and perhaps `tests/*.toml`.
pub fn read_candidate(dir: &Path) -> Result<(Vec<Text>, Vec<Text>), Vec<Fault>> {
    let (mut policies, mut tests, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    folder(dir, "", "cedar", &mut policies, &mut faults);
    folder(dir, "tests", "toml", &mut tests, &mut faults);
    if policies.is_empty() && faults.is_empty() {
        let name = dir.display().to_string();
        faults.push(Fault::new(name, 0, "there is no *.cedar file here", "name a folder with policies"));
    }
    for text in &mut policies {
        text.file = format!("policies/{}", text.file);
    }
    for text in &mut tests {
        text.file = format!("policies/{}", text.file);
    }
    if faults.is_empty() { Ok((policies, tests)) } else { Err(faults) }
}

fn folder(dir: &Path, name: &str, ending: &str, files: &mut Vec<Text>, faults: &mut Vec<Fault>) {
    let listing = match fs::read_dir(dir.join(name)) {
        Ok(listing) => listing,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !name.is_empty() => return,
        Err(e) => {
            let shown = if name.is_empty() { dir.display().to_string() } else { name.to_owned() };
            faults.push(Fault::new(shown, 0, format!("cannot be listed: {e}"), "check the path and its permissions"));
            return;
        }
    };
    let mut names: Vec<PathBuf> = listing
        .filter_map(Result::ok)
        .map(|e| Path::new(name).join(e.file_name()))
        .filter(|p| p.extension().is_some_and(|e| e == ending) && !hidden(p))
        .collect();
    names.sort();
    if names.len() > MAX_FILES {
        faults.push(Fault::new(name, 0, format!("more than {MAX_FILES} files"), "put several rules into one file"));
        return;
    }
    for path in names {
        one(dir, &path, files, faults);
    }
}

/// The files of every decision store.
fn stores(dir: &Path, files: &mut Vec<Text>, faults: &mut Vec<Fault>) {
    let Ok(listing) = fs::read_dir(dir.join("stores")) else { return };
    let mut folders: Vec<PathBuf> = listing
        .filter_map(Result::ok)
        .filter(|e| e.path().is_dir())
        .map(|e| Path::new("stores").join(e.file_name()))
        .filter(|p| !hidden(p))
        .collect();
    folders.sort();
    for name in folders.iter().filter_map(|p| p.to_str()) {
        for ending in ["cedar", "cedarschema", "json"] {
            folder(dir, name, ending, files, faults);
        }
    }
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
}

fn one(dir: &Path, path: &Path, files: &mut Vec<Text>, faults: &mut Vec<Fault>) {
    let file = path.display().to_string();
    let full = dir.join(path);
    let size = fs::metadata(&full).map(|m| m.len());
    match size.and_then(|size| if size > MAX_FILE { Ok(None) } else { fs::read(&full).map(Some) }) {
        Ok(None) => faults.push(Fault::new(file, 0, "the file is larger than 8 MiB", "split it into several files")),
        Err(e) => {
            let remedy = if file == MAIN {
                "run `safeconduct init DIR` to begin, or name the file with --config"
            } else {
                "check its permissions"
            };
            faults.push(Fault::new(file, 0, format!("cannot be read: {e}"), remedy));
        }
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => files.push(Text { file, text }),
            Err(_) => faults.push(Fault::new(file, 0, "is not UTF-8 text", "save it as UTF-8")),
        },
    }
}

/// A configuration that passed every check: settings and estate hold together, every policy is valid, every fixture holds.
pub struct Built {
    /// The texts it was built from.
    pub texts: Texts,
    /// Settings and estate.
    pub config: Config,
    /// Policies and applications.
    pub snapshot: Snapshot,
    /// The fixtures that were asserted.
    pub fixtures: Vec<Fixture>,
    /// The decision stores by name, without the built-in one.
    pub stores: Stores,
}

/// Decision stores by name.
pub type Stores = BTreeMap<String, Arc<Store>>;

/// Checks everything, or tells all faults.
pub fn build(texts: Texts, revision: u64) -> Result<Built, Vec<Fault>> {
    let config = Config::check(&texts);
    let sources = match &config {
        Ok(config) => sources(config, &texts.policies),
        // The estate is broken; policies are still parsed and typed, so that their faults come along.
        Err(_) => Sources {
            policies: policy_texts(&texts.policies),
            applications: vec![],
            assets: vec![],
            zone: jiff::tz::TimeZone::UTC,
        },
    };
    let snapshot = Snapshot::build(revision, sources);
    let (config, snapshot) = match (config, snapshot) {
        (Ok(config), Ok(snapshot)) => (config, snapshot),
        (Err(mut faults), snapshot) => {
            let unknown = |f: &Fault| f.what.ends_with("which does not exist");
            faults.extend(snapshot.err().into_iter().flatten().filter(|f| !unknown(f)));
            return Err(faults);
        }
        (Ok(_), Err(faults)) => return Err(faults),
    };
    invariants(&texts, &snapshot)?;
    let (fixtures, mut faults) = fixtures(&config, &texts.tests);
    let stores = decision_stores(&config, &texts.stores, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let failures = run_fixtures(&snapshot, &fixtures);
    if !failures.is_empty() {
        return Err(failures.into_iter().map(|f| f.fault).collect());
    }
    Ok(Built { texts, config, snapshot, fixtures, stores })
}

/// Builds the decision stores that are configured; every fault is told.
fn decision_stores(config: &Config, texts: &[Text], faults: &mut Vec<Fault>) -> Stores {
    let mut stores = Stores::new();
    let configured = config.settings.decision_point.iter().flat_map(|d| &d.stores);
    for (name, (folder, types)) in configured.filter_map(|(n, s)| Some((n, (s.folder.as_ref()?, &s.types)))) {
        let mut own = StoreTexts { types: types.clone(), ..StoreTexts::default() };
        for text in texts.iter().filter(|t| Path::new(&t.file).parent() == Some(Path::new(folder))) {
            own.take(PolicyText { file: text.file.clone(), text: text.text.clone() });
        }
        match Store::build(folder, &own) {
            Ok(store) => {
                stores.insert(name.clone(), Arc::new(store));
            }
            Err(told) => faults.extend(told),
        }
    }
    stores
}

/// What a snapshot of these policies is made of.
#[must_use]
pub fn sources(config: &Config, policies: &[Text]) -> Sources {
    Sources {
        policies: policy_texts(policies),
        applications: config.estate.applications.values().cloned().collect(),
        assets: config.estate.assets.values().cloned().collect(),
        zone: config.settings.zone.clone(),
    }
}

/// What the policies must never permit, checked as policies are.
pub fn invariants(texts: &Texts, snapshot: &Snapshot) -> Result<Invariants, Vec<Fault>> {
    Invariants::read(policy_texts(&texts.invariants), snapshot.sources())
}

fn policy_texts(texts: &[Text]) -> Vec<PolicyText> {
    texts.iter().map(|t| PolicyText { file: t.file.clone(), text: t.text.clone() }).collect()
}

/// Parses the fixtures; every fault is told.
#[must_use]
pub fn fixtures(config: &Config, texts: &[Text]) -> (Vec<Fixture>, Vec<Fault>) {
    let people = |id: &PersonId| -> Option<BTreeSet<GroupId>> { config.estate.groups_of(id) };
    let (mut fixtures, mut faults) = (Vec::new(), Vec::new());
    for text in texts {
        let text = FixtureText { file: text.file.clone(), text: text.text.clone() };
        match parse_fixtures(&text, &people) {
            Ok(parsed) => fixtures.extend(parsed),
            Err(told) => faults.extend(told),
        }
    }
    (fixtures, faults)
}

/// Writes the files of a new configuration. Nothing that is there is touched.
pub fn init(dir: &Path, files: &[Text]) -> Result<(), Fault> {
    let fault = |file: &str, what: String| Fault::new(file, 0, what, "name an empty folder");
    for text in files {
        let path = dir.join(&text.file);
        if path.exists() {
            return Err(fault(&text.file, "exists already; nothing was written".to_owned()));
        }
    }
    for text in files {
        let path = dir.join(&text.file);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, &text.text))
            .map_err(|e| fault(&text.file, format!("cannot be written: {e}")))?;
    }
    Ok(())
}

/// Replaces the policy files of a configuration by those of a candidate: each file is written whole or not at all, and files
/// that the candidate does not have are removed last, so that at no instant a rule is missing. What is there already is not
/// written again: each file costs a wait for the disk, and whoever publishes a rule less waits for none.
pub fn replace_policies(dir: &Path, policies: &[Text], tests: &[Text]) -> Result<(), Fault> {
    let told = |file: &str, e: &std::io::Error| {
        Fault::new(file, 0, format!("cannot be written: {e}"), "check the folder's permissions")
    };
    let (mut now, mut unreadable) = (Vec::new(), Vec::new());
    folder(dir, "policies", "cedar", &mut now, &mut unreadable);
    folder(dir, "policies/tests", "toml", &mut now, &mut unreadable);
    let there: BTreeMap<&str, &str> = now.iter().map(|t| (t.file.as_str(), t.text.as_str())).collect();
    for text in policies.iter().chain(tests).filter(|t| there.get(t.file.as_str()) != Some(&t.text.as_str())) {
        write_whole(&dir.join(&text.file), &text.text).map_err(|e| told(&text.file, &e))?;
    }
    let keep: BTreeSet<&str> = policies.iter().chain(tests).map(|t| t.file.as_str()).collect();
    for old in there.keys().filter(|file| !keep.contains(*file)) {
        fs::remove_file(dir.join(old)).map_err(|e| told(old, &e))?;
    }
    Ok(())
}

/// Writes a file so that a reader sees the old content or the new one, never a part.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.new"));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// The name of the file in which a proposal for an application is published.
#[must_use]
pub fn proposal_file(app: &AppId) -> String {
    format!("policies/{app}.cedar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_config::starter;

    #[test]
    fn what_init_writes_passes_every_check() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        init(dir.path(), &starter("acme.localhost")).expect("written");
        let built = build(read(dir.path()).expect("readable"), 1).unwrap_or_else(|f| panic!("{}", f[0]));
        assert_eq!(built.fixtures.len(), 3);
        let again = init(dir.path(), &starter("acme.localhost")).expect_err("nothing is overwritten");
        assert!(again.what.contains("exists already"));
    }

    #[test]
    fn a_fixture_that_does_not_hold_refuses_the_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        init(dir.path(), &starter("acme.localhost")).expect("written");
        fs::write(dir.path().join("policies/console.cedar"), "").expect("written");
        let faults = build(read(dir.path()).expect("readable"), 1).map(|_| ()).expect_err("the operator is locked out");
        assert!(faults[0].to_string().starts_with("policies/tests/starter.toml:3: test `an operator"), "{}", faults[0]);
    }

    #[test]
    fn faults_of_estate_and_policies_come_together() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        init(dir.path(), &starter("acme.localhost")).expect("written");
        fs::write(dir.path().join("estate/more.toml"), "[[person]]\nid = 1\n").expect("written");
        fs::write(dir.path().join("policies/more.cedar"), "permit(principal, action, resource)").expect("written");
        let faults = build(read(dir.path()).expect("readable"), 1).map(|_| ()).expect_err("two faults");
        let files: BTreeSet<&str> = faults.iter().map(|f| f.file.as_str()).collect();
        assert!(files.contains("estate/more.toml") && files.contains("policies/more.cedar"), "{faults:?}");
    }

    #[test]
    fn policies_are_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        init(dir.path(), &starter("acme.localhost")).expect("written");
        let text = |file: &str, text: &str| Text { file: file.into(), text: text.into() };
        replace_policies(dir.path(), &[text("policies/new.cedar", "// nothing\n")], &[]).expect("written");
        let texts = read(dir.path()).expect("readable");
        let names: Vec<&str> = texts.policies.iter().map(|t| t.file.as_str()).collect();
        assert_eq!((names.as_slice(), texts.tests.len()), (&["policies/new.cedar"][..], 0));
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let text = |file: &str, text: &str| Text { file: format!("policies/{file}"), text: text.into() };
        let number = |file: &str| fs::metadata(dir.path().join("policies").join(file)).map(|m| m.ino()).ok();
        let put = |all: &[Text]| replace_policies(dir.path(), all, &[]).expect("written");
        put(&[text("same.cedar", "// a"), text("other.cedar", "// a"), text("gone.cedar", "// a")]);
        let before = ["same.cedar", "other.cedar"].map(number);
        put(&[text("same.cedar", "// a"), text("other.cedar", "// b")]);
        let after = ["same.cedar", "other.cedar"].map(number);
        assert_eq!((before[0], number("gone.cedar")), (after[0], None));
        assert_ne!(before[1], after[1], "it is a new file");
        assert_eq!(fs::read_to_string(dir.path().join("policies/other.cedar")).expect("there"), "// b");
    }

    #[test]
    fn the_demo_company_holds() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
        let built = build(read(&dir).expect("readable"), 1).unwrap_or_else(|f| panic!("{}", f[0]));
        assert_eq!(built.config.estate.people.len(), 40);
        assert!(built.fixtures.len() >= 8);
    }
}
