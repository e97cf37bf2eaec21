//! `interrex coordinator recover -c FILE`: the last resort when a majority of the coordinators' logs is gone. Works on the
//! files of this machine alone, while its node is stopped; says first what may be lost, and does it with `--accept-loss`.

use crate::Failed;
use interrex_coordinator::raft::{LogError, RecoverError, Recovered, recover, trust_record};
use interrex_ctl::Recover;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Looks, and does it where it was asked for.
pub(crate) async fn run(args: &Recover) -> Result<ExitCode, Failed> {
    let node = interrex_config::load(&args.config).map_err(|e| Failed::new(2, e))?;
    let file = args.config.display();
    let address = node.coordinator.as_ref().and_then(|coordinator| coordinator.members.get(&node.name));
    let Some(address) = address else {
        return Err(Failed::new(
            2,
            format!("{file}: has no [coordinator]; name the file of a machine that votes"),
        ));
    };
    let dir = node.data_dir.join("raft");
    if !dir.is_dir() {
        return Err(Failed::new(2, LogError::Absent { dir: dir.display().to_string() }));
    }
    // Refuses while a node runs on it, and belongs to this machine.
    let _held = interrex_config::open_data_dir(&node).map_err(|e| Failed::new(1, e))?;
    let told = |line: String| {
        writeln!(io::stdout(), "{line}").map_err(|e| Failed::new(1, format!("write the answer: {e}")))
    };
    if args.trust_record {
        let doubted = trust_record(&dir).map_err(failed)?;
        let line = match doubted {
            true => "the record of this machine is trusted from now on, as you say; start its node",
            false => "the record of this machine is not doubted: start its node",
        };
        told(line.to_owned())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (machine, at) = (node.name.as_str(), address.to_string());
    let found = recover(&dir, machine, &at, args.accept_loss).await.map_err(failed)?;
    let Some(copy) = &found.copy else {
        let line = format!(
            "{}; nothing was changed: to make a group of {machine} alone, and give up what only they held, add --accept-loss",
            in_words(machine, &found)
        );
        return Err(Failed::new(1, line));
    };
    told(in_words(machine, &found))?;
    told(format!("the log as it was lies in {}", copy.display()))?;
    told(next(&dir, machine))?;
    Ok(ExitCode::SUCCESS)
}

fn in_words(machine: &str, found: &Recovered) -> String {
    let last = found
        .last
        .map_or_else(|| "nothing".to_owned(), |(term, index)| format!("up to entry {index} of term {term}"));
    let committed = found.committed.map_or_else(|| "none".to_owned(), |index| format!("those up to {index}"));
    format!(
        "the log of {machine} holds entries {last}, of which {committed} are known to be committed, and are kept; what {} had \
         after that may be missing",
        found.others.join(" and ")
    )
}

fn next(dir: &Path, machine: &str) -> String {
    format!(
        "{machine} is a group of one: start its node; nothing is decided until every instance was heard (interrex status); \
         then empty the directory 'raft' of every other coordinator, write join = true, and `interrex coordinator add` it. \
         This log: {}",
        dir.display()
    )
}

fn failed(why: RecoverError) -> Failed {
    let code = if matches!(why, RecoverError::Log(LogError::Absent { .. })) { 2 } else { 1 };
    Failed::new(code, why)
}
