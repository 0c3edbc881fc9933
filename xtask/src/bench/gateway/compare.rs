//! `bench compare`: does a change make a request cheaper? This build and others take turns with nginx, round by round, and all are
//! started anew several times, since the same program differs by some percent from start to start (by the pages that it gets).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::super::ahead::Ahead;
use super::super::{program, write};
use super::contestant::{Case, Contestant, Http, Size, Who};
use super::measure::{Generator, Times};
use super::peers::Place;
use super::rounds::median;
use super::{new_place, ours, peers, safeconduct};
use crate::terminal::{say, table};
use crate::tree;

const TIMES: Times = Times { warm_ms: 100, window_ms: 350 };

/// What a comparison was asked for.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    /// Other builds of the program.
    others: Vec<PathBuf>,
    cases: Vec<Case>,
    starts: usize,
    rounds: usize,
    /// Requests a second; as fast as answers come if there is none.
    rate: Option<f64>,
}

/// One of them, in the words of the table.
struct Taking {
    name: String,
    contestant: Contestant,
}

/// What was measured of a contestant in one round.
#[derive(Clone, Copy, Debug)]
struct Figure {
    cpu_us: f64,
    p99_us: f64,
    /// Beside the first contestant in the same round.
    ratio: f64,
    p99_ratio: f64,
}

/// Compares, prints, writes.
pub(crate) fn compare(options: &[&str]) -> Result<bool> {
    let asked = asked(options)?;
    let root = tree::root()?;
    let (bench, ours) = (program(&root)?, safeconduct(&root)?);
    let mut programs = vec![("this build".to_owned(), ours)];
    programs.extend(asked.others.iter().map(|p| (p.display().to_string(), p.clone())));
    let _ahead = Ahead::begin();
    let mut figures: BTreeMap<(Case, usize), Vec<Figure>> = BTreeMap::new();
    let mut names = Vec::new();
    for start in 0..asked.starts {
        say(format!("start {} of {} ...", start + 1, asked.starts));
        let place = new_place(&root, &bench, "compare")?;
        let upstream = peers::upstream(&place)?;
        let all = stage(&place, &programs, &upstream)?;
        let generator = Generator { program: &bench, cores: &place.cores, upstream: upstream.running.pid() };
        for round in 0..asked.rounds {
            for case in &asked.cases {
                one_round(&generator, &all, *case, round, asked.rate, &mut figures)?;
            }
        }
        names = all.into_iter().map(|t| t.name).collect();
    }
    let rows = rows(&asked.cases, &names, &figures);
    say(table(&rows));
    let told = serde_json::json!({ "columns": rows.first(), "rows": rows.get(1..) });
    say(format!("see {}", write(&root, "bench", "compare", &told)?));
    Ok(true)
}

fn asked(options: &[&str]) -> Result<Asked> {
    let mut asked = Asked { others: Vec::new(), cases: vec![case("1")?], starts: 3, rounds: 7, rate: None };
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let value = || rest.as_slice().first().copied().with_context(|| format!("{option} takes a value"));
        match *option {
            "--with" => asked.others.push(PathBuf::from(value()?)),
            "--cases" => asked.cases = value()?.split(',').map(case).collect::<Result<_>>()?,
            "--starts" => asked.starts = value()?.parse().context("--starts takes a number")?,
            "--rounds" => asked.rounds = value()?.parse().context("--rounds takes a number")?,
            "--rate" => asked.rate = Some(value()?.parse().context("--rate takes requests a second")?),
            _ => bail!(
                "bench compare takes [--with PROGRAM] [--cases 1,1t,1l,2,2tl] [--starts N] [--rounds N] [--rate N]"
            ),
        }
        rest.next();
    }
    ensure!(asked.starts > 0 && asked.rounds > 0, "--starts and --rounds are at least 1");
    Ok(asked)
}

/// `1` or `2` for the version of HTTP, then `t` with TLS, then `l` with answers of 64 KB.
fn case(word: &str) -> Result<Case> {
    let (http, rest) = match word.split_at_checked(1) {
        Some(("1", rest)) => (Http::One, rest),
        Some(("2", rest)) => (Http::Two, rest),
        _ => bail!("{word} is no case: 1 or 2 for HTTP, then t for TLS, then l for answers of 64 KB"),
    };
    let (tls, size) = match rest {
        "" => (false, Size::Small),
        "t" => (true, Size::Small),
        "l" => (false, Size::Large),
        "tl" => (true, Size::Large),
        _ => bail!("{word} is no case: 1 or 2 for HTTP, then t for TLS, then l for answers of 64 KB"),
    };
    Ok(Case { http, tls, size })
}

