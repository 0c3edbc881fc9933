//! What the terminal sees, and the exit code.
#![expect(clippy::print_stderr, reason = "this is the one place that writes to the terminal")]

use std::io::Write;
use std::process::ExitCode;

use safeconduct_model::Fault;

/// How a command ended.
pub(crate) enum Answer {
    /// Done.
    Done,
    /// The answer is no.
    No,
    /// The input is wrong.
    BadInput(Vec<Fault>),
    /// A code of its own.
    Code(u8),
}

impl Answer {
    /// The answer with this exit code.
    pub(crate) fn code(code: i32) -> Self {
        Self::Code(u8::try_from(code).unwrap_or(3))
    }
}

/// Prints one line.
pub(crate) fn say(line: impl AsRef<str>) {
    // A closed pipe is the reader's choice, not an error.
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

/// Prints text that ends as it ends.
pub(crate) fn put(text: impl AsRef<str>) {
    let mut out = std::io::stdout();
    let _ = write!(out, "{}", text.as_ref());
    let _ = out.flush();
}

/// Prints a line about progress, beside the answer.
pub(crate) fn aside(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Rows under a heading, columns as wide as they must be.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
        cells.chain(heading.get(i).map(|h| h.len())).max().unwrap_or(0)
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.enumerate().map(|(i, c)| format!("{c:<w$}", w = width(i))).collect();
        say(padded.join("  ").trim_end());
    };
    line(&mut heading.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// Starts the log on standard error.
pub(crate) fn start_log(filter: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    if std::env::var("SAFECONDUCT_LOG_FORMAT").is_ok_and(|f| f == "json") {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
}

/// Tells how it ended.
pub(crate) fn finish(answer: anyhow::Result<Answer>) -> ExitCode {
    match answer {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Code(code)) => ExitCode::from(code),
        Ok(Answer::BadInput(faults)) => {
            for fault in &faults {
                eprintln!("{fault}");
            }
            let s = if faults.len() == 1 { "" } else { "s" };
            eprintln!("{} fault{s}.", faults.len());
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::from(3)
        }
    }
}

/// An error with its causes, each said once.
fn chain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
        text
    })
}
