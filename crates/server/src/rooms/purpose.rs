//! What an access is for: the purposes that a person may state, and the one that is kept.

use std::collections::BTreeSet;

use safeconduct_access::Visitor;
use safeconduct_console::Trouble;
use safeconduct_console::view::{Outcome, PurposeForm, Why};
use safeconduct_model::{AppId, Stated};

use crate::house::House;
use crate::rooms::sign_in::{again, go};
use crate::rooms::{not_found, unkept};
use crate::sign_in::encode;

/// The longest ticket, in characters.
const MAX_TICKET: usize = 64;

/// The purposes to choose from.
pub(crate) fn why(house: &House, app: &AppId) -> Result<Why, Trouble> {
    let current = house.current();
    let application = current.snapshot.application(app).ok_or_else(not_found)?;
    let about = || current.snapshot.rules().iter().filter(|r| r.covers_application(application));
    // The purposes that some rule about the application asks for come alone; where no rule asks, all come.
    let asked: BTreeSet<String> = about()
        .flat_map(|r| &r.when)
        .filter_map(safeconduct_policy::Expr::as_text_choice)
        .filter(|(path, _)| path == "purpose")
        .flat_map(|(_, accepted)| accepted)
        .collect();
    let all = current.config.settings.purposes.iter();
    let offered = all.filter(|p| asked.is_empty() || asked.contains(*p));
    Ok(Why {
        app: app.clone(),
        name: application.name.clone(),
        purposes: offered.map(|p| (p.clone(), words(p))).collect(),
        ticket: about().any(|r| r.reads().contains("ticket")),
    })
}

/// A name of the configuration as people read it.
fn words(name: &str) -> String {
    let text = name.replace(['-', '_'], " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Keeps what the visitor says an access is for.
pub(crate) async fn state_purpose(house: &House, by: &Visitor, form: &PurposeForm) -> Result<Outcome, Trouble> {
    let app: AppId = form.app.parse().map_err(|_| not_found())?;
    let current = house.current();
    if current.snapshot.application(&app).is_none() {
        return Err(not_found());
    }
    let Some(purpose) = current.config.settings.purposes.iter().find(|p| **p == form.purpose) else {
        return Ok(again("Choose one of the purposes."));
    };
    let ticket = form.ticket.trim();
    if ticket.chars().count() > MAX_TICKET || ticket.chars().any(char::is_control) {
        return Ok(again(format!("A ticket has {MAX_TICKET} characters at most, on one line.")));
    }
    let stated = Stated { purpose: purpose.clone(), ticket: Some(ticket.to_owned()).filter(|t| !t.is_empty()) };
    house.state_purpose(&by.auth.session, app, stated).await.map_err(|e| unkept(&e))?;
    // A form is never redirected to another host; the next page goes on by script or link.
    Ok(go(format!("/device/prove?return={}", encode(&form.return_to))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_configuration_read_as_words() {
        assert_eq!(words("quarter-end-close"), "Quarter end close");
    }
}
