//! A standby that is stopped for good before the primary is: how soon the commit rule does without it, and what the
//! writer feels of that.

use std::time::Duration;

use anyhow::{Context, ensure};
use interrex_cluster::status::ClusterStatus;
use interrex_ledger::{longest_gap, monotonic_ms};
use interrex_rig::{Cluster, Duty, Patience, Voice, Writer};
use serde::Serialize;

const LEAVING: Duration = Duration::from_secs(30);
/// Writing without it, before the primary dies as well.
const WITHOUT: u64 = 1_000;

/// A standby that is gone, and what that cost.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Away {
    /// Which.
    pub(crate) standby: String,
    /// From the kill until it no longer was among those whose answer counts.
    pub(crate) out_of_rule_ms: u64,
    /// The longest time without an acknowledgement since its kill.
    pub(crate) pause_ms: u64,
}

impl Away {
    /// For people.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} was stopped for good before: out of the commit rule after {} ms, writes stood still for {} ms at most",
            self.standby, self.out_of_rule_ms, self.pause_ms
        )
    }
}

/// Kills the machine that runs nothing but a standby, and waits until commits no longer wait for it.
pub(crate) async fn stop_a_standby(
    cluster: &mut Cluster,
    writer: &mut Writer,
    voice: &Voice,
) -> anyhow::Result<(ClusterStatus, Away)> {
    let before = cluster.whole(LEAVING).await?;
    let alone = cluster.machines.iter().find(|machine| machine.duty == Duty::Instance);
    let standby = alone.context("no machine runs an instance alone")?.name.clone();
    ensure!(
        before.primary.as_ref().is_some_and(|primary| primary.as_str() != standby),
        "{standby} is the primary, so that it cannot be stopped as a standby"
    );
    let (machine, dir, traces) = cluster.doomed(&standby)?;
    let killed = machine.kill(dir, traces).await?;
    voice.tell(&format!("all {} processes of the standby {standby} were killed", killed.pids.len()));

    let patience = Patience::new(format!("{standby} to leave the commit rule"), LEAVING);
    let status = loop {
        match cluster.status().await? {
            Some(status) if is_out(&status, &standby) => break status,
            Some(status) => patience.pause(&status.rule).await?,
            None => patience.pause("no coordinator leads").await?,
        }
    };
    let out_of_rule_ms = monotonic_ms().saturating_sub(killed.at.mono_ms);
    ensure!(status.primary == before.primary, "the primary changed though only a standby died");
    writer.acknowledged_after(monotonic_ms() + WITHOUT, LEAVING).await?;
    let gap = longest_gap(writer.look()?, Some(killed.at.mono_ms)).context("writes surround the kill")?;
    voice.tell(&format!("the commit rule does without {standby}"));
    Ok((status, Away { standby, out_of_rule_ms, pause_ms: gap.ms }))
}

/// Its answer no longer counts, and the rule without it is proved: older ones are retired.
fn is_out(status: &ClusterStatus, standby: &str) -> bool {
    let counts = |name: &str| status.instances.iter().any(|i| i.name.as_str() == name && i.in_sync_set);
    !counts(standby) && status.rules.len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole_cluster::whole;

    #[test]
    fn a_standby_is_out_once_no_listed_rule_can_wait_for_it() {
        let mut status = whole();
        status.rules = vec!["1 of n2, n3".to_owned()];
        status.instances[2].in_sync_set = true;
        assert!(!is_out(&status, "n3"));
        status.instances[2].in_sync_set = false;
        assert!(is_out(&status, "n3"));
        status.rules.push("1 of n2".to_owned());
        assert!(!is_out(&status, "n3"), "the older rule is still listed");
    }
}
