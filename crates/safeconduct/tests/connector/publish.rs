//! The command line beside a server that runs: policies are published, and the rest works while they are being changed.

use std::fs;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_published_folder_binds_and_a_faulty_one_is_told_where() {
    let stage = Stage::start().await;
    let rules = stage.config().join("policies/rules.cedar");
    let now = fs::read_to_string(&rules).expect("readable");
    let candidate = tempfile::tempdir().expect("a folder");
    let folder = candidate.path().to_str().expect("UTF-8");
    let write = |text: &str| fs::write(candidate.path().join("rules.cedar"), text).expect("written");

    write(&format!("{now}\n@id(\"half\") permit(principal,"));
    let (code, told) = stage.safeconduct(&["policy", "publish", folder]);
    assert!(code == Some(2) && told.contains("rules.cedar:"), "{code:?} {told}");
    assert_eq!(fs::read_to_string(&rules).expect("readable"), now, "nothing was written");

    // What is half-written elsewhere hides no fault, and holds up no publication.
    let estate = stage.config().join("estate/people.toml");
    fs::write(&estate, "[[person").expect("written");
    let (code, told) = stage.safeconduct(&["policy", "publish", folder]);
    assert!(code == Some(1) && told.contains("rules.cedar:") && !told.contains("people.toml"), "{code:?} {told}");

    let wider = format!("{now}\n@id(\"everyone\") permit(principal, action, resource);\n");
    write(&wider);
    let (code, told) = stage.safeconduct(&["policy", "publish", folder]);
    assert!(code == Some(0) && told.contains("everyone") && told.contains("binds now"), "{code:?} {told}");
    assert_eq!(fs::read_to_string(&rules).expect("readable"), wider);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_placed_while_somebody_is_at_work_on_the_policies() {
    let stage = Stage::start().await;
    fs::write(stage.config().join("policies/rules.cedar"), "permit(principal,").expect("written");
    assert_eq!(stage.safeconduct(&["config", "check"]).0, Some(2));
    let (code, told) = stage.safeconduct(&["lock", "add", "--message", "m", "--person", "ada"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(stage.safeconduct(&["ledger", "verify"]).0, Some(0));
}
