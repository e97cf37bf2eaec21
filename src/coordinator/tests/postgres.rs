//! Pretended PostgreSQL servers: a timeline, an end of WAL, and who streams from whom.

use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal, StandbyGoal};
use interrex_cluster::ids::{Epoch, Incarnation, InstanceName, SystemId};
use interrex_cluster::report::{
    Need, Primary, Promotion, Proofs, Rebuild, Receiver, Seal, Sender, Server, Standby,
};
use interrex_cluster::wal::{Ancestor, History, Lsn, Position, TimelineId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const SYSTEM: SystemId = SystemId(7_000_000_000_000_000_001);

/// Every server of one cluster, so that they can stream from one another.
#[derive(Clone, Default)]
pub(crate) struct World(pub(crate) Arc<Mutex<BTreeMap<InstanceName, Server0>>>);

/// One pretended server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server0 {
    /// The machine is up.
    pub(crate) up: bool,
    role: Role,
    history: Option<History>,
    lsn: u64,
    incarnation: u32,
    open: bool,
    pub(crate) proofs: Proofs,
    pub(crate) needs: Option<Need>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Role {
    #[default]
    NoData,
    Stopped,
    Primary,
    Following(InstanceName),
    Alone,
}

impl Server0 {
    fn history(&self) -> History {
        self.history.clone().unwrap_or(History { timeline: TimelineId(1), ancestors: Vec::new() })
    }

    fn position(&self) -> Position {
        Position { timeline: self.history().timeline, lsn: Lsn(self.lsn) }
    }

    fn seal(&self, epoch: Epoch, stopped: bool) -> Seal {
        let history = self.history();
        let fork = history.ancestors.last().map(|parent| Promotion {
            epoch: Epoch(history.timeline.0),
            parent: parent.timeline,
            begin: parent.end,
        });
        Seal { epoch, position: self.position(), stopped, fork }
    }

    fn promote(&mut self, epoch: Epoch) {
        let before = self.history();
        let mut ancestors = before.ancestors;
        ancestors.push(Ancestor { timeline: before.timeline, end: Lsn(self.lsn) });
        let line = History { timeline: TimelineId(epoch.0), ancestors };
        self.proofs.promoted = Some(Promotion { epoch, parent: before.timeline, begin: Lsn(self.lsn) });
        self.proofs.promoted_line = Some(line.clone());
        (self.history, self.role, self.open) = (Some(line), Role::Primary, false);
    }
}

impl World {
    /// Powers a machine on or off.
    pub(crate) fn power(&self, name: &InstanceName, up: bool) {
        let mut servers = self.0.lock().unwrap();
        let server = servers.entry(name.clone()).or_default();
        server.up = up;
        server.incarnation = server.incarnation.max(1);
        if matches!(server.role, Role::Primary | Role::Following(_) | Role::Alone) {
            server.role = Role::Stopped;
        }
    }

    /// True when the instance is a running primary: it answers a knock.
    pub(crate) fn answers(&self, name: &InstanceName) -> bool {
        self.0.lock().unwrap().get(name).is_some_and(|s| s.up && s.role == Role::Primary)
    }

    /// Takes the next step towards the goal, and tells what is there afterwards.
    pub(crate) fn step(&self, me: &InstanceName, goal: Option<&StampedGoal>) -> (Server, Server0) {
        let mut servers = self.0.lock().unwrap();
        let mut own = servers.remove(me).unwrap_or_default();
        match goal.map(|goal| &goal.goal) {
            None | Some(Goal::Await { .. } | Goal::Adopt { .. }) => {}
            Some(Goal::Bootstrap) => {
                if own.role == Role::NoData {
                    (own.role, own.lsn) = (Role::Stopped, 0x100_0000);
                    own.proofs.created = Some((SYSTEM, own.position()));
                }
            }
            Some(Goal::Primary(goal)) => be_primary(&servers, me, &mut own, goal),
            Some(Goal::Standby(goal)) => be_standby(&servers, &mut own, goal),
            Some(Goal::Sealed { epoch, .. }) => {
                own.role = Role::Alone;
                own.proofs.sealed = Some(own.seal(*epoch, false));
            }
            Some(Goal::Stopped { epoch, .. }) => {
                own.role = Role::Stopped;
                own.proofs.sealed = Some(own.seal(*epoch, true));
            }
        }
        let told = tell(&servers, me, &own);
        servers.insert(me.clone(), own.clone());
        (told, own)
    }
}

fn be_primary(
    servers: &BTreeMap<InstanceName, Server0>,
    me: &InstanceName,
    own: &mut Server0,
    goal: &PrimaryGoal,
) {
    if own.history().timeline.0 != goal.epoch.0 {
        own.promote(goal.epoch);
    } else if own.role != Role::Primary {
        // It ran as this epoch's primary and was powered off: only a new epoch brings it back.
        return;
    }
    own.lsn += 64;
    let streaming = senders(servers, me, own);
    let able = streaming.iter().filter(|sender| goal.sync.instances.contains(&sender.instance)).count();
    if goal.sync.k == 0 || able >= goal.sync.k as usize {
        own.proofs.rule = Some((goal.epoch, goal.sync.rule));
        if goal.confirmed {
            own.proofs.opened = Some(goal.epoch);
            own.open = true;
        }
    }
}

fn be_standby(servers: &BTreeMap<InstanceName, Server0>, own: &mut Server0, goal: &StandbyGoal) {
    let above = servers.get(&goal.upstream).filter(|s| s.up);
    // A sealed standby sends on what it holds: whoever is preferred fetches from it before anybody is elected.
    if let Some(sealed) = above.filter(|s| s.role == Role::Alone && own.role == Role::Alone)
        && sealed.history() == own.history()
    {
        own.lsn = own.lsn.max(sealed.lsn);
    }
    let upstream = above.filter(|s| s.role == Role::Primary);
    let Some(upstream) = upstream.filter(|s| s.history().timeline.0 == goal.epoch.0) else {
        if own.role != Role::NoData {
            own.role = Role::Alone;
        }
        return;
    };
    if let Some((_, incarnation)) = goal.rebuild {
        (own.history, own.lsn, own.incarnation) = (upstream.history.clone(), upstream.lsn, incarnation.0);
        own.proofs.rebuilt = Some(incarnation);
        own.needs = None;
    } else if own.role == Role::NoData {
        return;
    } else if !upstream.history().contains(own.position()) {
        let why = "it went past the fork".to_owned();
        own.needs = Some(Need { rebuild: Rebuild::Rewind, incarnation: Incarnation(own.incarnation), why });
        own.role = Role::Stopped;
        return;
    }
    (own.history, own.lsn) = (upstream.history.clone(), upstream.lsn);
    own.role = Role::Following(goal.upstream.clone());
}

fn senders(servers: &BTreeMap<InstanceName, Server0>, me: &InstanceName, own: &Server0) -> Vec<Sender> {
    let follows = |(_, s): &(&InstanceName, &Server0)| {
        s.up && s.role == Role::Following(me.clone()) && s.history().timeline == own.history().timeline
    };
    let sender = |(name, s): (&InstanceName, &Server0)| Sender {
        instance: name.clone(),
        incarnation: Incarnation(s.incarnation),
        streaming: true,
        flushed: Lsn(s.lsn),
        replayed: Lsn(s.lsn),
        reply_age_ms: 5,
        behind_ms: 0,
    };
    servers.iter().filter(follows).map(sender).collect()
}

fn tell(servers: &BTreeMap<InstanceName, Server0>, me: &InstanceName, own: &Server0) -> Server {
    let (timeline, lsn) = (own.history().timeline, Lsn(own.lsn));
    match &own.role {
        Role::NoData => Server::NoData,
        Role::Stopped => Server::Stopped { system: SYSTEM, exit: None },
        Role::Alone => Server::Standby(Standby { system: SYSTEM, replayed: lsn, receiver: None }),
        Role::Following(upstream) => {
            let streams = servers.get(upstream).is_some_and(|s| s.up && s.role == Role::Primary);
            let receiver = Receiver {
                upstream: Some(upstream.clone()),
                streaming: true,
                timeline,
                flushed: lsn,
                quiet_ms: 5,
            };
            let receiver = streams.then_some(receiver);
            Server::Standby(Standby { system: SYSTEM, replayed: lsn, receiver })
        }
        Role::Primary => Server::Primary(Primary {
            system: SYSTEM,
            timeline,
            flushed: lsn,
            senders: senders(servers, me, own),
            open: own.open,
            beat_age_ms: Some(50),
        }),
    }
}

impl Server0 {
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation)
    }
}
