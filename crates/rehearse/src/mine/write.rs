//! Drafts as Cedar.

use std::fmt::Write as _;

use safeconduct_model::{Application, Principal};

use super::conditions::Conditions;
use super::draft::{Draft, Target};

/// A text as a Cedar string literal. Names of networks and purposes are free texts, so nothing in them may end the literal.
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || (!c.is_ascii() && !c.is_alphanumeric()) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn entity(principal: &Principal) -> String {
    match principal {
        Principal::Person(id) => format!("Person::{}", literal(id.as_str())),
        Principal::Workload(id) => format!("Workload::{}", literal(id.as_str())),
        Principal::Nobody => "Person::\"\"".to_owned(),
    }
}

/// One rule.
pub(crate) fn rule(draft: &Draft, app: &Application, why: &str) -> String {
    let mut text = format!("@id({})\n", literal(draft.id.as_str()));
    if let Some(owner) = &app.owner {
        let _ = writeln!(text, "@owner({})", literal(owner.as_str()));
    }
    let _ = writeln!(text, "@why({})", literal(why));
    let who = match &draft.target {
        Target::Group(id) => format!("principal in Group::{}", literal(id.as_str())),
        Target::One(principal) => format!("principal == {}", entity(principal)),
    };
    let actions: Vec<String> = draft.actions.iter().map(|a| format!("Action::\"{a}\"")).collect();
    let actions = match actions.as_slice() {
        [one] => format!("action == {one}"),
        several => format!("action in [{}]", several.join(", ")),
    };
    let resource = format!("resource == Application::{}", literal(app.id.as_str()));
    let _ = write!(text, "permit (\n    {who},\n    {actions},\n    {resource}\n)");
    let c = &draft.conditions;
    let mut when = clauses(c);
    if let Some(within) = &draft.within {
        let more = within.clauses(&draft.target, &when, c.window, c.weekdays);
        when.splice(0..0, more);
    }
    if !when.is_empty() {
        let _ = write!(text, "\nwhen {{\n    {}\n}}", when.join(" &&\n    "));
    }
    for lift in draft.within.iter().flat_map(|w| w.lifts()) {
        let _ = write!(text, "\nunless {{ {lift} }}");
    }
    for group in &draft.without {
        let _ = write!(text, "\nunless {{ principal in Group::{} }}", literal(group.as_str()));
    }
    for flagged in &draft.except {
        let _ = write!(text, "\nunless {{ principal == {} }}", entity(flagged));
    }
    text.push_str(";\n");
    text
}

fn clauses(c: &Conditions) -> Vec<String> {
    let mut all = Vec::new();
    if c.weekdays {
        all.push("context.weekday <= 5".to_owned());
    }
    if let Some((from, to)) = c.window {
        if from > 0 {
            all.push(format!("context.minute >= {from}"));
        }
        if to < 1440 {
            all.push(format!("context.minute < {to}"));
        }
    }
    let flags = [
        (c.mfa, "context.auth.mfa"),
        (c.known, "context.device.known"),
        (c.managed, "context.device.managed"),
        (c.compliant, "context.device.compliant"),
    ];
    all.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, text)| text.to_owned()));
    all.extend(c.checks.iter().map(|check| format!("context.device.{check}")));
    all.extend(c.network.as_ref().map(|n| format!("context.net.zone == {}", literal(n))));
    let purposes: Vec<String> = c.purposes.iter().map(|p| literal(p)).collect();
    match purposes.as_slice() {
        [] => {}
        [one] => all.extend(["context has purpose".to_owned(), format!("context.purpose == {one}")]),
        several => {
            all.extend([
                "context has purpose".to_owned(),
                format!("[{}].contains(context.purpose)", several.join(", ")),
            ]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_literal() {
        assert_eq!(literal("office"), "\"office\"");
        assert_eq!(literal("a\" };\n\\ü\u{202e}"), "\"a\\\" };\\u{a}\\\\ü\\u{202e}\"");
    }
}
