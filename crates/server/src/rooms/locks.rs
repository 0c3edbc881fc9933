//! What the page of locks shows and does.

use safeconduct_access::Visitor;
use safeconduct_console::Trouble;
use safeconduct_console::view::{Done, Fact, Link, LockForm, LockPlaced, LockRow};
use safeconduct_model::{Duration, Lock, LockId, LockTarget};

use crate::house::House;
use crate::locks::{LockError, NewLock};
use crate::rooms::links::Naming;
use crate::rooms::{not_found, settled};

/// Where the locks are.
const PAGE: &str = "/console/locks";

/// Every lock: those in force first, the latest first among each.
pub(crate) fn list(house: &House) -> Vec<LockRow> {
    let (now, locks) = (house.now(), house.locks());
    let row = |lock: &Lock| LockRow {
        id: lock.id.clone(),
        kind: lock.target.kind(),
        on: named(house, &lock.target),
        message: lock.message.to_string(),
        by: house.actor(&lock.by),
        placed: lock.placed,
        until: lock.until,
        in_force: lock.is_in_force(now),
    };
    let mut rows: Vec<LockRow> = locks.all().map(row).collect();
    rows.sort_by_key(|r| (!r.in_force, std::cmp::Reverse(r.placed)));
    rows
}

fn named(house: &House, target: &LockTarget) -> Link {
    match target {
        LockTarget::Person(id) => house.person(id),
        LockTarget::Group(id) => house.group(id),
        LockTarget::Device(id) => house.device(id),
        LockTarget::Application(id) => house.app(id),
        LockTarget::Connector(name) => Link::to(name.to_string(), "/console/connectors"),
        other => Link::plain(other.name()),
    }
}

/// The locks on a thing that hold, as facts of its page.
pub(crate) fn facts(house: &House, target: &LockTarget) -> Vec<Fact> {
    let (now, locks) = (house.now(), house.locks());
    let fact = |lock: &Lock| Fact {
        name: match lock.until {
            Some(until) => format!("locked until {until}"),
            None => "locked until it is lifted".to_owned(),
        },
        value: Link::to(lock.message.to_string(), PAGE),
        source: format!("lock {}, by {}", lock.id, house.actor(&lock.by).text),
        since: Some(lock.placed),
    };
    locks.in_force(now).filter(|lock| lock.target == *target).map(fact).collect()
}

/// Places a lock, or says what is wrong with it.
pub(crate) async fn place(house: &House, by: &Visitor, form: &LockForm) -> Result<LockPlaced, Trouble> {
    let wanted = match read(form) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(LockPlaced::Again { error }),
    };
    let placed = house.place_lock(by.person.as_str(), Some(&by.person), wanted).await;
    let lock = match placed {
        Ok(lock) => lock,
        Err(error) => return refused(&error).map(|error| LockPlaced::Again { error }),
    };
    settled(house).await;
    let end = lock.until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
    Ok(LockPlaced::Done(Done {
        title: format!("The {} {} is locked, {end}.", lock.target.kind(), named(house, &lock.target).text),
        details: vec![
            "What was live and rests on it was cut.".to_owned(),
            format!("Who is refused is told: {}", lock.message),
        ],
        next: Link::to("All locks", PAGE),
    }))
}

fn read(form: &LockForm) -> Result<NewLock, String> {
    let target = LockTarget::of(form.kind.trim(), form.name.trim()).map_err(|e| format!("{e}."))?;
    let message = form.message.parse().map_err(|e| format!("{e}."))?;
    let lasts = match form.lasts.trim() {
        "" => None,
        text => Some(text.parse::<Duration>().map_err(|e| format!("{e}."))?),
    };
    Ok(NewLock { target, message, lasts, force: false })
}

/// Lifts a lock.
pub(crate) async fn lift(house: &House, by: &Visitor, id: &LockId) -> Result<Done, Trouble> {
    let lock = match house.lift_lock(by.person.as_str(), id).await {
        Ok(lock) => lock,
        Err(LockError::NotThere(_)) => return Err(not_found()),
        Err(error) => return Err(Trouble::Unavailable { what: refused(&error)? }),
    };
    settled(house).await;
    Ok(Done {
        title: format!("The lock on the {} {} is lifted.", lock.target.kind(), named(house, &lock.target).text),
        details: vec!["Everything is decided again as before it.".to_owned()],
        next: Link::to("All locks", PAGE),
    })
}

/// What is wrong, in words for the operator.
fn refused(error: &LockError) -> Result<String, Trouble> {
    let words = format!("{error}.");
    match error {
        LockError::NoId(_) | LockError::NotKept(_) | LockError::NotRecorded(_) | LockError::StillHolds(_) => {
            tracing::warn!(error = words, "a lock could not be placed or lifted whole");
            Err(Trouble::Unavailable { what: words })
        }
        _ => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_or_told() {
        let form = |kind: &str, name: &str, message: &str, lasts: &str| LockForm {
            kind: kind.into(),
            name: name.into(),
            message: message.into(),
            lasts: lasts.into(),
        };
        let read = |f: LockForm| read(&f).map(|new| (new.target.to_string(), new.lasts));
        assert_eq!(
            read(form("person", " ada ", "Call us.", "8h")),
            Ok(("person ada".into(), Some(Duration::from_hours(8))))
        );
        assert_eq!(read(form("site", "berlin", "Call us.", "")), Ok(("site berlin".into(), None)));
        for (form, told) in [
            (form("persons", "ada", "m", ""), "`persons`"),
            (form("person", "Ada", "m", ""), "`Ada`"),
            (form("person", "ada", "  ", ""), "needs a message"),
            (form("person", "ada", "m", "8 weeks"), "8 weeks"),
        ] {
            assert!(read(form).is_err_and(|e| e.contains(told)), "{told}");
        }
    }
}
