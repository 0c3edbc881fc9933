//! Rules and conditions as people would say them.

use crate::expr::{Compare, Expr};
use crate::rule::{Effect, Rule, Scope};

/// A rule as one sentence, in five parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiveWs {
    /// `People in accountants`.
    pub who: String,
    /// `may read q3-finance`.
    pub what: String,
    /// `Monday to Friday, 08:00 to 18:00`.
    pub when: String,
    /// `from a managed device with endpoint protection`.
    pub place: String,
    /// `for quarter-end-close`.
    pub why: String,
}

impl FiveWs {
    /// The sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let parts = [&self.who, &self.what, &self.when, &self.place, &self.why];
        let said: Vec<&str> = parts.into_iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
        match said.split_first_chunk::<2>() {
            Some(([who, what], [])) => format!("{who} {what}."),
            Some(([who, what], rest)) => format!("{who} {what}, {}.", rest.join(", ")),
            None => said.join(" "),
        }
    }
}

impl Rule {
    /// The rule in words.
    #[must_use]
    pub fn five_ws(&self) -> FiveWs {
        let verb = match self.effect {
            Effect::Permit => "may",
            Effect::Forbid => "may never",
        };
        let actions: Vec<&str> = self.actions.iter().map(|a| a.name()).collect();
        let actions = if actions.len() == 3 { "use".to_owned() } else { join(&actions, "and") };
        let (mut what, mut when, mut place, mut why) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut who_more = Vec::new();
        let mut say = |e: &Expr, negate: bool| {
            let words = if negate { format!("unless {}", condition(e)) } else { condition(e) };
            if words.is_empty() {
                return;
            }
            match e.reads().first().map(String::as_str).unwrap_or_default() {
                p if p.starts_with("auth.") => who_more.push(words),
                "path" | "method" => what.push(words),
                "time" | "weekday" | "minute" => when.push(words),
                p if p.starts_with("device.") || p.starts_with("net.") => place.push(words),
                "purpose" | "ticket" | "granted" => why.push(words),
                _ => what.push(words),
            }
        };
        for e in &self.when {
            say(e, false);
        }
        for e in &self.unless {
            say(e, true);
        }
        let mut who = match &self.principal {
            Scope::Any => "Everybody who is signed in".to_owned(),
            Scope::Is(kind, id) if kind == "Person" => id.clone(),
            Scope::Is(kind, id) => format!("{} {id}", kind.to_lowercase()),
            Scope::In(_, id) => format!("People in {id}"),
            Scope::Kind(kind, None) if kind == "Person" => "Every person".to_owned(),
            Scope::Kind(kind, None) => format!("Every {}", kind.to_lowercase()),
            Scope::Kind(kind, Some((_, id))) if kind == "Person" => format!("People in {id}"),
            Scope::Kind(kind, Some((_, id))) => format!("Every {} in {id}", kind.to_lowercase()),
        };
        if !who_more.is_empty() {
            who = format!("{who} {}", who_more.join(" and "));
        }
        let target = match &self.resource {
            Scope::Any | Scope::Kind(_, None) => "every application".to_owned(),
            Scope::Is(_, id) => id.clone(),
            Scope::In(kind, id) | Scope::Kind(_, Some((kind, id))) if kind == "Asset" => {
                format!("every application of {id}")
            }
            Scope::In(_, id) | Scope::Kind(_, Some((_, id))) => id.clone(),
        };
        let mut what_text = format!("{verb} {actions} {target}");
        for more in what {
            what_text.push(' ');
            what_text.push_str(&more);
        }
        FiveWs { who, what: what_text, when: when_words(when), place: place.join(" "), why: why.join(" ") }
    }
}

fn when_words(parts: Vec<String>) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str(if part.starts_with("until") || part.starts_with("before") { " " } else { ", " });
        }
        text.push_str(&part);
    }
    text
}

