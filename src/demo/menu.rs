//! The menu: a person kills, watches, and kills again. It reads lines, so it works without a terminal as well; the
//! end of input means quit.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use interrex_cluster::event::Event;
use interrex_cluster::status::ClusterStatus;
use interrex_ledger::{HostSpec, monotonic_ms, verify};
use interrex_rig::{Cluster, Phases, Voice, Writer, in_words};
use tokio::sync::mpsc;

use crate::args::{RaftLeader, Script};
use crate::script;
use crate::strike::{Struck, goes_on, streams_again, strike};

const KEYS: &str =
    "1 kill the primary's machine · 2 kill its postmaster · 3 status · 4 events · 5 hand over · q quit";
/// A killed machine is started again after so much writing without it.
const WITHOUT: u64 = 3_000;
const PATIENCE: Duration = Duration::from_secs(60);
const COMPARING: Duration = Duration::from_secs(10);
/// How many events are shown.
const NEWEST: usize = 20;

/// What a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Kill(Script),
    Status,
    Events,
    Quit,
    Nothing,
}

impl Choice {
    /// `None`: not understood.
    fn read(line: &str) -> Option<Choice> {
        Some(match line.trim() {
            "1" => Choice::Kill(Script::KillPrimary),
            "2" => Choice::Kill(Script::KillPostmaster),
            "3" => Choice::Status,
            "4" => Choice::Events,
            "5" => Choice::Kill(Script::Switchover),
            "q" | "Q" | "quit" | "exit" => Choice::Quit,
            "" => Choice::Nothing,
            _ => return None,
        })
    }
}

/// Brings the cluster up and serves until it is told to quit. Fails when an acknowledged write is lost.
pub(crate) async fn serve(
    cluster: &mut Cluster,
    wish: RaftLeader,
    voice: &Voice,
) -> anyhow::Result<ExitCode> {
    cluster.up(voice).await?;
    voice.tell("three healthy instances");
    let mut writer = Writer::start(cluster).await?;
    introduce(cluster, voice);
    let mut lines = lines();
    loop {
        voice.prompt("> ");
        let Some(line) = lines.recv().await else { break };
        match Choice::read(&line) {
            Some(Choice::Kill(script)) => kill(cluster, &mut writer, script, wish, voice).await?,
            Some(Choice::Status) => show_status(cluster, &mut writer, voice).await?,
            Some(Choice::Events) => show_events(&cluster.events().await?, voice),
            Some(Choice::Quit) => break,
            Some(Choice::Nothing) => {}
            None => voice.say(KEYS),
        }
    }
    conclude(cluster, writer, voice).await
}

fn introduce(cluster: &Cluster, voice: &Voice) {
    voice.say("");
    voice.say(&format!("connect   {}", cluster.connection_string()));
    let program = std::env::current_exe().unwrap_or_else(|_| "interrex".into());
    voice.say(&format!(
        "commands  INTERREX_COORDINATORS={} {} status",
        cluster.coordinators(),
        program.display()
    ));
    voice.say(&format!("logs      {}", cluster.dir.display()));
    voice.say("a writer inserts a row every 10 ms into the table ledger");
    voice.say("");
    voice.say(KEYS);
}

/// A thread of its own: a blocked read would keep the runtime from ending.
fn lines() -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn kill(
    cluster: &mut Cluster,
    writer: &mut Writer,
    script: Script,
    wish: RaftLeader,
    voice: &Voice,
) -> anyhow::Result<()> {
    writer
        .acknowledged_after(monotonic_ms(), PATIENCE)
        .await
        .context("writes do not go on, so there is nothing to kill")?;
    let status = cluster.whole(PATIENCE).await?;
    let struck = strike(cluster, &status, script, wish).await?;
    voice.tell(&script::in_words(&struck));
    let goes_on = goes_on(cluster, writer, &struck).await?;
    voice.tell(&format!("{} takes writes in epoch {}", goes_on.new_primary, goes_on.epoch));
    let events = cluster.events().await?;
    let phases = Phases::read(&events, struck.old_epoch, goes_on.epoch, struck.killed.at, goes_on.gap.to_ms);
    voice.say(&format!("writes stood still for {} ms:", goes_on.gap.ms));
    phases.lines(script == Script::Switchover).iter().for_each(|line| voice.say(line));

    let since = match script {
        Script::KillPostmaster | Script::Switchover => struck.killed.at.mono_ms,
        Script::KillPrimary | Script::StoppedStandby => {
            writer.acknowledged_after(goes_on.gap.to_ms + WITHOUT, PATIENCE).await?;
            tell_losses(cluster, writer, Some(&struck), voice).await?;
            let since = monotonic_ms();
            cluster.machine(&struck.old_primary)?.start()?;
            voice.tell(&format!("{} was started again", struck.old_primary));
            since
        }
    };
    let rejoined = streams_again(cluster, &struck.old_primary, since).await?;
    let back = script::back(&struck, &goes_on);
    voice.tell(&format!("{} {back}, after {rejoined} ms", struck.old_primary));
    cluster.whole(PATIENCE).await?;
    tell_losses(cluster, writer, None, voice).await
}

