//! A kill, or a planned change, and what follows: where the coordinators' leader is to be, what dies, when writes go
//! on, and when the old primary streams again. Used by the scripts and by the menu alike.

use std::time::Duration;

use anyhow::Context;
use interrex_api::admin::SwitchoverRequest;
use interrex_cluster::ids::Epoch;
use interrex_cluster::status::{ClusterStatus, InstanceStatus};
use interrex_ledger::{Gap, LedgerFile, longest_gap, monotonic_ms};
use interrex_rig::{CLUSTER, Cluster, Killed, Moment, Patience, Writer, in_words, streams};

use crate::args::{RaftLeader, Script};

/// Far longer than any failover may take: what takes this long has failed.
const FAILING_OVER: Duration = Duration::from_secs(60);
const REJOINING: Duration = Duration::from_secs(90);

/// What was done.
#[derive(Debug, Clone)]
pub(crate) struct Struck {
    pub(crate) script: Script,
    pub(crate) killed: Killed,
    /// The primary at that moment; its machine has the same name.
    pub(crate) old_primary: String,
    pub(crate) old_epoch: Epoch,
    /// Who led the coordinators at that moment; absent: nobody.
    pub(crate) leader: Option<String>,
}

impl Struck {
    /// The coordinators' leader died along.
    pub(crate) fn leader_killed(&self) -> bool {
        self.script.kills_the_machine() && self.leader.as_ref() == Some(&self.old_primary)
    }
}

/// Writes go on.
#[derive(Debug, Clone)]
pub(crate) struct GoesOn {
    pub(crate) new_primary: String,
    pub(crate) epoch: Epoch,
    /// The longest time without an acknowledgement since the kill.
    pub(crate) gap: Gap,
}

/// Kills the primary of a cluster that was just seen as `status` says, or has it hand over, with the coordinators'
/// leader where it is wanted.
pub(crate) async fn strike(
    cluster: &mut Cluster,
    status: &ClusterStatus,
    script: Script,
    wish: RaftLeader,
) -> anyhow::Result<Struck> {
    let old_primary = status.primary.as_ref().context("there is no primary to strike")?.to_string();
    let leader = place_leader(cluster, wish, &old_primary).await?;
    let killed = match script {
        Script::KillPrimary | Script::StoppedStandby => {
            let (machine, dir, traces) = cluster.doomed(&old_primary)?;
            machine.kill(dir, traces).await?
        }
        Script::KillPostmaster => {
            let (machine, dir, traces) = cluster.doomed(&old_primary)?;
            machine.kill_postmaster(dir, traces)?
        }
        Script::Switchover => hand_over(cluster).await?,
    };
    Ok(Struck { script, killed, old_primary, old_epoch: status.epoch, leader })
}

/// Asks for a switchover; nothing dies.
async fn hand_over(cluster: &Cluster) -> anyhow::Result<Killed> {
    let asked = Killed { at: Moment::now(), pids: Vec::new() };
    let request = SwitchoverRequest { name: CLUSTER.parse()?, to: None, dry_run: false };
    let reply = cluster.client.switchover(&request).await?;
    anyhow::ensure!(reply.accepted, "the switchover was refused: {}", reply.waits.join("; "));
    Ok(asked)
}

/// Hands leadership over until the leader is where it is wanted; who leads then.
pub(crate) async fn place_leader(
    cluster: &Cluster,
    wish: RaftLeader,
    primary: &str,
) -> anyhow::Result<Option<String>> {
    let on_primary = |name: &str| name == primary;
    let target = match wish {
        RaftLeader::Any => return Ok(cluster.leader().await),
        RaftLeader::Elsewhere => cluster.machines.iter().find(|machine| !on_primary(&machine.name)),
        RaftLeader::WithPrimary => cluster.machines.iter().find(|machine| on_primary(&machine.name)),
    };
    let target = target.context("a demo has three machines")?;
    cluster.place_leader(&target.name, |leader| wish.content_with(leader, primary)).await.map(Some)
}

/// Waits until a new reign is open and a write was acknowledged in it.
pub(crate) async fn goes_on(
    cluster: &mut Cluster,
    writer: &mut Writer,
    struck: &Struck,
) -> anyhow::Result<GoesOn> {
    let status = reign_after(cluster, struck.old_epoch).await?;
    let new_primary = status.primary.as_ref().context("an open reign has a primary")?.to_string();
    // The first one of the new reign may be older than our look at it; the gap is read from the ledger itself.
    writer.acknowledged_after(monotonic_ms(), FAILING_OVER).await?;
    let gap = gap_since(writer.look()?, struck).context("two acknowledged writes surround the kill")?;
    Ok(GoesOn { new_primary, epoch: status.epoch, gap })
}

/// The longest time without an acknowledgement since the kill.
pub(crate) fn gap_since(file: &LedgerFile, struck: &Struck) -> Option<Gap> {
    longest_gap(file, Some(struck.killed.at.mono_ms))
}

async fn reign_after(cluster: &mut Cluster, old: Epoch) -> anyhow::Result<ClusterStatus> {
    let patience = Patience::new(format!("a new primary after epoch {old}"), FAILING_OVER);
    loop {
        let status = cluster.status().await?;
        let seen = match status {
            Some(status) if status.epoch > old && status.open => return Ok(status),
            Some(status) => [vec![status.operation], status.waits].concat().join("; "),
            None => "no coordinator leads".to_owned(),
        };
        patience.pause(&seen).await?;
    }
}

/// Waits until `name` streams as a standby of the present reign, or is the one who was elected again, as a primary
/// whose machine is alive may be; milliseconds since `since` (`CLOCK_MONOTONIC`).
pub(crate) async fn streams_again(cluster: &mut Cluster, name: &str, since: u64) -> anyhow::Result<u64> {
    let patience = Patience::new(format!("{name} to stream again"), REJOINING);
    loop {
        let status = cluster.status().await?;
        let instance = status.iter().flat_map(|status| &status.instances).find(|i| i.name.as_str() == name);
        let seen = match instance {
            Some(instance) if streams(instance) || reigns(instance) => {
                return Ok(monotonic_ms().saturating_sub(since));
            }
            Some(instance) => in_words(instance),
            None => "no coordinator leads".to_owned(),
        };
        patience.pause(&seen).await?;
    }
}

fn reigns(instance: &InstanceStatus) -> bool {
    instance.role == "primary" && instance.server == "open"
}
