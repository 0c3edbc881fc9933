//! Connectors.

use super::*;

pub(super) fn connectors(sample: Sample) -> Vec<ConnectorRow> {
    let row = |name: &str, state, linked: bool| ConnectorRow {
        name: name.parse().expect("a name"),
        site: sample.n("The cellar in Berlin"),
        state,
        version: linked.then(|| "0.1.0".to_owned()),
        from: linked.then(|| "10.1.2.3:50000".to_owned()),
        since: mins(90),
        streams: u64::from(linked) * 12,
        applications: vec![Link::to(sample.n("Wiki"), "/console/apps/wiki")],
        until: mins(0),
    };
    let rows = vec![
        row("berlin/rack-1", ConnectorState::Linked, true),
        row("berlin/rack-2", ConnectorState::Leaves, true),
        row("berlin/rack-3", ConnectorState::Away, false),
        row("berlin/rack-4", ConnectorState::Revoked, false),
    ];
    if sample.empty { vec![] } else { rows }
}
