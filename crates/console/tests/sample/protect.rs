//! The protect surface.

use super::*;

pub(super) fn protect(sample: Sample) -> Protect {
    let row =
        |aid: &str, name: &str, kind, class, owner: Option<(&str, &str)>, apps: &[&str], exposure, people| AssetRow {
            id: id(aid),
            name: sample.n(name),
            note: sample.n("What it is, in one sentence."),
            kind,
            class,
            owner: owner.map(|o| sample.who(o.0, o.1)),
            apps: apps.iter().map(|a| sample.app_link(a)).collect(),
            exposure,
            people,
            last: (people > 0).then(|| mins(4)),
        };
    use Exposure::{Enforced, Observed, Unknown};
    let mut assets = vec![
        row(
            "ledger-data",
            "General ledger",
            AssetKind::Data,
            Class::Critical,
            Some(("ines", "Ines Moreau")),
            &["q3-finance"],
            Enforced,
            6,
        ),
        row(
            "salaries",
            "Salaries",
            AssetKind::Data,
            Class::Critical,
            Some(("ines", "Ines Moreau")),
            &["payroll"],
            Enforced,
            3,
        ),
        row(
            "customers",
            "Customer records",
            AssetKind::Data,
            Class::High,
            Some(("tomasz", "Tomasz Zieliński")),
            &["crm"],
            Enforced,
            14,
        ),
        row("orders", "Order book", AssetKind::Data, Class::High, Some(("bo", "Bo Lindqvist")), &["desk"], Enforced, 9),
        row("source", "Source code", AssetKind::Data, Class::High, None, &["git"], Observed, 8),
        row(
            "handbook",
            "Handbook",
            AssetKind::Data,
            Class::Low,
            Some(("ada", "Ada Lovelace")),
            &["wiki"],
            Observed,
            29,
        ),
        row(
            "stock-levels",
            "Stock levels",
            AssetKind::Data,
            Class::Moderate,
            Some(("yusuf", "Yusuf Demir")),
            &["stock"],
            Observed,
            11,
        ),
        row("backup", "Backup server", AssetKind::Asset, Class::Critical, Some(("lin", "Lin Wei")), &[], Unknown, 0),
        row("dns", "Name service", AssetKind::Service, Class::High, Some(("lin", "Lin Wei")), &[], Unknown, 0),
    ];
    if sample.big {
        for i in 0..120 {
            assets.push(row(
                &format!("a-{i}"),
                &format!("Asset {i}"),
                AssetKind::Asset,
                Class::Low,
                None,
                &[],
                Unknown,
                0,
            ));
        }
    }
    Protect { assets: sample.list(assets) }
}
