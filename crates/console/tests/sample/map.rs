//! The flow map.

use super::*;

pub(super) fn map(sample: Sample, query: &MapQuery) -> Map {
    use Action::{Read, Write};
    let group = |g: &str, name: &str| Asker {
        key: format!("group:{g}"),
        name: Link::group(&id(g), sample.n(name)),
        group: true,
    };
    let flow = |who: Asker, via, app: &str, action, people, (allowed, would_deny, denied), new| Flow {
        who,
        via,
        app: id(app),
        action,
        people,
        allowed,
        would_deny,
        denied,
        first: days(13),
        last: mins(4),
        new,
    };
    let (acc, fin, tra, sal, war, eng) = (
        group("accountants", "Accountants"),
        group("finance-leads", "Finance leads"),
        group("traders", "Traders"),
        group("sales", "Sales"),
        group("warehouse", "Warehouse"),
        group("engineers", "Engineers"),
    );
    let marek = Asker { key: "person:marek".into(), name: sample.who("marek", "Marek Novák"), group: false };
    use Via::{Compliant, Failing, Unknown, Unmanaged};
    let mut flows = vec![
        flow(acc.clone(), Compliant, "q3-finance", Read, 5, (4_120, 0, 0), false),
        flow(acc.clone(), Failing, "q3-finance", Read, 2, (0, 0, 41), false),
        flow(acc.clone(), Compliant, "wiki", Read, 5, (0, 610, 0), false),
        flow(fin.clone(), Compliant, "q3-finance", Write, 2, (310, 0, 0), false),
        flow(fin, Compliant, "payroll", Write, 2, (122, 0, 6), false),
        flow(tra.clone(), Compliant, "desk", Write, 7, (8_214, 0, 0), false),
        flow(tra, Failing, "desk", Write, 1, (0, 0, 12), false),
        flow(sal.clone(), Compliant, "crm", Write, 9, (2_900, 0, 0), false),
        flow(sal, Unmanaged, "wiki", Read, 3, (0, 130, 0), false),
        flow(war.clone(), Compliant, "stock", Write, 8, (0, 1_904, 0), false),
        flow(war, Compliant, "git", Read, 1, (0, 14, 0), true),
        flow(eng.clone(), Compliant, "git", Write, 6, (0, 5_020, 0), false),
        flow(eng.clone(), Compliant, "wiki", Write, 6, (0, 802, 0), false),
        flow(eng, Compliant, "chat", Write, 6, (1_880, 0, 0), false),
        flow(acc, Compliant, "chat", Write, 5, (640, 0, 0), false),
        flow(marek.clone(), Unmanaged, "q3-finance", Read, 1, (0, 0, 19), true),
        flow(marek.clone(), Unmanaged, "crm", Read, 1, (22, 0, 0), true),
        flow(marek, Unknown, "chat", Read, 1, (0, 0, 9), false),
    ];
    if sample.big {
        for i in 0..90_u64 {
            let who = Asker {
                key: format!("person:p{i}"),
                name: Link::person(&id(&format!("p{i}")), sample.n(&format!("Person {i}"))),
                group: false,
            };
            flows.push(flow(
                who,
                Compliant,
                APPS[(i * 7 % 8) as usize].0,
                Read,
                1,
                (i * 3 % 200, i % 5, i % 3),
                i % 11 == 0,
            ));
        }
    }
    let flows: Vec<Flow> = flows
        .into_iter()
        .filter(|f| {
            query.app.as_deref().is_none_or(|a| f.app.as_str() == a)
                && query.group.as_deref().is_none_or(|g| f.who.key == format!("group:{g}"))
        })
        .collect();
    let asset = |app: &str| -> Vec<MapAsset> {
        let all: &[(&str, &str, Class)] = match app {
            "q3-finance" => &[("ledger-data", "General ledger", Class::Critical)],
            "payroll" => {
                &[("salaries", "Salaries", Class::Critical), ("ledger-data", "General ledger", Class::Critical)]
            }
            "crm" => &[("customers", "Customer records", Class::High)],
            "desk" => &[("orders", "Order book", Class::High), ("customers", "Customer records", Class::High)],
            "wiki" => &[("handbook", "Handbook", Class::Low)],
            "git" => &[("source", "Source code", Class::High)],
            "stock" => &[("stock-levels", "Stock levels", Class::Moderate)],
            _ => &[],
        };
        all.iter().map(|(a, n, c)| MapAsset { id: id(a), name: sample.n(n), class: *c }).collect()
    };
    let apps = APPS
        .iter()
        .map(|a| MapApp { id: id(a.0), name: sample.n(a.1), mode: a.2, assets: asset(a.0), rules: a.5 })
        .collect();
    Map {
        apps: sample.list(apps),
        requests: if sample.empty { 0 } else { flows.iter().map(|f| f.allowed + f.would_deny + f.denied).sum() },
        flows: sample.list(flows),
        groups: sample
            .list(vec![("accountants".into(), sample.n("Accountants")), ("traders".into(), sample.n("Traders"))]),
    }
}
