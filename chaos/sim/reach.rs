//! Reachability: dangerous states that a batch has to have been in, or it proved nothing about them. Each is noted where
//! it comes about.

use crate::danger::Danger;
use crate::world::World;
use interrex_cluster::command::Command;
use interrex_cluster::problem::Wait;
use interrex_cluster::record::{Cluster, Operation};

/// What was reached in one run.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Reach {
    bits: u128,
}

/// Each has a bit of its own.
const _: () = assert!(Danger::ALL.len() <= u128::BITS as usize, "there are more states than bits");

impl Reach {
    pub(crate) fn note(&mut self, danger: Danger) {
        self.bits |= 1 << danger as u128;
    }

    pub(crate) fn has(self, danger: Danger) -> bool {
        self.bits & (1 << danger as u128) != 0
    }

    /// What a decision waits for.
    pub(crate) fn wait(&mut self, wait: &Wait) {
        match wait {
            Wait::SealsMissing { .. } => self.note(Danger::SealsMissing),
            Wait::LeaseRunning { .. } | Wait::LossUnbounded { .. } => self.note(Danger::LossRefused),
            Wait::NeededYet { .. } => self.note(Danger::NeededYet),
            _ => {}
        }
    }
}

impl World {
    /// What an entry shows.
    pub(crate) fn notice(&mut self, before: Option<&Cluster>, after: &Cluster, command: &Command) {
        let Some(before) = before else { return };
        match command {
            Command::BeginFailover { .. } if after.epoch > before.epoch => {
                if !before.sync.proved {
                    self.reach.note(Danger::TwoRules);
                }
                let reign = before.primary.as_ref();
                if reign.is_some_and(|reign| reign.fork.is_none()) {
                    self.reach.note(Danger::CandidateDies);
                }
                if reign.is_some_and(|reign| !reign.open) {
                    self.reach.note(Danger::FailoverInFailover);
                }
            }
            Command::RecordSeal { instance, seal, .. } => self.notice_seal(after, instance, seal.stopped),
            Command::Elect { instance, .. } if after.primary != before.primary => {
                if before.last_primary().as_ref() == Some(instance) {
                    self.reach.note(Danger::OldPrimaryWins);
                }
                if after.timelines != before.timelines {
                    self.reach.note(Danger::UnconfirmedTimeline);
                }
                self.notice_lease(after);
            }
            Command::BeginHandOver { .. } => self.reach.note(Danger::HandedOver),
            Command::EndFetch { given_up: None, .. } => self.reach.note(Danger::Fetched),
            Command::EndFetch { given_up: Some(_), .. } => self.reach.note(Danger::FetchGivenUp),
            Command::AbandonSwitchover { .. } => self.reach.note(Danger::SwitchoverAbandoned),
            Command::AcceptLoss { .. } => self.reach.note(Danger::LossAccepted),
            Command::Remove { .. } => self.reach.note(Danger::Left),
            Command::EndRestart { .. } => self.reach.note(Danger::RestartedOnRequest),
            Command::EndRebuild { instance, .. } => {
                use interrex_cluster::record::Asked;
                let asked = before.instances.get(instance).and_then(|member| member.asked.as_ref());
                if matches!(asked, Some(Asked::Reinit { .. })) {
                    self.reach.note(Danger::MadeAnew);
                }
            }
            Command::ChangeRule { k: 0, .. } => self.reach.note(Danger::WentAlone),
            Command::MarkWhole { instance, .. } => {
                let copy = before.instances.get(instance).map(|member| &member.copy);
                use interrex_cluster::record::Copy;
                use interrex_cluster::report::Rebuild;
                match copy {
                    Some(Copy::Rebuilding { how: Rebuild::Rewind, .. }) => self.reach.note(Danger::Rewound),
                    Some(Copy::Rebuilding { how: Rebuild::Clone, .. }) => self.reach.note(Danger::Cloned),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn notice_seal(
        &mut self,
        after: &Cluster,
        instance: &interrex_cluster::ids::InstanceName,
        stopped: bool,
    ) {
        let Operation::Failover(failover) = &after.operation else { return };
        let Some(from) = &failover.from else { return };
        if !failover.astray.is_empty() {
            self.reach.note(Danger::Rogue);
        }
        if from == instance && stopped {
            self.reach.note(Danger::OldPrimarySeals);
        }
        if from != instance && self.own.servers[self.index(from)].is_primary() {
            self.reach.note(Danger::SealedWhilePrimaryLives);
        }
    }

    /// Somebody is elected: does anybody still hold a lease of an older epoch?
    fn notice_lease(&mut self, after: &Cluster) {
        for i in 0..self.own.servers.len() {
            let clock = self.clock(i);
            let deadline = self.own.servers[i].proc.as_ref().and_then(|proc| proc.deadline);
            if deadline.is_some_and(|(epoch, until)| epoch < after.epoch && clock < until) {
                self.reach.note(Danger::LeaseOutlivesEpoch);
            }
        }
    }
}
