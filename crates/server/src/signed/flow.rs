//! A whole server whose configuration trusts one key.

use std::path::{Path, PathBuf};

use safeconduct_api::{Actor, Administration, PublishFrom};
use safeconduct_model::Fault;

use super::*;
use crate::clock::Clock;
use crate::files;
use crate::run::{Running, Start, StartError, start};

const RULE: &str = "@id(\"more\") permit(principal in Group::\"operators\", action == Action::\"read\", resource);\n";

/// A configuration that trusts a key which lies beside it.
struct Folder {
    dir: tempfile::TempDir,
    key: BundleKey,
}

fn folder() -> Folder {
    let dir = tempfile::tempdir().expect("a temporary folder");
    files::init(dir.path(), &safeconduct_config::starter("acme.localhost")).expect("written");
    let key = BundleKey::from_seed([5; 32]);
    let main = dir.path().join(files::MAIN);
    let text = fs::read_to_string(&main).expect("readable");
    let trusting = format!("{text}\n[policy]\ntrusted_keys = [\"{}\"]\n", hex(&key.public()));
    fs::write(main, trusting).expect("written");
    Folder { dir, key }
}

impl Folder {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn texts(&self) -> Texts {
        files::read(self.path()).unwrap_or_else(|f| panic!("{}", f[0]))
    }

    /// The policies that lie there, and one more with this text if it is not empty, signed.
    fn bundle(&self, more: &str, revision: u64, key: &BundleKey) -> String {
        let mut texts = self.texts();
        texts.policies.retain(|t| t.file != "policies/more.cedar");
        if !more.is_empty() {
            texts.policies.push(Text { file: "policies/more.cedar".into(), text: more.into() });
        }
        key.seal(&contents(&texts.policies, &texts.tests, revision, revision)).expect("a bundle")
    }

    /// Puts a file beside the configuration.
    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    async fn start(&self) -> Result<Running, StartError> {
        let https = Some("127.0.0.1:0".parse().expect("an address"));
        start(Start { dir: self.path().to_owned(), clock: Clock::system(), https }).await
    }

    async fn refused(&self) -> String {
        match self.start().await {
            Err(StartError::Faults(faults)) => told(&faults),
            Err(StartError::Other(error)) => panic!("not a fault of the configuration: {error:#}"),
            Ok(_) => panic!("it started"),
        }
    }
}

fn told(faults: &[Fault]) -> String {
    crate::proposals::told(faults)
}

