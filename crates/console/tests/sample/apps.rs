//! Applications.

use super::*;

impl Sample {
    pub(super) fn app_row(self, i: usize) -> AppRow {
        let (aid, name, mode, class, owner, rules) = APPS[i % APPS.len()];
        let covered =
            if mode == Mode::Enforce { Share::new(9_812 - i as u64 * 400, 10_040) } else { Share::new(0, 3_412) };
        AppRow {
            id: id(aid),
            name: self.n(name),
            address: format!("https://{aid}.halden.example/"),
            mode,
            class,
            owner: owner.map(|o| self.who(o.0, o.1)),
            rules,
            people: 12 + i as u64 * 3,
            covered,
        }
    }
}

pub(super) fn app(sample: Sample) -> App {
    App {
        row: sample.app_row(0),
        facts: sample.list(sample.facts()),
        assets: sample.list(vec![(Link::asset(&id("ledger-data"), sample.n("General ledger")), Class::Critical)]),
        rules: sample.list(vec![Link::rule(&id("q3-close"))]),
        opt_outs: sample.list(vec![
            OptOut { route: None, name: "merge_slashes", taken: true },
            OptOut { route: Some(sample.n("GET, HEAD /api/v4/projects/*")), name: "allow_encoded_slash", taken: true },
            OptOut { route: Some(sample.n("/hooks/*")), name: "merge_slashes", taken: false },
        ]),
        usage: sample.usage(),
        sessions: sample.sessions(),
        verdicts: sample.verdicts().into_iter().take(6).collect(),
    }
}
