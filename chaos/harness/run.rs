//! Runs, one after the other, each on ground of its own; what each came to, and what to exit with after all of them.

use std::any::Any;
use std::iter;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use interrex_ledger::wall_ms;
use interrex_rig::{Ended, Usage, Voice};
use interrex_sim::Rng;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::args::{BenchArgs, How, Output, RandomArgs, RunArgs};
use crate::bench;
use crate::catalogue::{self, Row};
use crate::ground::{Ground, OBSERVER};
use crate::nemesis::ROWS;
use crate::page;
use crate::play::{Plan, play};
use crate::report::{Report, complain, say};
use crate::tools::{self, Needs, Tools};

/// A run that says nothing.
const VOID: u8 = 3;
/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// `interrex-chaos run`
pub(crate) fn run(args: &RunArgs, output: Output) -> anyhow::Result<ExitCode> {
    let names = if args.all { catalogue::names() } else { args.faults.iter().map(String::as_str).collect() };
    let rows: Vec<&Row> = names.into_iter().filter_map(catalogue::row).collect();
    let seed = args.how.seed.unwrap_or_else(wall_ms);
    let needs = Needs::of(&rows);
    let plans = rows.into_iter().map(|row| Plan::new(row, seed, args.how.machines));
    all(plans, needs, &args.how, args.keep.as_deref(), output).map(|(code, _)| code)
}

/// `interrex-chaos random`
pub(crate) fn random(args: &RandomArgs, output: Output) -> anyhow::Result<ExitCode> {
    let seed = args.how.seed.unwrap_or_else(wall_ms);
    let ends = Instant::now() + Duration::from_secs(args.minutes * 60);
    let (mut rng, machines) = (Rng::new(seed, 0), args.how.machines);
    let draw = || {
        (Instant::now() < ends)
            .then(|| Plan::new(&ROWS[rng.index(ROWS.len())], rng.below(u64::MAX), machines))
    };
    let needs = Needs::of(&ROWS.iter().collect::<Vec<_>>());
    all(iter::from_fn(draw), needs, &args.how, None, output).map(|(code, _)| code)
}

/// `interrex-chaos bench`
pub(crate) fn bench(args: &BenchArgs, output: Output) -> anyhow::Result<ExitCode> {
    let rows = args.faults.iter().filter_map(|name| catalogue::row(name));
    let rows: Vec<&Row> = rows.collect();
    let seed = args.how.seed.unwrap_or_else(wall_ms);
    let (needs, machines) = (Needs::of(&rows), args.how.machines);
    let each = |row| (0..args.runs).map(move |run| Plan::new(row, seed.wrapping_add(run), machines));
    let (code, reports) = all(rows.into_iter().flat_map(each), needs, &args.how, None, output)?;
    say(&bench::told(&bench::figures(&reports), output)?)?;
    Ok(code)
}

/// One plan after the other; what each came to, and the exit code for all of them.
fn all(
    plans: impl Iterator<Item = Plan>,
    needs: Needs,
    how: &How,
    keep: Option<&Path>,
    output: Output,
) -> anyhow::Result<(ExitCode, Vec<Report>)> {
    let tools = tools::check(how.interrex.as_deref(), needs)?;
    if let Some(page) = &how.page {
        // A place where it cannot be is told now, not after the first run.
        page::write(page, &[])?;
    }
    let interrupted = hear_interrupts()?;
    let voice = Voice::new(output == Output::Json);
    let (mut worst, mut reports) = (0, Vec::new());
    for plan in plans {
        let name = plan.row.name;
        voice.say(&format!("{name}, seed {}", plan.seed));
        let keep = keep.map(|dir| dir.join(name));
        match one(plan, &tools, keep.as_deref(), &interrupted, &voice) {
            Ok(Some(report)) => {
                tell(&report, output)?;
                worst = worse(worst, code_of(&report));
                reports.push(report);
                // After each, so that whoever ends a long one has it.
                if let Some(page) = &how.page {
                    page::write(page, &reports)?;
                }
            }
            Ok(None) => return Ok((ExitCode::from(INTERRUPTED), reports)),
            Err(error) if error.is::<Usage>() => return Err(error),
            Err(error) => {
                complain(&format!("{name}: {error:#}"));
                worst = 1;
            }
        }
    }
    Ok((ExitCode::from(worst), reports))
}

fn code_of(report: &Report) -> u8 {
    match (report.violations.is_empty(), report.void) {
        (false, _) => 1,
        (true, true) => VOID,
        (true, false) => 0,
    }
}

/// Something broken is worse than something that says nothing.
fn worse(one: u8, other: u8) -> u8 {
    if one == 1 || other == 1 { 1 } else { one.max(other) }
}

fn tell(report: &Report, output: Output) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => serde_json::to_string(report)?,
        Output::Table => report.lines().join("\n"),
    };
    say(&text).map(drop)
}

/// One run; `None`: interrupted. Whatever came of it, its ground is cleared; what failed keeps its directory, which is
/// named.
fn one(
    plan: Plan,
    tools: &Tools,
    keep: Option<&Path>,
    interrupted: &watch::Receiver<bool>,
    voice: &Voice,
) -> anyhow::Result<Option<Report>> {
    let ground = Ground::make(plan.machines, keep, tools.account)?;
    let dir = ground.dir().to_owned();
    // A thread of its own: who has entered a network does not come back.
    let observing = thread::scope(|scope| {
        let observer = scope.spawn(|| observe(&ground, plan, tools, interrupted.clone(), voice));
        observer.join().unwrap_or_else(|panic| Err(defect(panic.as_ref())))
    });
    let stays = match &observing {
        Ok(Some(report)) => !report.sound,
        Ok(None) => false,
        Err(_) => true,
    };
    let cleared = ground.clear(stays);
    if stays {
        complain(&format!("logs, data and ledgers are in {}", dir.display()));
    }
    match (observing, cleared) {
        (Err(error), Err(left)) => Err(error.context(format!("{left:#}; after this"))),
        (Ok(_), Err(left)) => Err(left),
        (observed, Ok(())) => observed,
    }
}

fn defect(panic: &(dyn Any + Send)) -> anyhow::Error {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    anyhow!("a defect of interrex-chaos itself ended the run ({said}); please report it")
}

/// In the observer's network, with all that is started from there.
fn observe(
    ground: &Ground,
    plan: Plan,
    tools: &Tools,
    mut interrupted: watch::Receiver<bool>,
    voice: &Voice,
) -> anyhow::Result<Option<Report>> {
    ground.network.enter(OBSERVER)?;
    runtime()?.block_on(async {
        tokio::select! {
            biased;
            _ = interrupted.wait_for(|interrupted| *interrupted) => Ok(None),
            report = play(ground, tools, plan, voice) => report.map(Some),
        }
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("start the runtime")
}

/// Heard from here on, whatever is being made or cleared away at that moment: a run ends between two steps.
fn hear_interrupts() -> anyhow::Result<watch::Receiver<bool>> {
    let (tell, told) = watch::channel(false);
    let runtime = runtime()?;
    let mut ended = {
        let _here = runtime.enter();
        Ended::listen()?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                ended.heard().await;
                tell.send_replace(true);
            }
        });
    });
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_outweighs_what_says_nothing() {
        assert_eq!(worse(0, 0), 0);
        assert_eq!(worse(0, VOID), VOID);
        assert_eq!(worse(VOID, 0), VOID);
        assert_eq!(worse(VOID, 1), 1);
        assert_eq!(worse(1, VOID), 1);
    }
}
