//! `interrex demo`: three machines' worth of nodes on loopback, a writer, and a kill.
//!
//! Everything runs as processes of its own, exactly as on real machines: the demo only makes files, starts programs,
//! asks the coordinators like any operator, and kills. Nothing of it is left behind, whether it ends well, by Ctrl-C
//! or by kill -9: a sweeper that was started first clears away. After a failure the directory stays, and is named.

mod args;
mod away;
mod measure;
mod menu;
mod ports;
mod report;
mod script;
mod shape;
mod strike;
mod sweeper;
#[cfg(test)]
#[path = "../../tests/shared/whole_cluster.rs"]
mod whole_cluster;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use interrex_rig::{Cluster, Directory, Ended, Usage, Voice, postgresql};
use serde::Serialize;

use crate::sweeper::Sweeper;

pub use args::{DemoArgs, Measure, Output, RaftLeader, Script, SweeperArgs};
pub use interrex_rig::exit_code;
pub use sweeper::sweep_main;

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs the demo on the caller's tokio runtime. Exit codes: 0, the script did what it promises, or the menu was left
/// with nothing lost; 1, something was lost or failed to show; 130, a signal ended it.
///
/// # Errors
/// One line: what failed, and where the logs are; [`exit_code`] says what to exit with.
pub async fn main(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let json = args.output == Output::Json;
    if json && args.script.is_none() && args.measure.is_none() {
        bail!(Usage("--output json needs --script or --measure: the menu is for people".to_owned()));
    }
    let voice = Voice::new(json);
    let account = postgresql::check()?;
    // Heard from here on, so that nothing that is made below is left to chance.
    let mut ended = Ended::listen()?;
    let directory = Directory::plan("interrex-demo-", args.keep.as_deref(), account)?;
    let sweeper = Sweeper::start(&directory.path, directory.named).await?;
    if let Err(error) = directory.open() {
        // What is there under that name is somebody else's.
        sweeper.dismiss().await.context(format!("after this: {error:#}"))?;
        return Err(error);
    }
    let outcome = tokio::select! {
        outcome = run(&args, &directory, account, &voice) => Some(outcome),
        () = ended.heard() => None,
    };
    conclude(outcome, sweeper, &directory, &voice).await
}

/// Success or not, with the right exit code, and nothing left but what is meant to stay.
async fn conclude(
    outcome: Option<anyhow::Result<ExitCode>>,
    sweeper: Sweeper,
    directory: &Directory,
    voice: &Voice,
) -> anyhow::Result<ExitCode> {
    let shown = directory.path.display();
    match outcome {
        None => {
            voice.say("interrupted; clearing away");
            sweeper.sweep(false).await?;
            Ok(ExitCode::from(INTERRUPTED))
        }
        Some(Ok(code)) => {
            let failed = code != ExitCode::SUCCESS;
            sweeper.sweep(failed).await?;
            if failed || directory.named {
                voice.say(&format!("logs, data and the ledger are in {shown}"));
            }
            Ok(code)
        }
        Some(Err(error)) => {
            sweeper.sweep(true).await.context(format!("after this: {error:#}"))?;
            Err(anyhow!("{error:#}; logs, data and the ledger are in {shown}"))
        }
    }
}

async fn run(
    args: &DemoArgs,
    directory: &Directory,
    account: Option<postgresql::Account>,
    voice: &Voice,
) -> anyhow::Result<ExitCode> {
    let shape = match (args.script, args.measure) {
        (Some(Script::StoppedStandby), _) => shape::STANDBY_APART,
        (_, Some(Measure::Idle)) => shape::THREE_AND_AN_AGENT,
        _ => shape::THREE,
    };
    let program = std::env::current_exe().context("find the program of this process")?;
    let mut cluster = Cluster::make(&directory.path, &program, shape::sites(shape)?, account)?;
    match (args.script, args.measure) {
        (Some(script), _) => {
            let report = script::play(&mut cluster, script, args.raft_leader, voice).await?;
            show(&report, &report.lines(), &report.failings(), args.output, voice)
        }
        (None, Some(Measure::Idle)) => {
            let report = measure::idle::measure(&mut cluster, voice).await?;
            show(&report, &report.lines(), &[], args.output, voice)
        }
        (None, Some(Measure::Pgbench)) => {
            let report = measure::pgbench::measure(&mut cluster, voice).await?;
            show(&report, &report.lines(), &[], args.output, voice)
        }
        (None, None) => menu::serve(&mut cluster, args.raft_leader, voice).await,
    }
}

/// The object, or its lines; success unless something is found wrong with it.
fn show(
    report: &impl Serialize,
    lines: &[String],
    failings: &[String],
    output: Output,
    voice: &Voice,
) -> anyhow::Result<ExitCode> {
    match output {
        Output::Json => {
            let written = writeln!(io::stdout(), "{}", serde_json::to_string(report)?);
            // Who closed the pipe has read enough.
            let gone = |why: &io::Error| why.kind() == io::ErrorKind::BrokenPipe;
            written.or_else(|why| if gone(&why) { Ok(()) } else { Err(why) }).context("write the report")?;
        }
        Output::Table => lines.iter().for_each(|line| voice.say(line)),
    }
    failings.iter().for_each(|failing| complain(failing));
    Ok(if failings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for the person, on standard error. With that gone nobody is left to be told.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "interrex: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failing_is_enough_for_exit_1_in_either_form() {
        let voice = Voice::new(true);
        for output in [Output::Json, Output::Table] {
            let shown = |failings: &[String]| show(&"a report", &[], failings, output, &voice).unwrap();
            assert_eq!(shown(&[]), ExitCode::SUCCESS);
            assert_eq!(shown(&["2 acknowledged writes are lost".to_owned()]), ExitCode::FAILURE);
        }
    }
}
