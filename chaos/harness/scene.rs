//! What a fault may lay hands on: the cluster, its networks and groups, and who is what at the moment of the strike.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail};
use interrex_rig::{Cluster, Duty};

use crate::ground::{CLIENT, CLIENT_ADDRESS, Cut, Groups, Network};

/// The stage of one run.
pub(crate) struct Scene {
    /// The machines and the means to ask them.
    pub(crate) cluster: Cluster,
    /// Their networks.
    pub(crate) network: Network,
    /// Their control groups.
    pub(crate) groups: Groups,
    /// The primary's machine.
    pub(crate) primary: String,
    /// A standby's machine, drawn.
    pub(crate) standby: String,
    /// All machines, in a drawn order.
    pub(crate) order: Vec<String>,
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
        to.iter().map(|to| Ok(Cut { from, to: self.address(to)?, port })).collect()
    }

    /// What each of `from` sends to `to`.
    pub(crate) fn toward(&self, to: &str, from: &[String], port: Option<u16>) -> anyhow::Result<Vec<Cut>> {
        let to = self.address(to)?;
        from.iter().map(|from| Ok(Cut { from: self.address(from)?, to, port })).collect()
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