/// Compares every instance that is up with what was acknowledged up to now.
async fn tell_losses(
    cluster: &Cluster,
    writer: &Writer,
    without: Option<&Struck>,
    voice: &Voice,
) -> anyhow::Result<()> {
    let is_up = |name: &str| without.is_none_or(|struck| struck.old_primary != name);
    let up: Vec<HostSpec> = cluster
        .machines
        .iter()
        .filter(|machine| is_up(&machine.name))
        .map(|machine| machine.host())
        .collect();
    let verdict = verify(&writer.snapshot()?, &up, &cluster.login, COMPARING).await?;
    voice.tell(&format!("{} writes acknowledged so far, {} lost", verdict.acked, verdict.lost.len()));
    Ok(())
}

async fn show_status(cluster: &mut Cluster, writer: &mut Writer, voice: &Voice) -> anyhow::Result<()> {
    let leads = cluster.leader().await.unwrap_or_else(|| "nobody".to_owned());
    match cluster.status().await? {
        Some(status) => status_lines(&status).iter().for_each(|line| voice.say(line)),
        None => voice.say("no coordinator leads at the moment"),
    }
    let tally = writer.look()?.tally();
    voice.say(&format!("{leads} leads the coordinators"));
    voice.say(&format!(
        "{} writes acknowledged, {} unknown, {} refused",
        tally.ok, tally.unknown, tally.failed
    ));
    Ok(())
}

fn status_lines(status: &ClusterStatus) -> Vec<String> {
    let mut lines = vec![format!("epoch {}, {}; rule: {}", status.epoch, status.operation, status.rule)];
    for instance in &status.instances {
        let timeline = instance.timeline.map_or("-".to_owned(), |timeline| timeline.to_string());
        let lag = instance.lag_bytes.map_or(String::new(), |bytes| format!(", {bytes} bytes behind"));
        let (name, words) = (&instance.name, in_words(instance));
        lines.push(format!("  {name}  {words}, timeline {timeline}{lag}  {}", instance.address));
    }
    lines.extend(status.problems.iter().map(|problem| format!("  problem: {}", problem.sentence)));
    lines.extend(status.waits.iter().map(|wait| format!("  {wait}")));
    lines
}

/// The newest events, with the seconds since the first of them.
fn show_events(events: &[Event], voice: &Voice) {
    let newest = &events[events.len().saturating_sub(NEWEST)..];
    let first = events.first().map_or(0, |event| event.at.0);
    for event in newest {
        let ms = event.at.0.saturating_sub(first);
        voice.say(&format!("{:>6}.{:03} s  {}", ms / 1000, ms % 1000, event.text));
    }
}

/// Stops the writer and judges it all.
async fn conclude(cluster: &mut Cluster, writer: Writer, voice: &Voice) -> anyhow::Result<ExitCode> {
    let file = writer.stop().await?;
    let verdict = verify(&file, &cluster.hosts(), &cluster.login, COMPARING).await?;
    voice.tell(&format!("{} writes acknowledged, {} lost", verdict.acked, verdict.lost.len()));
    let found = verdict.findings();
    found.iter().for_each(|line| voice.say(line));
    Ok(if verdict.lost.is_empty() && found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole_cluster::whole;

    #[test]
    fn a_line_is_a_choice_and_nonsense_is_none() {
        assert_eq!(Choice::read(" 1 \r"), Some(Choice::Kill(Script::KillPrimary)));
        assert_eq!(Choice::read("2"), Some(Choice::Kill(Script::KillPostmaster)));
        assert_eq!(Choice::read("q"), Some(Choice::Quit));
        assert_eq!(Choice::read(""), Some(Choice::Nothing));
        assert_eq!(Choice::read("6"), None);
    }

    #[test]
    fn a_status_has_a_line_for_each_instance() {
        let lines = status_lines(&whole());
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "epoch 2, steady; rule: ");
        assert!(lines[2].starts_with("  n2  standby, streaming, timeline -"), "{lines:?}");
    }
}
