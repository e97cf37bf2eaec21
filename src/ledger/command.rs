//! The ledger as a process of its own: `interrex ledger write|verify`. A separate process on purpose, so that what
//! kills the demo or a node does not kill the witness. Human lines by default, JSON lines with `--json`.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::LedgerError;
use crate::file::LedgerFile;
use crate::gap::{Gap, longest_gap};
use crate::target::{HostSpec, Login};
use crate::verify::{Verdict, verify};
use crate::writer::{Progress, WriterConfig, WriterSummary, write};

/// `interrex ledger …`
#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Insert a row every few milliseconds and keep every answer, until SIGINT or SIGTERM
    Write(WriteArgs),
    /// Compare a ledger file with the rows of every instance; exit 0 only when nothing is wrong
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct TargetArgs {
    /// Every instance of the cluster, as host:port,host:port
    #[arg(long, value_delimiter = ',', required = true)]
    hosts: Vec<HostSpec>,
    /// The role to connect as
    #[arg(long, default_value = "postgres")]
    user: String,
    /// A file whose first line is the password; without it PGPASSWORD is taken
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The database
    #[arg(long, default_value = "postgres")]
    dbname: String,
    /// The ledger file
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct WriteArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// From one insert to the next
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    interval_ms: u64,
    /// For each connect and each statement
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    deadline_ms: u64,
    /// Whose rows these are; a new name is drawn when left out
    #[arg(long)]
    client: Option<String>,
    /// The first id of a new file; the table's largest + 1 when left out
    #[arg(long)]
    first_id: Option<i64>,
    /// How often progress is printed with --json; 0 prints none
    #[arg(long, value_name = "MS", default_value_t = 200)]
    progress_ms: u64,
    /// Stop when standard input closes, so that the writer ends with whoever holds the other end, however that dies
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// For each connect and statement, and for each standby to catch up
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    patience_ms: u64,
}

/// What `--json` prints, one object a line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Told<'a> {
    Progress(&'a Progress),
    Summary {
        #[serde(flatten)]
        summary: &'a WriterSummary,
        longest_gap: Option<Gap>,
    },
    Verdict {
        clean: bool,
        #[serde(flatten)]
        verdict: &'a Verdict,
        longest_gap: Option<Gap>,
    },
}

/// Runs the command on the caller's tokio runtime (time and net enabled).
///
/// # Errors
/// As [`write()`] and [`verify()`]; [`LedgerError::exit_code`] says what to exit with.
pub async fn main(args: LedgerArgs) -> Result<ExitCode, LedgerError> {
    match args.command {
        LedgerCommand::Write(args) => run_writer(args).await,
        LedgerCommand::Verify(args) => run_verifier(args).await,
    }
}

impl TargetArgs {
    fn login(&self) -> Result<Login, LedgerError> {
        let password = match &self.password_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| LedgerError::file("read", path, source))?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
            None => std::env::var("PGPASSWORD").ok(),
        };
        Ok(Login { user: self.user.clone(), password, dbname: self.dbname.clone() })
    }
}

async fn run_writer(args: WriteArgs) -> Result<ExitCode, LedgerError> {
    let login = args.target.login()?;
    let (shown, seen) = watch::channel(Progress::default());
    let config = WriterConfig {
        interval: Duration::from_millis(args.interval_ms),
        deadline: Duration::from_millis(args.deadline_ms),
        client: args.client,
        first_id: args.first_id,
        progress: Some(shown),
        ..WriterConfig::new(args.target.hosts, login, args.target.ledger.clone())
    };
    let stop = told_to_stop(args.until_stdin_closes)?;
    let reporting = args.target.json && args.progress_ms > 0;
    let every = Duration::from_millis(args.progress_ms.max(1));
    let summary = tokio::select! {
        summary = write(config, stop) => summary?,
        never = report(seen, every), if reporting => match never {},
    };
    let gap = longest_gap(&LedgerFile::read(&args.target.ledger)?, None);
    if args.target.json {
        tell(&Told::Summary { summary: &summary, longest_gap: gap });
    } else {
        let tally = summary.tally;
        say(&format!(
            "{} acknowledged, {} with a warning, {} unknown, {} failed; longest gap {}",
            tally.ok,
            tally.warned,
            tally.unknown,
            tally.failed,
            in_words(gap)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_verifier(args: VerifyArgs) -> Result<ExitCode, LedgerError> {
    let login = args.target.login()?;
    let file = LedgerFile::read(&args.target.ledger)?;
    let patience = Duration::from_millis(args.patience_ms);
    let verdict = verify(&file, &args.target.hosts, &login, patience).await?;
    let gap = longest_gap(&file, None);
    if args.target.json {
        tell(&Told::Verdict { clean: verdict.is_clean(), verdict: &verdict, longest_gap: gap });
    } else {
        say_verdict(&verdict, gap);
    }
    Ok(if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say_verdict(verdict: &Verdict, gap: Option<Gap>) {
    say(&format!(
        "{} acknowledged, {} lost; longest gap {}",
        verdict.acked,
        verdict.lost.len(),
        in_words(gap)
    ));
    say(&format!(
        "unknown: {} kept, {} gone; warned: {} kept, {} gone; refused but there: {}; never sent but there: {}; \
         on some instances only: {}",
        verdict.unknown_kept,
        verdict.unknown_gone,
        verdict.warned_kept,
        verdict.warned_gone,
        verdict.failed_kept.len(),
        verdict.phantom.len(),
        verdict.divergent.len()
    ));
    for instance in &verdict.instances {
        say(&format!(
            "{} {}: {} rows, {} lost{}",
            if instance.primary { "primary" } else { "standby" },
            instance.host,
            instance.rows,
            instance.lost.len(),
            if instance.caught_up { "" } else { ", not caught up" }
        ));
    }
}

fn in_words(gap: Option<Gap>) -> String {
    gap.map_or_else(
        || "not known (fewer than two acknowledgements)".to_owned(),
        |gap| format!("{} ms", gap.ms),
    )
}

/// Ready when SIGINT or SIGTERM came or, if wanted, standard input closed.
fn told_to_stop(until_stdin_closes: bool) -> Result<impl Future<Output = ()>, LedgerError> {
    let listen = |kind| {
        signal(kind).map_err(|why| LedgerError::Argument {
            argument: "ledger write",
            why: format!("cannot listen for signals: {why}"),
        })
    };
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (closed, stdin_closed) = oneshot::channel();
    if until_stdin_closes {
        // A plain thread: the runtime would wait for a blocking read of its own when it shuts down.
        std::thread::spawn(move || {
            let mut scrap = [0; 64];
            while io::stdin().read(&mut scrap).is_ok_and(|count| count > 0) {}
            let _ = closed.send(());
        });
    }
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            Ok(()) = stdin_closed => {}
        }
    })
}

async fn report(seen: watch::Receiver<Progress>, every: Duration) -> std::convert::Infallible {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let progress = seen.borrow().clone();
        tell(&Told::Progress(&progress));
    }
}

fn tell(told: &Told<'_>) {
    if let Ok(line) = serde_json::to_string(told) {
        say(&line);
    }
}

/// A reader that has gone must not end a writer whose ledger is still wanted.
fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
