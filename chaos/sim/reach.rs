//! Reachability: dangerous states that a batch has to have been in, or it proved nothing about them. Each is noted where
//! it comes about.

use crate::world::World;
use interrex_cluster::command::Command;
use interrex_cluster::problem::Wait;
use interrex_cluster::record::{Cluster, Operation};

macro_rules! dangers {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A state that is worth having been in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Danger { $($(#[$doc])* $name,)* }

        impl Danger {
            pub(crate) const ALL: &[Danger] = &[$(Danger::$name,)*];

            /// In words.
            pub(crate) fn text(self) -> &'static str {
                match self { $(Danger::$name => $text,)* }
            }
        }
    };
}

dangers! {
    /// The seal came while the old primary still ran.
    SealedWhilePrimaryLives = "an instance was sealed while the old primary still ran",
    /// More than one rule was listed when a failover began.
    TwoRules = "a failover began while a rule was not proved",
    /// Somebody was elected and died before it was promoted.
    CandidateDies = "a candidate was superseded after its grant",
    /// A placeholder kept a timeline number from being used twice.
    CollisionAverted = "a promotion skipped a number that another timeline bears",
    /// A lease was granted by a leader that had been deposed after it was confirmed.
    GrantedAfterDeposed = "a deposed leader granted a lease",
    /// A leader found itself deposed while it was asking whether it leads.
    DeposedWhileGranting = "a leader was deposed while it was granting",
    /// An entry of a deposed leader was committed by the next.
    OrphanEntry = "an entry outlived the leader that proposed it",
    /// The guard ended a server.
    GuardKills = "a guard ended a server past its lease",
    /// A lease was still running when its epoch was over.
    LeaseOutlivesEpoch = "a lease outlived its epoch",
    /// A goal came that was older than the one obeyed.
    OldGoal = "an old goal came late and was refused",
    /// A report came that was overtaken.
    OldWord = "an old report came late and was dropped",
    /// A silent agent was outvoted.
    SilenceOutvoted = "a primary whose agent was silent was left alone",
    /// The election waited for seals that it could not have.
    SealsMissing = "an election waited for missing seals",
    /// An asynchronous primary's lease was waited for, or its word.
    LossRefused = "an automatic loss was refused",
    /// The old primary itself satisfied the rules.
    OldPrimarySeals = "the old primary was sealed and stopped",
    /// A preferred instance fetched what it lacked.
    Fetched = "a preferred instance fetched what it lacked before it was elected",
    /// A fetch came to nothing.
    FetchGivenUp = "a preferred instance did not get what it lacked",
    /// The old primary was elected again.
    OldPrimaryWins = "the old primary was elected again",
    /// Somebody won from a timeline that was never confirmed.
    UnconfirmedTimeline = "a winner stood on a timeline that was never confirmed",
    /// Commits became asynchronous.
    WentAlone = "a primary went on alone",
    /// A copy was rewound.
    Rewound = "a copy was rewound",
    /// A copy was cloned.
    Cloned = "a copy was cloned",
    /// A promotion by hand was met.
    Rogue = "a sealed copy stood on a timeline that nobody was elected to open",
    /// A planned change of primary was handed over.
    HandedOver = "a switchover was handed over",
    /// A planned change went on as a failover, or was given up.
    SwitchoverAbandoned = "a switchover was given up",
    /// An operator accepted a loss.
    LossAccepted = "a failover went on by an operator's override",
    /// A standby's WAL was thrown away before it had it.
    SlotLost = "WAL that a standby had yet to receive was thrown away",
    /// A disk was full.
    DiskFull = "a server ended because its disk was full",
    /// What waited was cancelled.
    WaitsCancelled = "commits that waited for standbys were cancelled",
    /// A machine never came back, and the others were whole without it.
    WholeWithoutTheDead = "a cluster became whole although a machine stayed dead",
    /// A machine never came back, and the others had to wait for it.
    StuckRightly = "a cluster waited, rightly, for a machine that stayed dead",
    /// An instance left.
    Left = "an instance left the cluster",
    /// A copy was made anew because somebody asked for that.
    MadeAnew = "a copy was made anew on request",
    /// A standby was restarted because somebody asked for that.
    RestartedOnRequest = "a standby was restarted on request",
    /// A coordinator's disk was lost, and what came back is a new member.
    LogLost = "a coordinator lost its log and came back as a new one",
    /// A group of coordinators was made anew out of one log.
    LogRecovered = "a group was made anew out of one coordinator's log",
    /// Somebody had obeyed what such a log does not know.
    RecordBehind = "a record that lost entries was not decided upon",
    /// A PostgreSQL that was there before ran, and was stopped.
    FoundStopped = "a server was stopped to be taken in",
    /// What was there before did not fit together, and was left as it is.
    AdoptionRefused = "a PostgreSQL was not taken in as it was",
    /// A directory that was there before became ours.
    TakenIn = "a directory that was there before was taken in",
    /// A service started a server that was to be taken in after that was decided.
    StartedBehind = "a service started a server whose adoption was decided",
    /// A change of primary began while another was not finished.
    FailoverInFailover = "a failover began before the last one was open",
    /// Who was to leave acknowledged until others could.
    NeededYet = "an instance that was to leave acknowledged until others could",
    /// A client that held a session wrote where nobody new was let in any more.
    HeldSession = "a client wrote over a session that it held, where nobody was let in any more",
    /// A client cancelled what it waited for.
    ClientCancels = "a client cancelled a commit that waited for standbys",
    /// A server did not start because of a parameter.
    ParameterKeepsDown = "a server did not start because of a parameter of its cluster",
    /// A standby acknowledged, and could not be promoted.
    Unpromotable = "a standby had less than replay demands and could not be promoted",
    /// A coordinator joined a group that was well.
    CoordinatorAdded = "a coordinator was added to a group that was well",
    /// A coordinator was removed from such a group.
    CoordinatorRemoved = "a coordinator was removed from a group that was well",
    /// A walsender counted by its own copy of the setting (F8).
    OldCopy = "a walsender let commits through by a setting that a fresh connection did not show any more",
    /// Two clusters of one group were without a primary.
    FailoversAtOnce = "two clusters of one group of coordinators were without a primary at once",
}

/// What was reached.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Reach {
    bits: u64,
}

impl Reach {
    pub(crate) fn note(&mut self, danger: Danger) {
        self.bits |= 1 << danger as u64;
    }

    pub(crate) fn has(self, danger: Danger) -> bool {
        self.bits & (1 << danger as u64) != 0
    }

    pub(crate) fn join(&mut self, other: Reach) {
        self.bits |= other.bits;
    }

    /// What a batch never reached, in words.
    pub(crate) fn missing(self) -> Vec<&'static str> {
        let missing = |danger: &&Danger| !self.has(**danger);
        Danger::ALL.iter().filter(missing).map(|danger| danger.text()).collect()
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
