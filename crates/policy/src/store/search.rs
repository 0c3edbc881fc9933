//! Search in a store, page by page. A cursor belongs to one question at one revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Evaluation, Store};
use crate::engine::{Quest, Sought};

/// The most results of one page.
pub const MAX_PAGE: usize = 1_000;
/// Results of a page where nothing is said.
const PAGE: usize = 100;
/// The most candidates that are looked at for one page.
const MAX_LOOKS: usize = 100_000;
/// The longest cursor.
const MAX_TOKEN: usize = 4_096;

/// What is sought, and which page of it.
#[derive(Clone, Debug)]
pub struct Seek {
    /// Which side. What stands on that side of the question is its type; an id there is ignored.
    pub sought: Sought,
    /// The question.
    pub ask: Evaluation,
    /// Where the last page ended.
    pub token: Option<String>,
    /// At most so many results; nothing leaves it to the store.
    pub limit: Option<usize>,
}

/// A result: something of the type that was asked for, or the name of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The id, or the name of the action.
    pub id: String,
}

/// A page of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The results, in the order of ids.
    pub rows: Vec<Row>,
    /// The cursor of the next page; nothing if there is none.
    pub next: Option<String>,
}

/// Why a page is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchRefused {
    /// It was not given out here, or something else of the request changed.
    #[error(
        "`page.token` does not belong to this question; repeat the request with which the search began, and its token"
    )]
    Foreign,
    /// Policies or entities changed since.
    #[error("`page.token` is of revision {was}, and the store is at {is} now; begin the search again without a token")]
    Outdated {
        /// The revision of the cursor.
        was: String,
        /// The revision of the store.
        is: String,
    },
}

/// A cursor. Whoever makes one up only asks for another page of what may be asked anyway.
#[derive(Serialize, Deserialize)]
struct Cursor {
    r: String,
    q: String,
    k: String,
    n: usize,
}

impl Store {
    /// One page of everything on one side for which the question is permitted.
    ///
    /// # Errors
    /// If the cursor is not of this question at this revision.
    pub fn search(&self, seek: &Seek) -> Result<Page, SearchRefused> {
        let question = digest(seek);
        let cursor = seek.token.as_deref().filter(|t| !t.is_empty()).map(|t| read(t, &question, &self.revision));
        let cursor = cursor.transpose()?;
        let limit = seek.limit.or(cursor.as_ref().map(|c| c.n)).unwrap_or(PAGE).clamp(1, MAX_PAGE);
        let after = cursor.as_ref().map(|c| c.k.as_str());
        let (ids, next) = match seek.sought {
            Sought::Action => (self.actions(&seek.ask, after, limit), None),
            side => self.entities(side, &seek.ask, after, limit),
        };
        let more = ids.len() > limit;
        let rows: Vec<Row> = ids.into_iter().take(limit).map(|id| Row { id }).collect();
        let key = next.or_else(|| rows.last().filter(|_| more).map(|row| row.id.clone()));
        let token = |k| write(&Cursor { r: self.revision.clone(), q: question, k, n: limit });
        Ok(Page { next: key.map(token), rows })
    }

    fn entities(
        &self,
        side: Sought,
        ask: &Evaluation,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, Option<String>) {
        let named = if side == Sought::Principal { &ask.subject.kind } else { &ask.resource.kind };
        // A question that the schema does not know has no answer: nothing is found.
        let (Some(kind), Ok(request)) = (self.kind(named), self.request(ask)) else { return Default::default() };
        let Ok(mut prepared) = self.engine.prepare(&request) else { return Default::default() };
        let quest = Quest { sought: side, kind, after, limit, looks: MAX_LOOKS };
        let found = self.engine.search(&self.directory, &mut prepared, quest);
        (found.ids, found.next)
    }

    /// Actions are few, and each has a context of its own: every one is decided. One more than the limit says that there are more.
    fn actions(&self, ask: &Evaluation, after: Option<&str>, limit: usize) -> Vec<String> {
        let mut names: Vec<&str> = self.shapes.actions().iter().map(|a| a.id.as_str()).collect();
        names.sort_unstable();
        let behind = names.into_iter().filter(|name| after.is_none_or(|after| *name > after));
        let permitted = |name: &&str| {
            let mut ask = ask.clone();
            (*name).clone_into(&mut ask.action.name);
            self.evaluate(&ask).permitted
        };
        behind.filter(permitted).take(limit + 1).map(str::to_owned).collect()
    }
}

/// Names the question, without the page.
fn digest(seek: &Seek) -> String {
    let Evaluation { subject, action, resource, context } = &seek.ask;
    let subject_id = (seek.sought != Sought::Principal).then_some(&subject.id);
    let resource_id = (seek.sought != Sought::Resource).then_some(&resource.id);
    let action_name = (seek.sought != Sought::Action).then_some(&action.name);
    let mut question = serde_json::json!([
        format!("{:?}", seek.sought),
        [serde_json::json!(subject.kind), serde_json::json!(subject_id), serde_json::json!(subject.properties)],
        [serde_json::json!(action_name), serde_json::json!(action.properties)],
        [serde_json::json!(resource.kind), serde_json::json!(resource_id), serde_json::json!(resource.properties)],
        context,
    ]);
    question.sort_all_objects();
    let digest = Sha256::digest(question.to_string());
    URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or_default())
}

fn write(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn read(token: &str, question: &str, revision: &str) -> Result<Cursor, SearchRefused> {
    let bytes = Some(token).filter(|t| t.len() <= MAX_TOKEN).and_then(|t| URL_SAFE_NO_PAD.decode(t).ok());
    let cursor: Cursor = bytes.and_then(|b| serde_json::from_slice(&b).ok()).ok_or(SearchRefused::Foreign)?;
    if cursor.q != question {
        return Err(SearchRefused::Foreign);
    }
    if cursor.r != revision {
        return Err(SearchRefused::Outdated { was: cursor.r, is: revision.to_owned() });
    }
    Ok(cursor)
}
