//! Writes a ledger of many accesses, then verifies and indexes it, with the figures of each.
//!
//! `cargo run --release -p safeconduct-store --example million -- DIR [RECORDS]`

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use safeconduct_model::{
    Access, Action, Ask, Auth, Check, DeviceFacts, Duration, Method, Mode, Outcome, Place, Principal, Record,
    Timestamp, What, Who, Why,
};
use safeconduct_store::{AccessFilter, Index, LedgerKey, LedgerWriter, Options, WriteError, verify_ledger};

/// The first record is of this instant, 2026-09-01.
const START: i64 = 1_788_220_800_000;

/// How often it is looked for one request.
const LOOKS: u64 = 100;

fn access(i: u64, at: Timestamp) -> Result<Record, Box<dyn Error>> {
    let person = format!("person-{}", i % 40);
    let device = DeviceFacts {
        id: format!("lt-{}", i % 25).parse()?,
        managed: true,
        reported: Some(at),
        max_age: Duration::from_hours(1),
        passed: Check::ALL.into(),
        required: [Check::DiskEncrypted, Check::EndpointProtection].into(),
    };
    let auth =
        Auth { session: format!("s-{person}").parse()?, methods: [Method::Passkey].into(), at, until: Timestamp::MAX };
    let groups = ["staff".parse()?, "finance".parse()?].into();
    Ok(Record::Access(Box::new(Access {
        ask: Ask {
            request: format!("{i:032x}").parse()?,
            who: Who { principal: Principal::Person(person.parse()?), groups, auth: Some(auth) },
            what: What {
                app: format!("app-{}", i % 8).parse()?,
                action: Action::Read,
                method: "GET".into(),
                path: format!("/reports/2026/q3/{}", i % 1_000),
            },
            place: Place {
                ip: "10.20.30.40".parse()?,
                network: Some("office".into()),
                country: None,
                device: Some(device),
            },
            why: Why::default(),
            lock: None,
        },
        decided: at,
        outcome: Outcome::Permit { until: at + Duration::from_mins(5) },
        mode: Mode::Enforce,
        revision: 7,
        rules: vec!["finance-read-q3".parse()?],
        facts: vec!["principal.groups".into(), "context.device.compliant".into(), "context.minute".into()],
        took_us: 12,
        again: false,
        would: None,
    })))
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn told(what: &str, records: u64, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    println!("{what}: {records} records in {seconds:.2} s, {:.0} per second", records as f64 / seconds);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("name a directory")?);
    let records = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    std::fs::create_dir_all(&dir)?;
    let (ledger, key) = (dir.join("ledger"), LedgerKey::load_or_create(&dir.join("ledger.key"))?);

    let started = Instant::now();
    let writer = LedgerWriter::open(&ledger, &key, Timestamp::MAX, Options::default())?;
    let begun = u64::try_from(writer.last_at().millis().max(START) - START)?;
    for i in begun..begun + records {
        let at = Timestamp::from_millis(START + i64::try_from(i)?);
        loop {
            match writer.append(at, access(i, at)?) {
                Ok(receipt) => break drop(receipt),
                Err(WriteError::QueueFull { .. }) => std::thread::sleep(std::time::Duration::from_millis(1)),
                Err(e) => return Err(e.into()),
            }
        }
    }
    drop(writer);
    told("written", records, started);

    let started = Instant::now();
    let report = verify_ledger(&ledger, &key.public(), None)?;
    told("verified", report.records, started);
    if let Some(finding) = report.finding {
        return Err(finding.to_string().into());
    }

    let started = Instant::now();
    let index = Index::open(&ledger, &dir.join("index.db")).await?;
    let indexed = index.catch_up().await?;
    told("indexed", indexed, started);

    // Requests from everywhere in the ledger, and strangers.
    let started = Instant::now();
    for i in 0..LOOKS {
        let request = format!("{:032x}", begun + records / LOOKS * i).parse()?;
        if index.by_request(&request).await?.is_empty() {
            return Err(format!("the request {request} is not found").into());
        }
    }
    told("found by request", LOOKS, started);
    let started = Instant::now();
    for i in 0..LOOKS {
        let person = AccessFilter { person: Some(format!("stranger-{i}").parse()?), ..AccessFilter::default() };
        if !index.by_request(&format!("stranger-{i}").parse()?).await?.is_empty()
            || !index.accesses(&person).await?.is_empty()
        {
            return Err("a stranger is found".into());
        }
    }
    told("looked for in vain", LOOKS, started);
    index.close().await;
    Ok(())
}
