//! The own parser against Cedar's: by hand, on the corpus, on generated texts and on broken ones.

use proptest::prelude::*;

use super::*;
use crate::engine::term::{Binary, Piece, Term, Unary, Var};
use crate::fuzzing::{Choices, Dice, Same, compare, mutated};

fn same(text: &str) -> Same {
    compare(text).unwrap_or_else(|difference| panic!("{difference}"))
}

fn condition(inside: &str) -> Same {
    same(&format!("permit(principal, action, resource) when {{ {inside} }};"))
}

#[test]
fn a_rule_of_the_five_ws_is_read_as_it_stands() {
    let text = "@id(\"a\") @why @owner(\"x\\ty\") permit(principal in Group::\"g\", action == N::Action::\"r\", resource is App) \
                when { context.mfa && principal.n >= -3 } unless { resource has a.b || resource like \"*\\*\" };";
    assert_eq!(same(text), Same::Rule);
    let parsed = statement(text).unwrap();
    assert_eq!(parsed.annotations, [("id", "a".into()), ("why", "".into()), ("owner", "x\ty".into())]);
    let get = |var, name: &str| Term::Get(Box::new(Term::Var(var)), name.into());
    let resource = || Box::new(Term::Var(Var::Resource));
    let any = Term::Any(vec![
        Term::Has(resource(), vec!["a".into(), "b".into()]),
        Term::Like(resource(), vec![Piece::AnyRun, Piece::Char('*')]),
    ]);
    assert_eq!(
        parsed.clause.unwrap().condition,
        Term::All(vec![
            get(Var::Context, "mfa"),
            Term::Binary(Binary::LessEq, Box::new([Term::Long(-3), get(Var::Principal, "n")])),
            Term::Unary(Unary::Not, Box::new(any)),
        ])
    );
}

#[test]
fn chains_and_brackets_are_kept_as_cedar_keeps_them() {
    for text in [
        "true && (false && true)",
        "(true && false) && true",
        "((true && false)) && true && (true || false || (true || false))",
        "(true || false) || true",
        "(principal is A in B::\"c\") && true",
        "principal is A::B in resource.x && true",
        "principal is action",
        "1 + 2 - 3 * 4 - -5",
        "- 5 == --5 && ----5 != -(5) && -5.a == - 5[\"b\"]",
        "!!!!true && !(1 < 2)",
        "if if true then false else true then 1 else 2 == 3 && true",
        "[1, \"a\", [],] == {a: 1, \"b c\": {}, zz: 2, aa: if true then 1 else 2,}",
        "-9223372036854775808 < 9223372036854775807 && 007 == 7",
        "1.a.b[\"c\"].contains(2,) && \"x\".y && true.z && User::\"u\".w && [1].isEmpty() && (if true then 1 else 2).q",
        "ip(\"1.1.1.1\",).isInRange(ip(\"::\")) && decimal(\"1.0\").greaterThan(decimal(\"2.0\"))",
        "context has principal.when && context has \"if\" && context[\"if\"] like \"\\u{2a}\\*\\x2a\"",
        "principal::permit::\"a\" == context::\"\\u{1F600}\\0\\'\" // a \" comment\r ",
        "\u{2003}true\u{a0}",
        "\"\u{85}\n\" == \"\"",
    ] {
        assert_eq!(condition(text), Same::Rule, "{text}");
    }
}

