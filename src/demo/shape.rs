//! Which machines a demo has, and what each of them is there for. All of them are this machine's loopback.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use interrex_rig::{Duty, Launcher, Site};

use crate::ports;

/// A machine's name, and its duty.
pub(crate) type Shape = &'static [(&'static str, Duty)];

/// Three machines, all alike.
pub(crate) const THREE: Shape = &[("n1", Duty::Both), ("n2", Duty::Both), ("n3", Duty::Both)];

/// Three instances and three coordinators, so that n4 can be lost with nothing but a standby on it. The first copy is
/// made on n1: where all are preferred alike, the first name is.
pub(crate) const STANDBY_APART: Shape =
    &[("n1", Duty::Both), ("n2", Duty::Both), ("n3", Duty::Coordinator), ("n4", Duty::Instance)];

/// Three machines, all alike, and a fourth with an agent alone.
pub(crate) const THREE_AND_AN_AGENT: Shape =
    &[("n1", Duty::Both), ("n2", Duty::Both), ("n3", Duty::Both), ("n4", Duty::Instance)];

/// These machines on loopback, with ports that are free.
pub(crate) fn sites(shape: Shape) -> anyhow::Result<Vec<Site>> {
    let ports = ports::free(2 * shape.len()).context("find free ports")?;
    let site = |((name, duty), ports): (&(&str, Duty), &[u16])| Site {
        name: (*name).to_owned(),
        duty: *duty,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        coordinator_port: ports[0],
        postgres_port: ports[1],
        launcher: Launcher::default(),
    };
    Ok(shape.iter().zip(ports.chunks(2)).map(site).collect())
}
