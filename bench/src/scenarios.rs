//! Three small worlds in the manner of the OOPSLA 2024 paper on Cedar (arXiv 2403.04651), written after its description: documents
//! shared in folders, repositories with teams, lists of tasks.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// Requests of each store.
const REQUESTS: usize = 500;

/// Rules, and a store with requests.
pub(crate) struct Store {
    pub rules: &'static str,
    pub entities: Value,
    pub requests: Vec<Value>,
}

/// The store of a scenario behind a number, with so many entities of each kind.
pub(crate) fn store(name: &str, each: usize, number: u64) -> Option<Store> {
    let dice = Dice::new(number.wrapping_mul(0x9e37_79b9).wrapping_add(each as u64));
    let mut world = World { dice, each, rows: Vec::new() };
    let (rules, actions): (_, &[(&str, &str)]) = match name {
        "gdrive" => {
            world.gdrive();
            (
                GDRIVE,
                &[
                    ("readDocument", "Document"),
                    ("writeDocument", "Document"),
                    ("changeOwner", "Document"),
                    ("createDocument", "Folder"),
                ],
            )
        }
        "github" => {
            world.github();
            (
                GITHUB,
                &[
                    ("pull", "Repository"),
                    ("push", "Repository"),
                    ("addAdmin", "Repository"),
                    ("editIssue", "Issue"),
                    ("deleteIssue", "Issue"),
                ],
            )
        }
        "tinytodo" => {
            world.tinytodo();
            (
                TINYTODO,
                &[("GetList", "List"), ("UpdateTask", "List"), ("EditShares", "List"), ("CreateList", "Application")],
            )
        }
        _ => return None,
    };
    let requests = (0..REQUESTS).map(|_| world.request(actions)).collect();
    Some(Store { rules, entities: Value::Array(world.rows), requests })
}

const GDRIVE: &str = r#"
permit(principal, action == Action::"readDocument", resource) when { resource in principal.documentsAndFoldersWithViewAccess };
permit(principal, action == Action::"readDocument", resource) when { resource.isPublic };
permit(principal, action == Action::"readDocument", resource)
    when { resource has sharedWith && principal in resource.sharedWith };
permit(principal, action in [Action::"readDocument", Action::"writeDocument", Action::"createDocument"], resource)
    when { resource in principal.documentsAndFoldersWithEditAccess };
permit(principal, action, resource) when { resource has owner && resource.owner == principal };
forbid(principal, action == Action::"writeDocument", resource) when { resource.isLocked && resource.owner != principal };
"#;

const GITHUB: &str = r#"
permit(principal, action == Action::"pull", resource) when { principal in resource.readers };
permit(principal, action == Action::"fork", resource) when { principal in resource.readers };
permit(principal, action == Action::"push", resource) when { principal in resource.writers };
permit(principal, action == Action::"addReader", resource) when { principal in resource.maintainers };
permit(principal, action in [Action::"addAdmin", Action::"deleteRepository"], resource) when { principal in resource.admins };
permit(principal, action == Action::"editIssue", resource)
    when { principal in resource.repository.readers && principal == resource.reporter };
permit(principal, action in [Action::"editIssue", Action::"assignIssue"], resource)
    when { principal in resource.repository.triagers };
permit(principal, action == Action::"deleteIssue", resource) when { principal in resource.repository.maintainers };
forbid(principal, action in [Action::"push", Action::"editIssue"], resource) when { resource.isArchived };
"#;

const TINYTODO: &str = r#"
permit(principal, action in [Action::"CreateList", Action::"GetLists"], resource == Application::"0");
permit(principal, action, resource is List) when { resource.owner == principal };
permit(principal, action == Action::"GetList", resource is List)
    when { principal in resource.readers || principal in resource.editors };
permit(principal, action in [Action::"UpdateList", Action::"CreateTask", Action::"UpdateTask", Action::"DeleteTask"], resource is List)
    when { principal in resource.editors };
permit(principal in Team::"0", action, resource is List);
forbid(principal in Team::"1", action == Action::"CreateList", resource);
"#;

struct World {
    dice: Dice,
    each: usize,
    rows: Vec<Value>,
}

fn uid(kind: &str, id: &(impl ToString + ?Sized)) -> Value {
    json!({ "type": kind, "id": id.to_string() })
}

fn reference(kind: &str, id: &(impl ToString + ?Sized)) -> Value {
    json!({ "__entity": uid(kind, id) })
}

impl World {
    fn put(&mut self, uid: &Value, attrs: &Value, parents: &[Value]) {
        self.rows.push(json!({ "uid": uid, "attrs": attrs, "parents": parents }));
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.dice.below(100) < percent
    }