/// One condition in words; empty where saying it adds nothing (`has` in front of the comparison that follows).
#[must_use]
pub fn condition(e: &Expr) -> String {
    if let Some((path, op, n)) = e.as_number_bound()
        && let Some(words) = bound(&path, op, n)
    {
        return words;
    }
    if let Some((path, numbers)) = e.as_number_choice()
        && path == "weekday"
    {
        return weekdays(&numbers);
    }
    if let Some((path, texts)) = e.as_text_choice() {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let list = join(&texts, "or");
        match path.as_str() {
            "purpose" => return format!("for {list}"),
            "ticket" => return format!("with ticket {list}"),
            "net.zone" => return format!("from the network {list}"),
            "net.country" => return format!("from {list}"),
            "method" => return format!("with {list}"),
            "path" => return format!("at {list}"),
            _ => {}
        }
    }
    if let Some((path, wanted)) = e.as_flag()
        && let Some(words) = flag(&path, wanted)
    {
        return words.to_owned();
    }
    match e {
        Expr::Has(p) if p.last().is_some_and(|l| l == "purpose" || l == "country") => String::new(),
        Expr::Has(p) if p.last().is_some_and(|l| l == "ticket") => "with a ticket".to_owned(),
        Expr::Like(of, pattern) if of.reads() == ["path"] => match pattern.strip_suffix('*') {
            Some(prefix) if !prefix.contains('*') => format!("below {prefix}"),
            _ => format!("at paths like {pattern}"),
        },
        Expr::Compare(Compare::Eq, left, right) | Expr::In(left, right) if matches!(left.as_ref(), Expr::Path(p) if p == &["principal"]) => {
            match right.as_ref() {
                Expr::Entity(kind, id) if kind == "Group" => format!("in {id}"),
                Expr::Entity(_, id) => format!("it is {id}"),
                other => format!("it is {other}"),
            }
        }
        Expr::InRange(_, range) => match range.as_ref() {
            Expr::Constant(_, net) => format!("from {net}"),
            other => format!("from {other}"),
        },
        Expr::Compare(op, left, right) if matches!(left.as_ref(), Expr::Path(p) if p == &["resource", "class"]) => {
            let not = if *op == Compare::Ne { "not " } else { "" };
            format!("of class {not}{}", right.to_string().trim_matches('"'))
        }
        Expr::Or(a, b) => format!("{} or {}", condition(a), condition(b)),
        Expr::And(a, b) => {
            let both = [condition(a), condition(b)];
            both.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" and ")
        }
        Expr::Not(inner) => format!("not {}", condition(inner)),
        other => format!("where {other}"),
    }
}

fn bound(path: &str, op: Compare, n: i64) -> Option<String> {
    use Compare::{Eq, Ge, Gt, Le, Lt};
    Some(match (path, op) {
        ("minute", Ge) => format!("from {}", clock(n)),
        ("minute", Gt) => format!("from {}", clock(n + 1)),
        ("minute", Lt) => format!("until {}", clock(n)),
        ("minute", Le) => format!("until {}", clock(n + 1)),
        ("weekday", Le) => weekdays(&(1..=n).collect::<Vec<_>>()),
        ("weekday", Lt) => weekdays(&(1..n).collect::<Vec<_>>()),
        ("weekday", Ge) => weekdays(&(n..=7).collect::<Vec<_>>()),
        ("weekday", Eq) => format!("on {}", weekday(n)),
        ("time", Ge | Gt) => format!("from {}", day(n)),
        ("time", Lt | Le) => format!("before {}", day(n)),
        ("auth.age", Lt | Le) => {
            let span = safeconduct_model::Duration::from_secs(n.unsigned_abs());
            format!("signed in less than {span} ago")
        }
        _ => return None,
    })
}

fn flag(path: &str, wanted: bool) -> Option<&'static str> {
    Some(match (path, wanted) {
        ("auth.mfa", true) => "with two factors",
        ("auth.phishing_resistant", true) => "with a phishing-resistant sign-in",
        ("device.known", true) => "from a known device",
        ("device.managed", true) => "from a managed device",
        ("device.compliant", true) => "from a compliant device",
        ("device.endpoint_protection", true) => "with current endpoint protection",
        ("device.disk_encrypted", true) => "with an encrypted disk",
        ("device.os_current", true) => "with a current operating system",
        ("device.firewall", true) => "with a firewall",
        ("device.screen_lock", true) => "with a screen lock",
        ("granted", true) => "with a dated grant",
        _ => return None,
    })
}

fn weekdays(days: &[i64]) -> String {
    match days {
        [first, .., last] if i64::try_from(days.len()).is_ok_and(|n| last - first + 1 == n) => {
            format!("{} to {}", weekday(*first), weekday(*last))
        }
        _ => format!("on {}", join(&days.iter().map(|d| weekday(*d)).collect::<Vec<_>>(), "and")),
    }
}

/// The name of a weekday, 1 = Monday.
pub(crate) fn weekday(n: i64) -> &'static str {
    const NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    usize::try_from(n - 1).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("no day")
}

/// A minute of the day as a clock shows it.
pub(crate) fn clock(minute: i64) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn day(ms: i64) -> String {
    let text = safeconduct_model::Timestamp::from_millis(ms).to_string();
    match text.split_once('T') {
        Some((date, "00:00:00.000Z")) => date.to_owned(),
        _ => text,
    }
}

fn join(items: &[&str], word: &str) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., last] => format!("{} {word} {last}", head.join(", ")),
    }
}
