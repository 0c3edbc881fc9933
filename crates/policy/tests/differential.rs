//! The compiled engine against Cedar on random schemas, policies, entities and requests. A longer run:
//! `cargo xtask bench differential`.

mod dice;
mod generate;

use generate::{Case, Tally, check, shrink};

/// Cases of a run, and requests of each.
const CASES: u64 = 150;
const REQUESTS: usize = 20;

#[test]
fn the_engine_says_what_cedar_says() {
    let mut tally = Tally::default();
    for seed in 0..CASES {
        let case = Case::of(seed, REQUESTS);
        let mut one = Tally::default();
        let differences = check(&case, &mut one);
        tally.add(&one);
        if let Some((request, how)) = differences.into_iter().next() {
            let mut differs = |case: &Case| !check(case, &mut Tally::default()).is_empty();
            panic!("case {seed}: {how}\n{}", shrink(&case, request, &mut differs));
        }
    }
    // A run in which nothing is allowed or nothing fails would show little.
    let share = |n: usize| n * 100 / tally.decisions;
    assert!(share(tally.allowed) > 20, "{} % are allowed", share(tally.allowed));
    assert!(share(tally.with_errors) > 5, "{} % have errors", share(tally.with_errors));
    assert!(tally.stricter > 0 && tally.valid > 0);
}

#[test]
fn a_crowded_set_is_decided_as_cedar_does() {
    // Long lists of rules with the same resource and action are searched, not walked. The cases with odd numbers have no schema, so
    // that the rules of many can stand in one set.
    for first in [1, 101, 201] {
        let mut case = Case::of(first, REQUESTS);
        case.policies.extend((0..30).flat_map(|n| Case::of(first + 2 * n, 0).policies));
        let mut tally = Tally::default();
        assert_eq!(check(&case, &mut tally), Vec::new());
        assert!(tally.rules > 120, "{}", tally.rules);
    }
}

#[test]
fn a_difference_is_told_as_small_as_it_goes() {
    // As if the engines differed wherever a policy says `like` and anybody asks.
    let like = |case: &Case| case.to_string().contains(" like ") && !case.requests.is_empty();
    let case = (0..).map(|seed| Case::of(seed, 3)).find(like).expect("some case says it");
    let small = shrink(&case, 1, &mut |case| like(case));
    let text = small.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains(" like ") && lines[1].starts_with("request: "), "{text}");
    assert!(!lines[0].contains("&&") && !lines[0].contains("unless"), "{text}");
}