    /// Some entities of a kind: about so many percent, no more than the first `below`.
    fn some(&mut self, kind: &str, below: usize, percent: usize) -> Vec<Value> {
        (0..below).filter(|_| self.chance(percent)).map(|n| uid(kind, &n)).collect()
    }

    fn gdrive(&mut self) {
        for n in 0..self.each {
            let above = self.some("Group", n, 10);
            self.put(&uid("Group", &n), &json!({}), &above);
            let above = self.some("Folder", n.min(8), 20);
            self.put(&uid("Folder", &n), &json!({}), &above);
        }
        for n in 0..self.each {
            let above = self.some("Folder", self.each, 200 / self.each.max(10));
            let mut attrs = Map::new();
            attrs.insert("owner".into(), reference("User", &self.dice.below(self.each)));
            attrs.insert("isPublic".into(), json!(self.chance(10)));
            attrs.insert("isLocked".into(), json!(self.chance(10)));
            if self.chance(40) {
                attrs.insert("sharedWith".into(), reference("Group", &self.dice.below(self.each)));
            }
            self.put(&uid("Document", &n), &Value::Object(attrs), &above);
        }
        for n in 0..self.each {
            let mut access = |kind: &str, percent: usize| -> Vec<Value> {
                self.some(kind, self.each, percent).into_iter().map(|uid| json!({ "__entity": uid })).collect()
            };
            let view: Vec<Value> = access("Document", 5).into_iter().chain(access("Folder", 5)).collect();
            let edit: Vec<Value> = access("Document", 3).into_iter().chain(access("Folder", 3)).collect();
            let attrs = json!({ "documentsAndFoldersWithViewAccess": view, "documentsAndFoldersWithEditAccess": edit });
            let above = self.some("Group", self.each, 10);
            self.put(&uid("User", &n), &attrs, &above);
        }
    }

    fn github(&mut self) {
        const ROLES: [&str; 5] = ["readers", "triagers", "writers", "maintainers", "admins"];
        for repo in 0..self.each {
            let mut attrs = Map::new();
            for (at, role) in ROLES.iter().enumerate() {
                let id = format!("{repo}-{role}");
                // Who may write may read.
                let above = at.checked_sub(1).map(|less| uid("Role", &format!("{repo}-{}", ROLES[less])));
                self.put(&uid("Role", &id), &json!({}), above.as_slice());
                attrs.insert((*role).to_owned(), reference("Role", &id));
            }
            attrs.insert("isArchived".into(), json!(self.chance(5)));
            self.put(&uid("Repository", &repo), &Value::Object(attrs), &[]);
            let attrs = json!({ "repository": reference("Repository", &repo), "isArchived": false,
                "reporter": reference("User", &self.dice.below(self.each)) });
            self.put(&uid("Issue", &repo), &attrs, &[]);
        }
        let each = self.each;
        for (kind, n) in ["Team", "User"].into_iter().flat_map(|kind| (0..each).map(move |n| (kind, n))) {
            let mut above = self.some("Team", if kind == "Team" { n } else { self.each }, 10);
            for repo in 0..self.each {
                if self.chance(8) {
                    let role = ROLES[self.dice.below(ROLES.len())];
                    above.push(uid("Role", &format!("{repo}-{role}")));
                }
            }
            self.put(&uid(kind, &n), &json!({}), &above);
        }
    }

    fn tinytodo(&mut self) {
        self.put(&uid("Application", &0), &json!({}), &[]);
        for n in 0..self.each {
            let above = self.some("Team", n, 10);
            self.put(&uid("Team", &n), &json!({}), &above);
        }
        for n in 0..self.each {
            let above = self.some("Team", self.each, 10);
            self.put(&uid("User", &n), &json!({}), &above);
            let attrs = json!({ "owner": reference("User", &self.dice.below(self.each)), "name": format!("list {n}"),
                "readers": reference("Team", &self.dice.below(self.each)), "editors": reference("Team", &self.dice.below(self.each)) });
            self.put(&uid("List", &n), &attrs, &[uid("Application", &0)]);
        }
    }

    fn request(&mut self, actions: &[(&str, &str)]) -> Value {
        let (action, kind) = actions[self.dice.below(actions.len())];
        let resource = if kind == "Application" { 0 } else { self.dice.below(self.each) };
        json!({ "principal": uid("User", &self.dice.below(self.each)), "action": uid("Action", &action),
            "resource": uid(kind, &resource), "context": {} })
    }
}
