//! A coordinator as it is dialled: `host:port`, or `MACHINE=host:port` where its certificate has to be that machine's,
//! whatever the address.

use std::fmt;
use std::str::FromStr;

use crate::{Address, MachineName};

/// Whom to dial, and who has to answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Where it answers.
    pub address: Address,
    /// Which machine it is. `None`: over TLS its certificate has to name the host dialled.
    pub machine: Option<MachineName>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.machine {
            Some(machine) => write!(f, "{machine}={}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (machine, address) = match text.split_once('=') {
            Some((machine, address)) => (Some(machine), address),
            None => (None, text),
        };
        let machine = machine
            .map(|name| name.parse().map_err(|_| format!("'{name}' is not the name of a machine")))
            .transpose()?;
        Ok(Target { address: address.parse()?, machine })
    }
}
