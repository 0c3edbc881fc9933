//! The three small worlds, decided by both engines.

use anyhow::{Context, Result, bail};
use safeconduct_policy::engine::{Builder, Cedar, Entities, Mode, Outcome, Prepared, Request, Rules, Scratch};
use serde_json::Value;

use crate::figures::{Cost, Figures, Loading, each, resident_mb};
use crate::scenarios::store;

/// Stores of each size.
const STORES: u64 = 20;

/// One scenario with so many entities of each kind, decided by one engine. The load is that of all stores.
pub(crate) fn run(name: &str, engine: &str, entities: usize) -> Result<Vec<Value>> {
    let before = resident_mb();
    let (mut cost, mut figures) = (Cost::default(), [Figures::none(), Figures::none()]);
    for number in 0..STORES {
        let store = store(name, entities, number).with_context(|| format!("no scenario is called `{name}`"))?;
        let entities = Entities::parse(&store.entities.to_string(), None)?;
        let requests: Vec<Request> =
            store.requests.iter().map(|r| Request::from_json(r, None)).collect::<Result<_, _>>()?;
        let loading = Loading::begin(before);
        match engine {
            "safeconduct" => {
                let mut builder = Builder::new(&entities)?;
                builder.add_text(store.rules)?;
                let engine = builder.finish();
                cost.add(loading.took());
                let prepared: Vec<Prepared<'_>> =
                    requests.iter().map(|r| engine.prepare(r)).collect::<Result<_, _>>()?;
                let mut scratch = Scratch::default();
                for (all, mode) in figures.iter_mut().zip([Mode::EarlyExit, Mode::Exhaustive]) {
                    all.append(each(&prepared, |p| p.decide(mode, &mut scratch) == Outcome::Permit));
                }
            }
            "cedar" => {
                let mut rules = Rules::default();
                rules.add_text(store.rules)?;
                cost.add(loading.took());
                let cedar = Cedar::new(rules, entities);
                figures[0].append(each(&requests, |r| cedar.allows(r)));
            }
            other => bail!("no engine is called `{other}`"),
        }
    }
    cost.resident_mb = resident_mb() - before;
    let [first, second] = figures;
    let mut rows = vec![first.row(engine, &cost)];
    if engine == "safeconduct" {
        rows.push(second.row("safeconduct exhaustive", &cost));
    }
    Ok(rows)
}