#[test]
fn what_cedar_refuses_is_refused() {
    for text in [
        "",
        "a",
        "1 < 2 < 3",
        "1 == 2 == 3",
        "principal has a == true",
        "principal is A in B::\"c\" in D::\"e\"",
        "1 / 2",
        "1 % 2",
        "1 = 1",
        "!!!!!true",
        "-----1",
        "!-1",
        "-!true",
        "true && if true then 1 else 2",
        "9223372036854775808",
        "-9223372036854775809",
        "-(9223372036854775808)",
        "-9223372036854775808.a",
        "18446744073709551616",
        "\"\\*\"",
        "\"\\q\"",
        "\"\r\"",
        "\"a\\\nb\"",
        "principal like (\"a\")",
        "principal like principal",
        "principal has (a)",
        "principal has a[\"b\"]",
        "principal has A::b",
        "principal has true",
        "principal has if",
        "principal has \"a\".b",
        "principal has a.in",
        "principal has __cedar",
        "principal.__cedar",
        "principal.true",
        "__cedar::\"a\" == 1",
        "A::__cedar::B::\"a\" == 1",
        "if::\"a\" == 1",
        "A::if::\"a\" == 1",
        "A::{a: 1} == 1",
        "principal[a]",
        "principal[(\"a\")]",
        "principal[1]",
        "principal is \"A\"",
        "principal is (A)",
        "principal is A.b",
        "principal is true",
        "principal(1)",
        "(1)(2)",
        "ip.a",
        "ip",
        "foo(1)",
        "A::ip(\"1\")",
        "contains(1)",
        "lessThan(1)",
        "[].contains()",
        "[].contains(1, 2)",
        "[].isEmpty(1)",
        "[].foo(1)",
        "[].ip(1)",
        "{a: 1, a: 2}",
        "{a: 1, \"a\": 2}",
        "{if: 1}",
        "{true: 1}",
        "{1: 2}",
        "{A::b: 1}",
        "{(a): 1}",
        "{\"\\q\": 1}",
        "[,]",
        "{,}",
        "[1,,2]",
        "[].contains(,)",
        "?principal == principal",
        "principal in ?principal",
        "?other",
        "true; true",
        "true }",
        "(true",
        "true)",
        "é",
        "\"",
        "true true",
        "unknown(\"a\")",
        "a::b",
    ] {
        assert_eq!(condition(text), Same::Refused, "{text}");
    }
    let (scope, rule) = ("principal, action, resource", "permit(principal, action, resource)");
    for text in [
        String::new(),
        rule.to_owned(),
        format!("{rule}; {rule};"),
        format!("{rule};;"),
        format!("allow({scope});"),
        format!("permit({scope}, context);"),
        format!("permit({scope},,);"),
        format!("@id @id {rule};"),
        format!("@id(\"a\") @x @id(\"b\") {rule};"),
        format!("@id() {rule};"),
        format!("@id(a) {rule};"),
        format!("@id(\"\\*\") {rule};"),
        format!("@ {rule};"),
        format!("{rule} while {{ true }};"),
        "permit(action, principal, resource);".into(),
        "permit(principal, action);".into(),
        "permit(principal: User, action, resource);".into(),
        "permit(principal == ?resource, action, resource);".into(),
        "permit(principal, action == ?action, resource);".into(),
        "permit(principal, action in ?resource, resource);".into(),
        "permit(principal, action, resource in ?other);".into(),
        "permit(principal, action, resource == ?resource) when { ?resource == resource };".into(),
        "permit(principal is A == A::\"b\", action, resource);".into(),
        "permit(principal in A::\"b\" is A, action, resource);".into(),
        "permit(principal in [A::\"b\"], action, resource);".into(),
        "permit(principal < A::\"b\", action, resource);".into(),
        "permit(principal = A::\"b\", action, resource);".into(),
        "permit(principal == A::\"b\".c, action, resource);".into(),
        "permit(principal == \"b\", action, resource);".into(),
        "permit(principal, action is Action, resource);".into(),
        "permit(principal, action == [Action::\"a\"], resource);".into(),
        "permit(principal, action in [[Action::\"a\"]], resource);".into(),
        "permit(principal, action == User::\"a\", resource);".into(),
        "permit(principal, action in [Action::\"a\", Actions::\"b\"], resource);".into(),
    ] {
        assert_eq!(same(&text), Same::Refused, "{text}");
    }
}

#[test]
fn scopes_annotations_and_templates_are_read_as_cedar_reads_them() {
    for text in [
        "@if @in(\"\") @__cedar forbid ( principal , action , resource , ) ;// end",
        "// begin\npermit(principal is A::B in (A::\"\\n\"), action in [], resource == ((context::\"c\")));",
        "permit(principal, action in ([Action::\"a\", (A::Action::\"b\"),]), resource is permit) unless { false } when { true };",
        "@id(\"a\")permit(principal,action==(Action::\"a\"),resource)when{true&&false}when{true}unless{true&&true};",
        "permit(principal, action in (Action::\"a\"), resource);",
    ] {
        assert_eq!(same(text), Same::Rule, "{text}");
    }
    for text in [
        "permit(principal == ?principal, action, resource);",
        "permit(principal is A in (?principal), action, resource in ?resource) when { true };",
        "@id(\"a\") forbid(principal, action, resource == ?resource);",
    ] {
        assert_eq!(same(text), Same::Template, "{text}");
    }
}

#[test]
fn what_has_no_term_is_left_to_cedar() {
    for text in ["ip()", "ip(\"a\", \"b\")", "principal.isIpv4(1)", "principal.offset()", "principal.lessThan(1, 2)"] {
        assert_eq!(condition(text), Same::Elsewhere, "{text}");
    }
}

