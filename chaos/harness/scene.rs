//! What a fault may lay hands on: the cluster, its networks, groups and volumes, and who is what at the moment of the
//! strike.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, bail};
use interrex_cluster::ids::Epoch;
use interrex_cluster::status::ClusterStatus;
use interrex_rig::{Cluster, Duty, Patience, missing};
use interrex_sim::Rng;

use crate::ground::{CLIENT, CLIENT_ADDRESS, Cut, Groups, Network, Volume};

/// Before the strike everything has to be well; a cluster that just came up is.
const WELL: Duration = Duration::from_secs(60);
/// Far longer than any failover may take: what takes this long has failed.
const FAILING_OVER: Duration = Duration::from_secs(60);

/// The stage of one run.
pub(crate) struct Scene {
    /// The machines and the means to ask them.
    pub(crate) cluster: Cluster,
    /// Their networks.
    pub(crate) network: Network,
    /// Their control groups.
    pub(crate) groups: Groups,
    /// Their PostgreSQLs' volumes, by machine; none where the row wants none.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// The primary's machine.
    pub(crate) primary: String,
    /// A standby's machine, drawn.
    pub(crate) standby: String,
    /// The machine that leads the coordinators: the primary's or another one, as drawn.
    pub(crate) leader: String,
    /// All machines, in a drawn order.
    pub(crate) order: Vec<String>,
    /// For what a fault draws by itself.
    pub(crate) rng: Rng,
}

impl Scene {
    /// Every machine with a PostgreSQL but this one.
    pub(crate) fn others(&self, name: &str) -> Vec<String> {
        self.named(|duty| duty.serves(), name)
    }

    /// Every machine that votes but this one.
    pub(crate) fn other_voters(&self, name: &str) -> Vec<String> {
        self.named(Duty::votes, name)
    }

    fn named(&self, wanted: impl Fn(Duty) -> bool, but: &str) -> Vec<String> {
        let all = self.cluster.machines.iter().filter(|machine| wanted(machine.duty));
        all.map(|machine| machine.name.clone()).filter(|name| name != but).collect()
    }

    /// Every machine that votes, in the drawn order.
    pub(crate) fn voters(&self) -> Vec<String> {
        let voters = self.other_voters("");
        self.order.iter().filter(|name| voters.contains(name)).cloned().collect()
    }

    /// All but this one, the clients' included.
    pub(crate) fn everybody_but(&self, name: &str) -> Vec<String> {
        [self.others(name), vec![CLIENT.to_owned()]].concat()
    }

    /// This machine's volume.
    ///
    /// # Errors
    /// The row wants none.
    pub(crate) fn volume(&self, name: &str) -> anyhow::Result<&Volume> {
        self.volumes.get(name).with_context(|| format!("{name} has no volume of its own"))
    }

    /// Has another machine than the primary's lead the coordinators, if none does.
    pub(crate) async fn lead_elsewhere(&mut self) -> anyhow::Result<()> {
        if self.leader != self.primary {
            return Ok(());
        }
        let (standby, primary) = (&self.standby, &self.primary);
        let chosen = self.voters().into_iter().find(|name| name == standby);
        let chosen = chosen.or_else(|| self.other_voters(primary).into_iter().next());
        let chosen = chosen.context("nobody else votes")?;
        self.leader = self.cluster.place_leader(&chosen, |leader| leader != primary).await?;
        self.cluster.whole(WELL).await.map(drop)
    }

    /// Waits until a primary serves in an epoch after this one.
    pub(crate) async fn failed_over(&mut self, before: Epoch) -> anyhow::Result<ClusterStatus> {
        let patience = Patience::new(format!("a primary after epoch {before}"), FAILING_OVER);
        loop {
            match self.cluster.status().await? {
                Some(status) if status.epoch > before && status.open => return Ok(status),
                Some(status) => {
                    patience.pause(&[vec![status.operation], status.waits].concat().join("; ")).await?;
                }
                None => patience.pause("no coordinator leads").await?,
            }
        }
    }

    /// Waits until all is well; who the primary is then.
    pub(crate) async fn well(&mut self) -> anyhow::Result<(ClusterStatus, String)> {
        let status = self.cluster.whole(WELL).await?;
        let primary = status.primary.as_ref().context("a whole cluster has a primary")?.to_string();
        Ok((status, primary))
    }

    /// Waits until something is missing: reports of who is gone are believed for a moment.
    pub(crate) async fn unwell(&mut self) -> anyhow::Result<()> {
        let patience = Patience::new("somebody to be missed", WELL);
        let wanted = self.cluster.hosts().len();
        while self.cluster.status().await?.is_some_and(|status| missing(&status, wanted).is_none()) {
            patience.pause("").await?;
        }
        Ok(())
    }

    /// The address of a machine of the cluster, or of the clients'.
    fn address(&self, name: &str) -> anyhow::Result<Ipv4Addr> {
        if name == CLIENT {
            return Ok(CLIENT_ADDRESS);
        }
        let machine = self.cluster.machines.iter().find(|machine| machine.name == name);
        match machine.with_context(|| format!("there is no machine {name}"))?.address() {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(address) => bail!("{name} has the address {address}, and networks of runs are IPv4"),
        }
    }

    /// What `from` sends to each of `to`.
    pub(crate) fn one_way(&self, from: &str, to: &[String], port: Option<u16>) -> anyhow::Result<Vec<Cut>> {
        let from = self.address(from)?;
        to.iter().map(|to| Ok(Cut { from, to: self.address(to)?, port, percent: 100 })).collect()
    }

    /// What each of `from` sends to `to`.
    pub(crate) fn toward(&self, to: &str, from: &[String], port: Option<u16>) -> anyhow::Result<Vec<Cut>> {
        let to = self.address(to)?;
        from.iter().map(|from| Ok(Cut { from: self.address(from)?, to, port, percent: 100 })).collect()
    }

    /// Both.
    pub(crate) fn between(
        &self,
        one: &str,
        others: &[String],
        port: Option<u16>,
    ) -> anyhow::Result<Vec<Cut>> {
        Ok([self.one_way(one, others, port)?, self.toward(one, others, port)?].concat())
    }
}