#[tokio::test]
async fn without_a_bundle_nothing_starts_and_with_it_only_bundles_bind() {
    let f = folder();
    let fault = f.refused().await;
    assert!(fault.contains("signed.bundle") && fault.contains("there is no signed bundle"), "{fault}");
    f.put(BUNDLE, &f.bundle("", 1, &f.key));
    let server = f.start().await.expect("it starts");
    let house = &server.house;
    let before = house.current().snapshot.revision();
    // A folder, and a file that somebody edits.
    let candidate = tempfile::tempdir().expect("a temporary folder");
    fs::write(candidate.path().join("x.cedar"), RULE).expect("written");
    let faults = house.publish_folder("cli", candidate.path()).await.map(|b| b.revision).expect_err("it is not signed");
    assert!(told(&faults).contains("lets only signed policies bind"), "{}", told(&faults));
    let console = f.path().join("policies/console.cedar");
    let text = fs::read_to_string(&console).expect("readable");
    f.put("policies/console.cedar", &format!("{text}{RULE}"));
    let faults = house.reload().await.expect_err("it is not what was signed");
    assert!(told(&faults).contains("policies/console.cedar: is not the text that was signed"), "{}", told(&faults));
    assert!(told(&faults).contains("safeconduct policy publish"), "{}", told(&faults));
    assert_eq!(house.current().snapshot.revision(), before);
    f.put("policies/console.cedar", &text);
    // A signed one.
    let path = f.put("next.bundle", &f.bundle(RULE, 2, &f.key));
    // Its path names a file of this machine: only its own command line may say which.
    let desk = crate::portal::admin::Desk(std::sync::Arc::clone(house));
    let operator = Actor::Operator("admin".parse().expect("id"));
    let from = PublishFrom::Bundle(path.display().to_string());
    assert!(desk.publish(operator, from).await.is_err());
    assert_eq!(house.current().snapshot.revision(), before);
    let revision = house.publish_bundle("cli", &path).await.unwrap_or_else(|f| panic!("{}", told(&f))).revision;
    assert!(revision > before && house.current().snapshot.rule(&"more".parse().expect("id")).is_some());
    assert!(f.path().join("policies/more.cedar").exists());
    assert_eq!(house.reload().await, Ok(None), "what lies there is what binds");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn every_faulty_bundle_is_refused_and_nothing_of_it_binds() {
    let f = folder();
    let first = f.bundle("", 3, &f.key);
    f.put(BUNDLE, &first);
    let server = f.start().await.expect("it starts");
    let house = &server.house;
    let (revision, texts) = (house.current().snapshot.revision(), f.texts());
    let good = f.bundle(RULE, 4, &f.key);
    let other = BundleKey::from_seed([6; 32]);
    let mut foreign = contents(&texts.policies, &texts.tests, 5, 5);
    foreign.schema = [1; 32];
    let half = good.len() / 2;
    let broken = f.bundle("permit(principal, action, resource);", 4, &f.key);
    let cases = [
        ("another key", f.bundle(RULE, 4, &other), "not among the trusted keys"),
        ("a changed text", good.replace("@id(\"more\")", "@id(\"most\")"), "another text of `policies/more.cedar`"),
        ("a changed head", good.replace("revision 4", "revision 9"), "signature that does not hold"),
        ("cut in half", good[..half].to_owned(), "is not a whole bundle"),
        ("cut at the end", good[..good.len() - 1].to_owned(), "is cut off"),
        ("another schema", f.key.seal(&foreign).expect("sealed"), "another policy schema"),
        ("an older one", f.bundle(RULE, 2, &f.key), "has revision 2, and 4 is the least"),
        ("another of the same revision", f.bundle(RULE, 3, &f.key), "says something else"),
        ("signed, but not valid", broken, "@id"),
        ("not a bundle", "hello\n".to_owned(), "is not a whole bundle"),
    ];
    for (what, text, words) in cases {
        let path = f.put("bad.bundle", &text);
        let faults = house.publish_bundle("cli", &path).await.map(|b| b.revision).expect_err(what);
        assert!(told(&faults).contains(words), "{what}: {}", told(&faults));
        assert_eq!(house.current().snapshot.revision(), revision, "{what}");
        assert_eq!(
            (f.texts(), fs::read_to_string(f.path().join(BUNDLE)).expect("there")),
            (texts.clone(), first.clone())
        );
    }
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn an_old_bundle_is_not_put_back_behind_the_back_of_a_stopped_server() {
    let f = folder();
    let old = f.bundle("", 1, &f.key);
    f.put(BUNDLE, &old);
    let server = f.start().await.expect("it starts");
    let path = f.put("next.bundle", &f.bundle(RULE, 2, &f.key));
    server.house.publish_bundle("cli", &path).await.unwrap_or_else(|f| panic!("{}", told(&f)));
    server.stop().await.expect("stopped");
    // The old bundle with its old files, all of it rightly signed.
    f.put(BUNDLE, &old);
    fs::remove_file(f.path().join("policies/more.cedar")).expect("removed");
    let fault = f.refused().await;
    assert!(fault.contains("has revision 1, and 3 is the least that may bind after revision 2"), "{fault}");
    assert!(fault.contains("under a higher revision"), "{fault}");
    // What bound last binds again.
    f.put(BUNDLE, &fs::read_to_string(path).expect("readable"));
    f.put("policies/more.cedar", RULE);
    f.start().await.expect("it starts").stop().await.expect("stopped");
}