/// nginx first, since everybody is set beside the first one, then each build in a folder of its own.
fn stage(place: &Place, programs: &[(String, PathBuf)], upstream: &Contestant) -> Result<Vec<Taking>> {
    let behind = upstream.plain.context("the upstream serves without TLS")?;
    let mut all = vec![Taking { name: "nginx".to_owned(), contestant: peers::nginx_proxy(place, behind)? }];
    for (number, (name, program)) in programs.iter().enumerate() {
        let own = Place { folder: place.folder.join(format!("build-{number}")), cores: place.cores.clone() };
        fs::create_dir_all(&own.folder)?;
        let program: &Path =
            &fs::canonicalize(program).with_context(|| format!("there is no {}", program.display()))?;
        let can = ours::can(&own, program)?;
        let contestant = ours::contestant(&own, program, Who::One, can, behind).with_context(|| name.clone())?;
        all.push(Taking { name: name.clone(), contestant });
    }
    Ok(all)
}

/// Measures everybody once, in another order each round.
fn one_round(
    generator: &Generator<'_>,
    all: &[Taking],
    case: Case,
    round: usize,
    rate: Option<f64>,
    figures: &mut BTreeMap<(Case, usize), Vec<Figure>>,
) -> Result<()> {
    let mut measured = vec![None; all.len()];
    for turn in 0..all.len() {
        let number = (turn + round) % all.len();
        let Some(taking) = all.get(number) else { continue };
        let of = generator.run(&taking.contestant, case, rate, TIMES)?;
        if let Some(of) = &of {
            ensure!(of.errors.is_empty(), "{}, {}: {}", taking.name, case.name(), of.errors.join("; "));
        }
        if let Some(slot) = measured.get_mut(number) {
            *slot = of;
        }
    }
    let Some(Some(first)) = measured.first().cloned() else { bail!("nginx does not serve {}", case.name()) };
    for (number, of) in measured.into_iter().enumerate() {
        let Some(of) = of else { continue };
        let (ratio, p99_ratio) = (of.cpu_us / first.cpu_us, of.p99_us / first.p99_us);
        let figure = Figure { cpu_us: of.cpu_us, p99_us: of.p99_us, ratio, p99_ratio };
        figures.entry((case, number)).or_default().push(figure);
    }
    Ok(())
}

fn rows(cases: &[Case], names: &[String], figures: &BTreeMap<(Case, usize), Vec<Figure>>) -> Vec<Vec<String>> {
    let head = ["case", "who", "rounds", "CPU per request, µs", "/ nginx", "quartiles", "p99, µs", "/ nginx"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for case in cases {
        for (number, name) in names.iter().enumerate() {
            let Some(all) = figures.get(&(*case, number)) else { continue };
            let middle = |of: fn(&Figure) -> f64| median(all.iter().map(of).collect()).unwrap_or_default();
            let (low, high) = quartiles(all.iter().map(|f| f.ratio).collect());
            rows.push(vec![
                case.name(),
                name.clone(),
                all.len().to_string(),
                format!("{:.2}", middle(|f| f.cpu_us)),
                format!("{:.3}", middle(|f| f.ratio)),
                format!("{low:.3} to {high:.3}"),
                format!("{:.0}", middle(|f| f.p99_us)),
                format!("{:.2}", middle(|f| f.p99_ratio)),
            ]);
        }
    }
    rows
}

/// Between them lies the middle half.
fn quartiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values.get(values.len().saturating_sub(1) * quarter / 4).copied().unwrap_or_default();
    (at(1), at(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_told_in_letters() {
        let large = Case { http: Http::Two, tls: true, size: Size::Large };
        assert_eq!(case("2tl").expect("a case"), large);
        assert_eq!(case("1").expect("a case"), Case { http: Http::One, tls: false, size: Size::Small });
        for bad in ["", "3", "1x", "t", "ä"] {
            assert!(case(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_say_what_is_compared() {
        let all = asked(&["--with", "old", "--cases", "1,2t", "--starts", "2", "--rounds", "5", "--rate", "9000"]);
        let all = all.expect("good options");
        assert_eq!((all.others.len(), all.cases.len(), all.starts, all.rounds, all.rate), (1, 2, 2, 5, Some(9_000.0)));
        for bad in [&["--with"][..], &["--rounds", "0"], &["--rounds", "x"], &["--fast", "1"]] {
            assert!(asked(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn half_of_the_values_lie_between_the_quartiles() {
        assert_eq!(quartiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 4.0));
        assert_eq!(quartiles(Vec::new()), (0.0, 0.0));
    }
}
