//! From the files of a store to a store, or to every fault in them.

use std::collections::BTreeMap;
use std::path::Path;

use safeconduct_model::Fault;
use sha2::{Digest, Sha256};

use super::shape::Shapes;
use super::{Label, Store};
use crate::cedar::nesting;
use crate::engine::{Directory, Engine, Entities, Rules, Schema};
use crate::load::{MAX_NESTING, PolicyText, STACK, statements};

/// The most rules of one store.
const MAX_RULES: usize = 100_000;
/// How many bytes of the digest name a revision.
const REVISION_BYTES: usize = 8;

/// What a store is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreTexts {
    /// `*.cedar`, in the order of names.
    pub policies: Vec<PolicyText>,
    /// `*.cedarschema` or `*.cedarschema.json`.
    pub schemas: Vec<PolicyText>,
    /// `entities.json`.
    pub entities: Option<PolicyText>,
    /// Entity types by the type that callers name.
    pub types: BTreeMap<String, String>,
}

impl StoreTexts {
    /// Takes a file into its place; a file of another kind is left out.
    pub fn take(&mut self, text: PolicyText) {
        let name = Path::new(&text.file).file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.ends_with(".cedarschema") || name.ends_with(".cedarschema.json") {
            self.schemas.push(text);
        } else if name.ends_with(".cedar") {
            self.policies.push(text);
        } else if name == "entities.json" {
            self.entities = Some(text);
        }
    }

    /// Names exactly this content.
    fn revision(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        for text in self.policies.iter().chain(&self.schemas).chain(&self.entities) {
            add(&text.file);
            add(&text.text);
        }
        for (from, to) in &self.types {
            add(from);
            add(to);
        }
        hash.finalize().iter().take(REVISION_BYTES).map(|b| format!("{b:02x}")).collect()
    }
}

/// Checks everything and puts the store together. It works on a stack of its own, so that a deeply nested rule is a fault and
/// never the end of the process.
pub(super) fn build(folder: &str, texts: &StoreTexts) -> Result<Store, Vec<Fault>> {
    let built = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || build_here(folder, texts));
        thread.ok().and_then(|thread| thread.join().ok())
    });
    built.unwrap_or_else(|| {
        Err(vec![Fault::new(folder, 0, "the store could not be read", "take the last change back, and report it")])
    })
}

fn build_here(folder: &str, texts: &StoreTexts) -> Result<Store, Vec<Fault>> {
    let one = |file: &str, line: u32, what: String, remedy: &str| vec![Fault::new(file, line, what, remedy)];
    let [schema_text] = texts.schemas.as_slice() else {
        let what = format!("there are {} schemas, and a store has one", texts.schemas.len());
        return Err(one(folder, 0, what, "keep one *.cedarschema file in the folder"));
    };
    let Some(entities_text) = &texts.entities else {
        let what = "`entities.json` is missing".to_owned();
        return Err(one(folder, 0, what, "write the entities as Cedar's JSON; `[]` if there are none"));
    };
    let not_schema = |what: String| {
        one(&schema_text.file, 0, what, "see https://docs.cedarpolicy.com/schema/human-readable-schema.html")
    };
    let schema = Schema::parse(&schema_text.text).map_err(|e| not_schema(e.what))?;
    let outline = Schema::outline(&schema_text.text).map_err(|e| not_schema(e.what))?;
    let shapes = Shapes::read(&outline).map_err(not_schema)?;

    let mut faults = ambiguous(&schema_text.file, &shapes);
    for (from, to) in &texts.types {
        if shapes.entity(to).is_none() {
            let what = format!("the type `{from}` stands for `{to}`, which the schema does not declare");
            faults.extend(one(folder, 0, what, "correct the name, with its namespace"));
        }
    }
    let (rules, labels) = rules(&texts.policies, &mut faults);
    for (number, what) in rules.findings(&schema) {
        let label = number.and_then(|n| labels.get(n));
        let (file, line) = label.map_or((folder, 0), |l| (l.file.as_str(), l.line));
        faults.push(Fault::new(file, line, what, format!("compare with {}", schema_text.file)));
    }
    let entities = match Entities::parse(&entities_text.text, Some(&schema)) {
        Ok(entities) => Some(entities),
        Err(e) => {
            let line = serde_json::from_str::<serde_json::Value>(&entities_text.text).err().map_or(0, |e| e.line());
            let line = u32::try_from(line).unwrap_or(0);
            faults.push(Fault::new(
                &entities_text.file,
                line,
                e.what,
                "write it as Cedar's entity JSON, as the schema says",
            ));
            None
        }
    };
    let (Some(entities), true) = (entities, faults.is_empty()) else {
        faults.sort();
        return Err(faults);
    };
    let engine =
        Engine::compile(&rules, &entities).map_err(|e| one(&entities_text.file, e.line, e.what, "correct it"))?;
    let directory = Directory::of(&engine);
    Ok(Store { revision: texts.revision(), shapes, types: texts.types.clone(), engine, directory, labels })
}

/// An action whose name two namespaces declare could mean either.
fn ambiguous(file: &str, shapes: &Shapes) -> Vec<Fault> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut faults = Vec::new();
    for action in shapes.actions() {
        if let Some(other) = seen.insert(&action.id, &action.kind) {
            let what = format!("the action `{}` is declared as {other} and as {}", action.id, action.kind);
            faults.push(Fault::new(file, 0, what, "callers name actions without namespaces; rename one of them"));
        }
    }
    faults
}

/// The rules, and where each one stands.
fn rules(texts: &[PolicyText], faults: &mut Vec<Fault>) -> (Rules, Vec<Label>) {
    let (mut rules, mut labels) = (Rules::default(), Vec::new());
    for source in texts {
        for statement in statements(&source.text) {
            let mut tell = |line: u32, what: String, remedy: &str| {
                faults.push(Fault::new(&source.file, line, what, remedy));
            };
            if nesting(statement.text) > MAX_NESTING {
                let what =
                    format!("the rule is nested too deeply: more than {MAX_NESTING} brackets, operators and paths");
                tell(statement.line, what, "split it into several rules");
                continue;
            }
            if labels.len() == MAX_RULES {
                tell(statement.line, format!("a store has {MAX_RULES} rules at most"), "split the store");
                return (rules, labels);
            }
            if let Err(e) = rules.add_text(statement.text) {
                // A text of one statement begins in its first line.
                let line = statement.line + e.line.saturating_sub(1);
                tell(line, e.what, "see https://docs.cedarpolicy.com/policies/syntax-grammar.html");
                continue;
            }
            let number = labels.len();
            if rules.has_templates() {
                tell(
                    statement.line,
                    "templates decide nothing here".to_owned(),
                    "write the rule without ?principal and ?resource",
                );
                return (rules, labels);
            }
            let place = format!("{}:{}", source.file, statement.line);
            let name = rules.note(number, "id").filter(|id| !id.is_empty()).unwrap_or(place);
            let reason = rules.note(number, "reason_user").filter(|text| !text.is_empty());
            labels.push(Label { name, reason, file: source.file.clone(), line: statement.line });
        }
    }
    (rules, labels)
}
