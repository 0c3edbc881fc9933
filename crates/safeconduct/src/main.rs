//! The command line of Safeconduct. Nouns are the rooms, verbs are what one does there.
//!
//! Exit codes: 0 done, 1 the answer is no, 2 wrong usage or bad input, 3 could not do it.

mod commands;
mod demo;
mod local;
mod out;
mod program;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use safeconduct_model::{AppId, DeviceId, PersonId, SessionId};

use crate::out::Answer;

/// Zero trust that you can run, prove and measure, in one binary.
#[derive(Parser)]
#[command(name = "safeconduct", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is.
#[derive(Args, Clone)]
struct Config {
    /// The folder with safeconduct.toml, or the file itself.
    #[arg(long, value_name = "DIR", default_value = ".")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// A small company, alive: applications, people, devices, traffic, and a tour.
    Demo {
        /// The port of the portal; the tour listens on the next one.
        #[arg(long, default_value_t = 8443)]
        port: u16,
        /// Work in this folder and keep it, instead of a temporary one.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Run the whole story without a screen; exit 0 only if all of it holds.
        #[arg(long)]
        check: bool,
        /// No live traffic.
        #[arg(long)]
        quiet: bool,
        /// How many days of history.
        #[arg(long, default_value_t = 14)]
        days: u32,
        /// Only write a ledger of this many records into --dir, and say how fast.
        #[arg(long, hide = true, requires = "dir")]
        records: Option<u64>,
    },
    /// Writes a configuration that works as it is.
    Init {
        /// An empty folder, made if it is not there.
        dir: PathBuf,
        /// The domain below which portal and applications are published.
        #[arg(long, default_value = "safeconduct.localhost")]
        domain: String,
    },
    /// Runs the whole platform in one process.
    Up {
        #[command(flatten)]
        config: Config,
        /// Take over from the process that serves this folder, without a lost connection.
        #[arg(long)]
        take_over: bool,
    },
    /// Signs this machine in, through the browser.
    Login(commands::login::Login),
    /// Carries a TCP connection to an application, through the gateway: on standard input and output, or on a port.
    Connect(commands::connect::Connect),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Carries applications of a site: dials out to the gateway from where they live, so that nothing listens there.
    #[command(args_conflicts_with_subcommands = true)]
    Connector {
        #[command(subcommand)]
        verb: Option<commands::connector::Verb>,
        #[command(flatten)]
        run: Option<commands::connector::Run>,
    },
    /// The protect surface.
    #[command(subcommand)]
    Protect(ProtectVerb),
    /// Who uses what.
    #[command(subcommand)]
    Map(MapVerb),
    /// Rules: test, lint, propose, rehearse, prove, publish.
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// What is happening.
    #[command(subcommand)]
    Watch(WatchVerb),
    /// Locks: shut a person, device, application or the like out at once, whatever the rules say.
    #[command(subcommand)]
    Lock(commands::lock::Verb),
    /// Maturity from evidence.
    #[command(subcommand)]
    Assess(AssessVerb),
    /// The record of what happened.
    #[command(subcommand)]
    Ledger(LedgerVerb),
    /// Devices.
    #[command(subcommand)]
    Device(DeviceVerb),
    /// People.
    #[command(subcommand)]
    Person(PersonVerb),
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// The limits that are in effect, with unit, default and bounds.
    Limits {
        #[command(flatten)]
        config: Config,
        /// The page docs/limits.md instead, which says what clients see when a limit is met.
        #[arg(long, conflicts_with = "json")]
        page: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tells every fault at once, with file, line and remedy.
    Check {
        #[command(flatten)]
        config: Config,
    },
}

#[derive(Subcommand)]
enum ProtectVerb {
    /// Assets by class, with owner and the applications that lead to them.
    List {
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum MapVerb {
    /// Who uses which application, from the ledger.
    Show {
        #[command(flatten)]
        config: Config,
        /// Only this application.
        #[arg(long)]
        app: Option<AppId>,
        /// People instead of groups.
        #[arg(long)]
        people: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum PolicyVerb {
    /// Every rule as a sentence.
    Show {
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Asserts policies/tests.
    Test {
        #[command(flatten)]
        config: Config,
        /// Say what the tests prove of each rule and condition, and how often each rule spoke in recorded traffic.
        #[arg(long)]
        coverage: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes rules for an application from observed use.
    Propose {
        /// Which application.
        app: AppId,
        #[command(flatten)]
        config: Config,
        #[command(flatten)]
        mining: commands::policy::Mining,
        /// Write the whole candidate (all policies with the proposal in place) into this new folder.
        #[arg(long)]
        out: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replays the ledger against the policies in a folder. Exit 1 if someone would be newly denied or newly allowed.
    Rehearse {
        /// A folder with *.cedar and perhaps tests/*.toml.
        dir: PathBuf,
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Proves that the policies in a folder permit no more than those that bind, or shows the request that they newly allow.
    /// Exit 1 if they widen, if that is not proven, or if an invariant is broken.
    Prove {
        /// A folder with *.cedar and perhaps tests/*.toml.
        dir: PathBuf,
        #[command(flatten)]
        config: Config,
        /// Prove the standing invariants in invariants/*.cedar too.
        #[arg(long)]
        invariants: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One page about two sets of policies: what changed, which one permits more, which rules do nothing any more.
    Diff {
        /// A folder with *.cedar, or a whole configuration.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Finds rules that are valid and odd: that do nothing, let in everybody, expire, or that nobody needs or answers for.
    /// Exit 1 if one of the findings is an error.
    Lint {
        #[command(flatten)]
        config: Config,
        /// After how many days without a decision a rule counts as unused.
        #[arg(long, default_value_t = 90)]
        days: u64,
        /// Exit 1 for warnings too.
        #[arg(long)]
        deny_warnings: bool,
        /// List pairs of rules that speak of one request too.
        #[arg(long)]
        overlaps: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes the policies in a folder, or in a signed bundle, bind.
    Publish {
        /// A folder with *.cedar and perhaps tests/*.toml, or a bundle.
        from: PathBuf,
        #[command(flatten)]
        config: Config,
        /// Sign the folder with this key first.
        #[arg(long, value_name = "KEYFILE")]
        sign: Option<PathBuf>,
        /// The revision of the bundle; one more than the last if it is not given.
        #[arg(long, requires = "sign")]
        revision: Option<u64>,
    },
    /// Signs policies into one file.
    #[command(args_conflicts_with_subcommands = true)]
    Bundle {
        #[command(subcommand)]
        verb: Option<BundleVerb>,
        #[command(flatten)]
        make: commands::bundle::Make,
    },
    /// Keys that sign policies.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Who may use an application under some circumstances, each with an example; all others are proved never to pass. Exit 1
    /// if nobody may.
    Who {
        /// The application.
        app: AppId,
        /// read, write or admin; all three unless given.
        #[arg(long, value_parser = action)]
        action: Option<safeconduct_model::Action>,
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What a person may use under some circumstances.
    What {
        /// The person.
        person: safeconduct_model::PersonId,
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One verdict explained in full: the rules, the facts, the nearest permits and what would help. Exit 1 if it is a denial.
    Explain(commands::explain::Explain),
    /// Any Cedar policy set over any entities, one answer a request.
    Eval(commands::eval::Eval),
}

#[derive(Subcommand)]
enum BundleVerb {
    /// Says who signed a bundle and what it holds. Exit 1 if it does not hold.
    Verify {
        /// The bundle.
        file: PathBuf,
        /// The public key: 64 hexadecimal digits, or a file that holds them.
        #[arg(long, value_name = "PUB")]
        key: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum KeyVerb {
    /// Makes a key in a new file that only its owner may read, and its public half in FILE.pub.
    New {
        /// The file.
        file: PathBuf,
    },
}

fn action(name: &str) -> Result<safeconduct_model::Action, String> {
    safeconduct_model::Action::from_name(name).ok_or_else(|| "it is read, write or admin".to_owned())
}

#[derive(Subcommand)]
enum WatchVerb {
    /// Verdicts as they happen.
    Tail {
        #[command(flatten)]
        config: Config,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Live sessions.
    Sessions {
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ends a session and everything that rests on it.
    Cut {
        /// Which session; see `watch sessions`.
        session: SessionId,
        #[command(flatten)]
        config: Config,
    },
    /// How the server is. Exit 1 if something does not work.
    Health {
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum AssessVerb {
    /// CISA's maturity model as intervals, proven to possible.
    Run {
        #[command(flatten)]
        config: Config,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum LedgerVerb {
    /// Finds the first changed, dropped, reordered or truncated record. Exit 1 if there is one.
    Verify {
        #[command(flatten)]
        config: Config,
        /// The folder of the ledger, instead of the configuration's.
        #[arg(long, requires = "key")]
        ledger: Option<PathBuf>,
        /// The public key, 64 hexadecimal digits in a file.
        #[arg(long)]
        key: Option<PathBuf>,
        /// Checkpoints that were kept elsewhere.
        #[arg(long)]
        checkpoints: Option<PathBuf>,
    },
    /// One record, whole.
    Inspect {
        /// Its place.
        seq: u64,
        #[command(flatten)]
        config: Config,
    },
    /// Records as JSON lines.
    Export {
        #[command(flatten)]
        config: Config,
        /// From this place on.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
}

#[derive(Subcommand)]
enum DeviceVerb {
    /// Makes a device known: a key and a client certificate of the local authority. The server must be running.
    Enrol {
        /// Its name.
        name: DeviceId,
        #[command(flatten)]
        config: Config,
        /// Whose it is.
        #[arg(long)]
        owner: Option<PersonId>,
        /// The organisation manages it.
        #[arg(long)]
        managed: bool,
        /// Where its key and certificate are written.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// Signs a posture report and prints it: `curl --data-binary @- -H 'content-type: application/jwt' PORTAL/api/v1/posture`.
    Report {
        /// Its name.
        name: DeviceId,
        /// Its private key, PEM.
        #[arg(long)]
        key: PathBuf,
        /// The checks that pass; all others are reported as failing.
        #[arg(long, value_delimiter = ',')]
        passed: Vec<String>,
    },
}

#[derive(Subcommand)]
enum PersonVerb {
    /// A one-time link with which a person makes an account. The server must be running.
    SetupLink {
        /// Who.
        person: PersonId,
        #[command(flatten)]
        config: Config,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = std::env::var("SAFECONDUCT_LOG").unwrap_or_else(|_| "warn,safeconduct=info".to_owned());
    out::start_log(&filter);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(safeconduct_server::stand_back)
        .build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(anyhow::anyhow!("the runtime cannot start: {error}")),
    };
    out::finish(answer)
}

async fn run(command: Command) -> anyhow::Result<Answer> {
    use commands::{
        assess, bundle, config, connect, connector, device, eval, explain, ledger, lint, lock, login, map, person,
        policy, protect, prove, reach, up, watch,
    };
    match command {
        Command::Demo { port, dir, check, quiet, days, records } => {
            let options = demo::Options { port, dir, check, quiet, days, records };
            demo::run(options).await.map(Answer::code)
        }
        Command::Init { dir, domain } => config::init(&dir, &domain),
        Command::Up { config, take_over } => up::up(&config.config, take_over).await,
        Command::Login(asked) => login::login(&asked).await,
        Command::Connect(asked) => connect::connect(asked).await,
        Command::Config(ConfigVerb::Limits { page: true, .. }) => {
            out::put(safeconduct_config::limits_page());
            Ok(Answer::Done)
        }
        Command::Config(ConfigVerb::Limits { config, json, .. }) => config::limits(&config.config, json),
        Command::Config(ConfigVerb::Check { config }) => config::check(&config.config),
        Command::Lock(verb) => lock::run(verb).await,
        Command::Connector { verb: Some(verb), .. } => connector::on_the_gateway(verb).await,
        Command::Connector { verb: None, run: Some(run) } => connector::run(run).await,
        Command::Connector { verb: None, run: None } => {
            anyhow::bail!("say --config FILE, or --gateway, --site and --join; see `safeconduct connector --help`")
        }
        Command::Protect(ProtectVerb::List { config, json }) => protect::list(&config.config, json),
        Command::Map(MapVerb::Show { config, app, people, json }) => {
            map::show(&config.config, app.as_ref(), people, json)
        }
        Command::Policy(verb) => match verb {
            PolicyVerb::Show { config, json } => policy::show(&config.config, json),
            PolicyVerb::Test { config, coverage, json } => policy::test(&config.config, coverage, json),
            PolicyVerb::Propose { app, config, mining, out, json } => {
                policy::propose(&config.config, &app, &mining, out.as_deref(), json)
            }
            PolicyVerb::Rehearse { dir, config, json } => policy::rehearse(&config.config, &dir, json),
            PolicyVerb::Publish { from, config, sign, revision } => {
                policy::publish(&config.config, &from, sign.as_deref(), revision).await
            }
            PolicyVerb::Bundle { verb: Some(BundleVerb::Verify { file, key, json }), .. } => {
                bundle::verify(&file, &key, json)
            }
            PolicyVerb::Bundle { verb: None, make } => bundle::make(&make),
            PolicyVerb::Key(KeyVerb::New { file }) => bundle::new_key(&file),
            PolicyVerb::Who { app, action, config, json } => reach::who(&config.config, &app, action, json),
            PolicyVerb::What { person, config, json } => reach::what(&config.config, &person, json),
            PolicyVerb::Explain(asked) => explain::explain(&asked),
            PolicyVerb::Prove { dir, config, invariants, json } => prove::prove(&config.config, &dir, invariants, json),
            PolicyVerb::Diff { first, second, config, json } => prove::diff(&config.config, &first, &second, json),
            PolicyVerb::Lint { config, days, deny_warnings, overlaps, json } => {
                let asked = lint::Asked { days, deny_warnings, overlaps, json };
                lint::lint(&config.config, &asked)
            }
            PolicyVerb::Eval(asked) => eval::eval(&asked),
        },
        Command::Watch(verb) => match verb {
            WatchVerb::Tail { config, json } => watch::tail(&config.config, json).await,
            WatchVerb::Sessions { config, json } => watch::sessions(&config.config, json).await,
            WatchVerb::Cut { session, config } => watch::cut(&config.config, &session).await,
            WatchVerb::Health { config, json } => watch::health(&config.config, json).await,
        },
        Command::Assess(AssessVerb::Run { config, json }) => assess::run(&config.config, json),
        Command::Ledger(verb) => match verb {
            LedgerVerb::Verify { config, ledger, key, checkpoints } => {
                ledger::verify(&config.config, ledger.as_deref(), key.as_deref(), checkpoints.as_deref())
            }
            LedgerVerb::Inspect { seq, config } => ledger::inspect(&config.config, seq),
            LedgerVerb::Export { config, from } => ledger::export(&config.config, from),
        },
        Command::Device(verb) => match verb {
            DeviceVerb::Enrol { name, config, owner, managed, out } => {
                device::enrol(&config.config, &name, owner, managed, &out).await
            }
            DeviceVerb::Report { name, key, passed } => device::report(&name, &key, &passed),
        },
        Command::Person(PersonVerb::SetupLink { person, config }) => person::setup_link(&config.config, &person).await,
    }
}
