//! Cedar text with its words set apart, and failing conditions marked. Spans are made here, so no page needs a script.

use std::ops::Range;

use maud::{Markup, html};
use safeconduct_model::Failing;

const WORDS: [&str; 17] = [
    "permit",
    "forbid",
    "when",
    "unless",
    "if",
    "then",
    "else",
    "in",
    "is",
    "has",
    "like",
    "true",
    "false",
    "principal",
    "action",
    "resource",
    "context",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    Comment,
    Text,
    Annotation,
    Verb,
    Subject,
    Number,
    Entity,
    Other,
}

impl Token {
    const fn class(self) -> Option<&'static str> {
        match self {
            Self::Comment => Some("c-com"),
            Self::Text => Some("c-str"),
            Self::Annotation => Some("c-ann"),
            Self::Verb => Some("c-verb"),
            Self::Subject => Some("c-sub"),
            Self::Number => Some("c-num"),
            Self::Entity => Some("c-ent"),
            Self::Other => None,
        }
    }
}

/// A policy as it is written.
pub(crate) fn text(cedar: &str) -> Markup {
    marked(cedar, &[])
}

/// A policy with the conditions that failed marked, where they stand in the text word for word.
pub(crate) fn marked(cedar: &str, failing: &[Failing]) -> Markup {
    let cedar = cedar.trim_end();
    let marks = ranges(cedar, failing);
    let tokens = tokens(cedar);
    html! {
        pre.cedar tabindex="0" aria-label="Cedar policy" { code {
            @for (part, hit) in segments(cedar.len(), &marks) {
                @if hit { mark.failed { (spans(cedar, &tokens, &part)) } } @else { (spans(cedar, &tokens, &part)) }
            }
        } }
    }
}

fn spans(cedar: &str, tokens: &[(Range<usize>, Token)], part: &Range<usize>) -> Markup {
    let inside = tokens.iter().filter_map(|(r, t)| {
        let (from, to) = (r.start.max(part.start), r.end.min(part.end));
        (from < to).then(|| (cedar.get(from..to).unwrap_or_default(), *t))
    });
    html! {
        @for (text, token) in inside {
            @match token.class() { Some(class) => span class=(class) { (text) }, None => (text) }
        }
    }
}

/// Where the failing conditions stand, in order and without overlap.
fn ranges(cedar: &str, failing: &[Failing]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = failing
        .iter()
        .filter(|f| !f.condition.trim().is_empty())
        .filter_map(|f| {
            let wanted = f.condition.trim();
            cedar.find(wanted).map(|at| at..at + wanted.len())
        })
        .collect();
    found.sort_by_key(|r| r.start);
    let mut out: Vec<Range<usize>> = Vec::new();
    for range in found {
        match out.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

fn segments(len: usize, marks: &[Range<usize>]) -> Vec<(Range<usize>, bool)> {
    let mut out = Vec::new();
    let mut at = 0;
    for mark in marks {
        if at < mark.start {
            out.push((at..mark.start, false));
        }
        out.push((mark.clone(), true));
        at = mark.end;
    }
    if at < len {
        out.push((at..len, false));
    }
    out
}

fn tokens(cedar: &str) -> Vec<(Range<usize>, Token)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = cedar.get(at..).filter(|r| !r.is_empty()) {
        let (len, token) = next(rest);
        out.push((at..at + len, token));
        at += len;
    }
    out
}

fn next(rest: &str) -> (usize, Token) {
    let first = rest.chars().next().unwrap_or(' ');
    let run = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), Token::Comment)
    } else if first == '"' {
        (quoted(rest), Token::Text)
    } else if first == '@' {
        let name = rest.get(1..).map_or(0, |r| r.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(r.len()));
        (1 + name, Token::Annotation)
    } else if first.is_ascii_digit() {
        (run(|c| c.is_ascii_digit()), Token::Number)
    } else if first.is_alphabetic() || first == '_' {
        let len = run(|c| c.is_alphanumeric() || c == '_');
        (len, word(rest.get(..len).unwrap_or_default()))
    } else {
        let stop = |c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '@' | '/');
        let len = rest.char_indices().skip(1).find(|(_, c)| stop(*c)).map_or(rest.len(), |(i, _)| i);
        (len, Token::Other)
    }
}

fn word(text: &str) -> Token {
    match WORDS.iter().position(|w| *w == text) {
        Some(0..13) => Token::Verb,
        Some(_) => Token::Subject,
        None if text.chars().next().is_some_and(char::is_uppercase) => Token::Entity,
        None => Token::Other,
    }
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(condition: &str) -> Failing {
        Failing { condition: condition.into(), words: String::new(), found: String::new() }
    }

    #[test]
    fn every_byte_of_a_policy_is_shown_once_whatever_it_holds() {
        for text in [
            "permit(principal, action, resource);",
            "\"open",
            "@id(\"a\\\"b\") // é\n<script>",
            "@",
            "/",
            "//",
            "ö1_\u{0}",
        ] {
            let whole: String = tokens(text).into_iter().map(|(r, _)| text[r].to_owned()).collect();
            assert_eq!(whole, text);
        }
    }

    #[test]
    fn the_failing_condition_is_marked_and_nothing_else() {
        let cedar = "permit(principal, action, resource) when {\n  context.device.compliant &&\n  context.mfa\n};";
        let page = marked(cedar, &[failing("context.device.compliant")]).into_string();
        let inside = page.split("<mark").nth(1).and_then(|p| p.split("</mark>").next()).unwrap_or_default();
        assert!(inside.contains("compliant") && !inside.contains("mfa"), "{inside}");
        assert_eq!(page.matches("<mark").count(), 1);
        assert!(!marked(cedar, &[failing("gone"), failing(" ")]).into_string().contains("<mark"));
    }

    #[test]
    fn overlapping_conditions_are_marked_once() {
        let marks = ranges("a && b && c", &[failing("a && b"), failing("b && c")]);
        assert_eq!(marks, vec![0..11]);
    }
}