fn wrapped(open: &str, inside: &str, close: &str, times: usize) -> String {
    let (open, close) = (open.repeat(times), close.repeat(times));
    format!("permit(principal, action, resource) when {{ {open}{inside}{close} }};")
}

#[test]
fn depth_is_bounded_and_nothing_else_is() {
    let most = MAX_NESTED as usize;
    for (open, close) in
        [("(", ")"), ("[", "]"), ("!(", ")"), ("if true then 1 else ", ""), ("{a: ", "}"), ("ip(", ")")]
    {
        assert!(statement(&wrapped(open, "1", close, most - 1)).is_ok(), "{open}");
        let stray = statement(&wrapped(open, "1", close, most)).unwrap_err();
        assert!(is_too_deep(stray), "{open}: {stray}");
        assert!(statement(&wrapped(open, "1", close, 50_000)).is_err());
    }
    for chain in [".a", " + 1", " - 1", " * 1", "[\"a\"]", ".isEmpty()"] {
        assert!(statement(&wrapped("", "1", chain, MAX_HEIGHT as usize)).is_ok());
        assert!(is_too_deep(statement(&wrapped("", "1", chain, MAX_HEIGHT as usize + 1)).unwrap_err()));
    }
    for chain in [" && true", " || true"] {
        assert!(statement(&wrapped("", "1", chain, 5_000)).is_ok());
    }
    let doubled = |n: usize| statement(&wrapped("(if ", "true", " is A in A::\"b\" then 1 else 2)", n)).map(|_| ());
    assert!(doubled(6).is_ok());
    assert!(is_too_deep(doubled(7).unwrap_err()));
}

#[test]
fn both_parsers_agree_at_the_bounds() {
    for (open, close) in [("(", ")"), ("!(", ")"), ("if true then 1 else ", "")] {
        for times in [MAX_NESTED as usize - 1, MAX_NESTED as usize] {
            let text = wrapped(open, "1", close, times);
            let wanted = if times < MAX_NESTED as usize { Same::Rule } else { Same::TooDeep };
            assert_eq!(same(&text), wanted, "{open} {times}");
        }
    }
}

#[test]
fn a_stray_says_where_and_what() {
    let stray = |text: &str| statement(text).unwrap_err().to_string();
    assert_eq!(stray("permit(principal, resource);"), "at byte 18: expected `action`");
    assert_eq!(
        stray("permit(principal, action, resource) when { a.b };"),
        "at byte 43: expected a variable, an entity or a function"
    );
    assert_eq!(stray("permit(principal, action, resource)"), "at byte 35: expected `when`, `unless` or `;`");
}

/// Policies that broken ones are made from.
const SEEDS: [&str; 4] = [
    "@id(\"a\") permit(principal in Group::\"g\", action == Action::\"r\", resource in App::\"a\") when { context.device.compliant && \
     context.time.toTime() >= duration(\"1h\") && context.ip.isInRange(ip(\"10.0.0.0/16\")) && [\"a\", \"b\"].contains(context.why) };",
    "forbid(principal is A::B in (A::\"\\n\"), action in [Action::\"a\", N::Action::\"b\"], resource == A::\"c\") unless { principal has \
     a.b || resource like \"*\\*\" } when { (true && -1 < 2) && (true && !false) };",
    "permit(principal == ?principal, action, resource in ?resource) when { if principal is A then {a: 1, \"b\": [2,]} == resource[\"c\"] \
     else resource.getTag(\"x\") != -9223372036854775808 };",
    "@a @b(\"\\u{41}\") permit(principal, action, resource) when { principal is A in resource.b && \"x\\u{2a}\" != \"\\x2a\" } unless { 1 + \
     2 * 3 - -4 > 5 || decimal(\"1.0\").lessThan(decimal(\"2.0\")) };",
];

#[test]
fn broken_policies_are_refused_or_read_alike() {
    let (mut dice, mut rules) = (Dice(7), 0);
    for round in 0..3_000 {
        let text = mutated(SEEDS[round % SEEDS.len()], &mut dice);
        rules += usize::from(same(&text) == Same::Rule);
    }
    // The changes are small enough that some survive them.
    assert!(rules > 100, "{rules}");
}

proptest! {
    #[test]
    fn generated_policies_are_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = Choices::new(&bytes).policy();
        prop_assert!(compare(&text).is_ok(), "{:?}", compare(&text));
    }

    #[test]
    fn arbitrary_text_never_breaks_the_parser(text in "\\PC{0,80}") {
        prop_assert!(compare(&text).is_ok());
    }
}
