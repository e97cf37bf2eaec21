//! One script from beginning to end: up, write, kill, fail over, come back, judge.

use std::time::Duration;

use interrex_cluster::status::ClusterStatus;
use interrex_ledger::{LedgerFile, Verdict, monotonic_ms, verify};
use interrex_rig::{Cluster, Patience, Phases, Voice, Writer, load};

use crate::args::{RaftLeader, Script};
use crate::away::{self, Away};
use crate::report::{ENOUGH, Report};
use crate::strike::{GoesOn, Struck, gap_since, goes_on, streams_again, strike};

/// Written before the kill, so that there is something to lose.
const WRITING: u64 = 2_000;
/// Written after the first acknowledgement of the new reign, so that the old primary has something to miss.
const WRITING_ON: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// For each connect and statement of the final comparison, and for each standby's replay.
const COMPARING: Duration = Duration::from_secs(10);

/// Plays it on a cluster that is made and not yet started.
pub(crate) async fn play(
    cluster: &mut Cluster,
    script: Script,
    wish: RaftLeader,
    voice: &Voice,
) -> anyhow::Result<Report> {
    cluster.up(voice).await?;
    let up_ms = voice.elapsed_ms();
    voice.tell("three healthy instances");
    let mut writer = Writer::start(cluster).await?;
    write_enough(&mut writer).await?;
    voice.tell(&format!("a writer has {} acknowledgements", writer.acknowledged()?));

    let (status, away) = match script {
        Script::StoppedStandby => {
            let (status, away) = away::stop_a_standby(cluster, &mut writer, voice).await?;
            (status, Some(away))
        }
        _ => (cluster.whole(PATIENCE).await?, None),
    };
    let struck = strike(cluster, &status, script, wish).await?;
    voice.tell(&in_words(&struck));
    let goes_on = goes_on(cluster, &mut writer, &struck).await?;
    voice.tell(&format!("{} takes writes in epoch {}", goes_on.new_primary, goes_on.epoch));
    writer.acknowledged_after(goes_on.gap.to_ms + WRITING_ON, PATIENCE).await?;

    let rejoined_ms = come_back(cluster, &struck, voice).await?;
    voice.tell(&format!("{} {}", struck.old_primary, back(&struck, &goes_on)));
    if let Some(away) = &away {
        cluster.machine(&away.standby)?.start()?;
    }
    let status = cluster.whole(PATIENCE).await?;
    let file = writer.stop().await?;
    let verdict = verify(&file, &cluster.hosts(), &cluster.login, COMPARING).await?;
    voice.tell("every instance was compared with the ledger");
    let (struck, run) = (&struck, Run { up_ms, rejoined_ms, status, goes_on, away });
    report(cluster, struck, run, &file, &verdict).await
}

/// How the old primary is back: a machine that lives may be elected again.
pub(crate) fn back(struck: &Struck, goes_on: &GoesOn) -> &'static str {
    if goes_on.new_primary == struck.old_primary { "was elected again" } else { "streams again" }
}

/// What only the play itself knows.
struct Run {
    up_ms: u64,
    rejoined_ms: u64,
    status: ClusterStatus,
    goes_on: GoesOn,
    away: Option<Away>,
}

async fn write_enough(writer: &mut Writer) -> anyhow::Result<()> {
    let first = writer.acknowledged_after(0, PATIENCE).await?;
    writer.acknowledged_after(first + WRITING, PATIENCE).await?;
    let patience = Patience::new(format!("{ENOUGH} acknowledged writes"), PATIENCE);
    while writer.acknowledged()? < ENOUGH {
        patience.pause("").await?;
    }
    Ok(())
}

/// Starts a killed machine again, and waits until the old primary streams; how long that took.
async fn come_back(cluster: &mut Cluster, struck: &Struck, voice: &Voice) -> anyhow::Result<u64> {
    let since = match struck.script {
        Script::KillPostmaster | Script::Switchover => struck.killed.at.mono_ms,
        Script::KillPrimary | Script::StoppedStandby => {
            let since = monotonic_ms();
            cluster.machine(&struck.old_primary)?.start()?;
            voice.tell(&format!("{} was started again", struck.old_primary));
            since
        }
    };
    streams_again(cluster, &struck.old_primary, since).await
}

/// What died, for people.
pub(crate) fn in_words(struck: &Struck) -> String {
    let (name, count) = (&struck.old_primary, struck.killed.pids.len());
    match struck.script {
        Script::KillPostmaster => format!("the postmaster of {name} was killed"),
        Script::Switchover => format!("{name} was asked to hand over"),
        Script::KillPrimary | Script::StoppedStandby if struck.leader_killed() => {
            format!("all {count} processes on {name} were killed, the coordinators' leader among them")
        }
        Script::KillPrimary | Script::StoppedStandby => {
            format!("all {count} processes on {name} were killed")
        }
    }
}

async fn report(
    cluster: &Cluster,
    struck: &Struck,
    run: Run,
    file: &LedgerFile,
    verdict: &Verdict,
) -> anyhow::Result<Report> {
    let events = cluster.events().await?;
    let gap = gap_since(file, struck).unwrap_or(run.goes_on.gap);
    let (epoch, instances) = (run.status.epoch, &run.status.instances);
    let count = |set: usize| u64::try_from(set).unwrap_or(u64::MAX);
    Ok(Report {
        script: struck.script.name(),
        acked: verdict.acked,
        lost: count(verdict.lost.len()),
        unknown: verdict.unknown_kept + verdict.unknown_gone,
        warned: verdict.warned_kept + verdict.warned_gone,
        outage_ms: gap.ms,
        phases: Phases::read(&events, struck.old_epoch, epoch, struck.killed.at, gap.to_ms),
        rejoined_ms: run.rejoined_ms,
        epoch: epoch.0,
        old_primary: struck.old_primary.clone(),
        new_primary: run.status.primary.map_or(run.goes_on.new_primary, |primary| primary.to_string()),
        timelines: instances
            .iter()
            .map(|i| (i.name.to_string(), i.timeline.map(|timeline| timeline.0)))
            .collect(),
        pids_killed: struck.killed.pids.clone(),
        raft_leader_killed: struck.leader_killed(),
        raft_leader: struck.leader.clone(),
        up_ms: run.up_ms,
        away: run.away,
        load: load(),
        findings: verdict.findings(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::Epoch;
    use interrex_rig::{Killed, Moment};

    #[test]
    fn what_died_is_told_with_the_leader_among_it() {
        let killed = Killed { at: Moment { wall_ms: 1, mono_ms: 1 }, pids: vec![1, 2] };
        let struck = |script, leader: &str| Struck {
            script,
            killed: killed.clone(),
            old_primary: "n1".to_owned(),
            old_epoch: Epoch(2),
            leader: Some(leader.to_owned()),
        };
        let told = in_words(&struck(Script::KillPrimary, "n1"));
        assert_eq!(told, "all 2 processes on n1 were killed, the coordinators' leader among them");
        assert_eq!(in_words(&struck(Script::KillPrimary, "n2")), "all 2 processes on n1 were killed");
        assert!(!struck(Script::KillPostmaster, "n1").leader_killed());
    }
}
