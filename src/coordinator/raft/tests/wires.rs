//! The wires between the machines of a group: TCP on loopback, which breaks for a machine that is cut off and is refused
//! to and from it until it is mended.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use interrex_rt::{Awaited, Dial, Dialer, Link};
use tokio::io::{copy_bidirectional, duplex};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::group::PATIENCE;

/// Bytes under way in each direction, as in a socket's buffer.
const BUFFER: usize = 64 << 10;

/// All wires of a group.
#[derive(Clone)]
pub(crate) struct Wires {
    /// Who listens where.
    machines: Arc<BTreeMap<u16, String>>,
    state: Arc<watch::Sender<State>>,
}

#[derive(Default)]
struct State {
    cut: BTreeSet<String>,
    /// How often a machine called another in vain, since the one that calls was cut off.
    in_vain: BTreeMap<(String, String), usize>,
}

impl State {
    fn breaks(&self, (from, to): &(String, String)) -> bool {
        self.cut.contains(from) || self.cut.contains(to)
    }
}

impl Wires {
    /// Between the machines that listen on these ports.
    pub(crate) fn between(machines: impl Iterator<Item = (u16, String)>) -> Self {
        Self { machines: Arc::new(machines.collect()), state: Arc::default() }
    }

    /// How a machine calls the others.
    pub(crate) fn of(&self, machine: &str) -> Dialer {
        Dialer::through(Arc::new(Wire { from: machine.to_owned(), wires: self.clone() }))
    }

    /// Breaks every connection of a machine; it hears nobody, and nobody hears it.
    pub(crate) fn cut(&self, machine: &str) {
        self.state.send_modify(|state| {
            state.cut.insert(machine.to_owned());
            state.in_vain.retain(|(from, _), _| from != machine);
        });
    }

    /// Lets it be reached again.
    pub(crate) fn mend(&self, machine: &str) {
        self.state.send_if_modified(|state| state.cut.remove(machine));
    }

    /// Waits until a machine that is cut off has called each of the others so many times in vain.
    pub(crate) async fn called_in_vain(&self, machine: &str, times: usize) {
        let mut state = self.state.subscribe();
        let others = || self.machines.values().filter(|other| *other != machine);
        let count = |state: &State, other: &String| {
            state.in_vain.get(&(machine.to_owned(), other.clone())).copied().unwrap_or_default()
        };
        let often = state.wait_for(|state| others().all(|other| count(state, other) >= times));
        let called = tokio::time::timeout(PATIENCE, often).await.expect("it calls the others");
        called.expect("the wires are there");
    }
}

/// One machine's end of them.
struct Wire {
    from: String,
    wires: Wires,
}

impl Dial for Wire {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Awaited<'a, Link> {
        Box::pin(async move {
            let Wires { machines, state } = &self.wires;
            let ends = (self.from.clone(), machines[&port].clone());
            let refused = state.send_if_modified(|state| {
                let broken = state.breaks(&ends);
                if broken {
                    *state.in_vain.entry(ends.clone()).or_default() += 1;
                }
                broken
            });
            if refused {
                return Err(ErrorKind::ConnectionRefused.into());
            }
            let mut there = TcpStream::connect((host, port)).await?;
            there.set_nodelay(true)?;
            let (here, mut near) = duplex(BUFFER);
            let mut state = state.subscribe();
            tokio::spawn(async move {
                let cut = state.wait_for(|state| state.breaks(&ends));
                tokio::select! {
                    _ = cut => {}
                    _ = copy_bidirectional(&mut near, &mut there) => {}
                }
            });
            Ok(Box::new(here) as Link)
        })
    }
}
