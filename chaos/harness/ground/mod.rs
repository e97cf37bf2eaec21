//! The ground of a run: its mark, its directory, a network and a control group for each machine, and a volume where a
//! fault needs one. Made at the beginning; gone at the end, after an error, after a panic and after Ctrl-C; after kill -9 once `interrex-chaos clean` was said.

mod group;
mod mark;
mod network;
mod volume;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use interrex_rig::postgresql::Account;
use interrex_rig::{Cluster, Directory, Duty, Launcher, Machine, Site, processes, sweep};
use rustix::process::Signal;

pub(crate) use group::Groups;
pub(crate) use network::{Cut, Network};
pub(crate) use volume::Volume;

use self::mark::{MARKS, Mark, Told};
use crate::{report, tools};

/// Where every coordinator listens.
pub(crate) const COORDINATOR_PORT: u16 = 7400;
/// Where every PostgreSQL listens.
pub(crate) const POSTGRES_PORT: u16 = 5432;
/// The machine of the clients.
pub(crate) const CLIENT: &str = "client";
/// Its address.
pub(crate) const CLIENT_ADDRESS: Ipv4Addr = address_of(100);
/// Whence the run itself looks: no fault ever cuts it off.
pub(crate) const OBSERVER: &str = "observer";
/// More of them make no safer cluster, only a slower one.
const MOST_VOTES: u8 = 5;

/// The ground of one run.
#[derive(Debug)]
pub(crate) struct Ground {
    mark: Mark,
    directory: Directory,
    /// Its networks.
    pub(crate) network: Network,
    /// Its control groups.
    pub(crate) groups: Groups,
    machines: u8,
    cleared: bool,
}

impl Ground {
    /// Makes all of it; on an error, nothing is left.
    pub(crate) fn make(
        machines: u8,
        keep: Option<&Path>,
        account: Option<Account>,
    ) -> anyhow::Result<Ground> {
        let mut mark = Mark::make(Path::new(MARKS))?;
        let directory = match Directory::make(&format!("{}-", mark.name), keep, account) {
            Ok(directory) => directory,
            Err(error) => {
                mark.remove()?;
                return Err(error);
            }
        };
        let made = mark
            .tell(Told { dir: directory.path.clone(), keep: directory.named })
            .and_then(|()| Ok((Network::make(&mark.name)?, Groups::make(&mark.name)?)));
        let (network, groups) = match made {
            Ok(made) => made,
            Err(error) => {
                clear(&mark, false).with_context(|| format!("after this: {error:#}"))?;
                return Err(error);
            }
        };
        let ground = Ground { mark, directory, network, groups, machines, cleared: false };
        // From here on whatever goes wrong is cleared away by `drop`.
        let machines = ground.names().into_iter().zip((1..).map(address_of));
        let others = [(CLIENT.to_owned(), CLIENT_ADDRESS), (OBSERVER.to_owned(), address_of(101))];
        for (name, address) in machines.chain(others) {
            ground.network.add(&name, address)?;
            ground.groups.add(&name)?;
        }
        Ok(ground)
    }

    /// Where everything of the cluster is.
    pub(crate) fn dir(&self) -> &Path {
        &self.directory.path
    }

    /// The machines of the cluster.
    pub(crate) fn sites(&self) -> Vec<Site> {
        let votes = odd(self.machines.min(MOST_VOTES));
        let site = |(name, number): (String, u8)| Site {
            duty: if number <= votes { Duty::Both } else { Duty::Instance },
            address: IpAddr::V4(address_of(number)),
            coordinator_port: COORDINATOR_PORT,
            postgres_port: POSTGRES_PORT,
            launcher: self.launcher(&name),
            name,
        };
        self.names().into_iter().zip(1..).map(site).collect()
    }

    /// Makes a volume for each PostgreSQL of a cluster that is made and not started yet.
    pub(crate) fn volumes(
        &self,
        cluster: &Cluster,
        account: Option<Account>,
    ) -> anyhow::Result<BTreeMap<String, Volume>> {
        let serving = cluster.machines.iter().filter(|machine| machine.duty.serves());
        let volume = |machine: &Machine| {
            let image = self.dir().join(format!("{}.ext4", machine.name));
            Ok((machine.name.clone(), Volume::make(image, machine.pg(), account)?))
        };
        serving.map(volume).collect()
    }

    /// How a program is started on a machine: in its group and its network. Both commands end in `exec`.
    pub(crate) fn launcher(&self, machine: &str) -> Launcher {
        let procs = self.groups.machine(machine).procs();
        let net = format!("--net={}", self.network.entrance(machine).display());
        let enter = ["sh", "-c", "echo 0 > \"$0\" && exec \"$@\""].map(OsString::from);
        let network = ["nsenter", &net, "--"].map(OsString::from);
        Launcher(enter.into_iter().chain([procs.into_os_string()]).chain(network).collect())
    }

    /// Ends and removes all of it. `keep` leaves the directory in place.
    pub(crate) fn clear(mut self, keep: bool) -> anyhow::Result<()> {
        self.cleared = true;
        clear(&self.mark, keep)
    }

    fn names(&self) -> Vec<String> {
        (1..=self.machines).map(|number| format!("n{number}")).collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !self.cleared
            && let Err(error) = clear(&self.mark, false)
        {
            report::complain(&format!("{error:#}"));
        }
    }
}

/// Every run has the same ones: no network sees another's.
const fn address_of(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

fn odd(number: u8) -> u8 {
    if number.is_multiple_of(2) { number - 1 } else { number }
}

/// Needs the mark alone: what a killed run left is cleared away in the same manner.
fn clear(mark: &Mark, keep: bool) -> anyhow::Result<()> {
    let spared = processes::self_and_ancestors();
    group::thaw(&mark.name);
    let mut left = Vec::new();
    if let Some(told) = &mark.told {
        // What is stopped hears nothing but this, and its end.
        for process in processes::of(&told.dir, &spared).context("read /proc")? {
            process.signal(Signal::CONT).with_context(|| format!("wake process {}", process.pid))?;
        }
        // A directory goes only once nothing is mounted in it, and a volume only once nothing runs on it.
        let mut sweep = |keep| {
            left.extend(sweep::sweep(&told.dir, &spared, keep).err().map(|error| format!("{error:#}")));
        };
        sweep(true);
        let mounted = volume::remove(&told.dir);
        if mounted.is_empty() && !keep && !told.keep {
            sweep(false);
        }
        left.extend(mounted);
    }
    left.extend(group::remove(&mark.name));
    left.extend(network::remove(&mark.name));
    if left.is_empty() { mark.remove() } else { bail!("{}", left.join("\n")) }
}

/// `interrex-chaos clean`
pub(crate) fn clean() -> anyhow::Result<ExitCode> {
    tools::ensure_root()?;
    let abandoned = mark::abandoned(Path::new(MARKS))?;
    for mark in &abandoned {
        clear(mark, false).with_context(|| format!("clear away after {}", mark.name))?;
    }
    let names: Vec<&str> = abandoned.iter().map(|mark| mark.name.as_str()).collect();
    let told = if names.is_empty() {
        "nothing was left".to_owned()
    } else {
        format!("removed {}", names.join(", "))
    };
    report::say(&told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_number_of_machines_votes() {
        assert_eq!([3, 4, 5, 6, 7].map(|machines: u8| odd(machines.min(MOST_VOTES))), [3, 3, 5, 5, 5]);
    }
}
