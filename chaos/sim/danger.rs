//! Dangerous states, in words: those that a batch has to have been in, or it proved nothing about them. Some come about in both
//! tiers of the simulation, some only where the coordinators, or the agents' loops, are modelled, some only where they are the
//! real ones; and some so seldom that they are counted, and asked of no batch.

macro_rules! dangers {
    (
        first { $($(#[$first_doc:meta])* $first:ident = $first_text:literal,)* }
        both { $($(#[$both_doc:meta])* $both:ident = $both_text:literal,)* }
        second { $($(#[$second_doc:meta])* $second:ident = $second_text:literal,)* }
        seldom { $($(#[$seldom_doc:meta])* $seldom:ident = $seldom_text:literal,)* }
    ) => {
        /// A state that is worth having been in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Danger {
            $($(#[$first_doc])* $first,)*
            $($(#[$both_doc])* $both,)*
            $($(#[$second_doc])* $second,)*
            $($(#[$seldom_doc])* $seldom,)*
        }

        impl Danger {
            /// All there are.
            pub(crate) const ALL: &[Danger] = &[
                $(Danger::$first,)*
                $(Danger::$both,)*
                $(Danger::$second,)*
                $(Danger::$seldom,)*
            ];
            /// What a batch of the first tier comes by.
            pub const FIRST: &[Danger] = &[$(Danger::$first,)* $(Danger::$both,)*];
            /// What one of the second tier does.
            pub const SECOND: &[Danger] = &[$(Danger::$second,)* $(Danger::$both,)*];

            /// In words.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Danger::$first => $first_text,)*
                    $(Danger::$both => $both_text,)*
                    $(Danger::$second => $second_text,)*
                    $(Danger::$seldom => $seldom_text,)*
                }
            }
        }
    };
}

dangers! {
    first {
        /// A placeholder kept a timeline number from being used twice.
        CollisionAverted = "a promotion skipped a number that another timeline bears",
        /// A lease was granted by a leader that had been deposed after it was confirmed.
        GrantedAfterDeposed = "a deposed leader granted a lease",
        /// A leader found itself deposed while it was asking whether it leads.
        DeposedWhileGranting = "a leader was deposed while it was granting",
        /// An entry of a deposed leader was committed by the next.
        OrphanEntry = "an entry outlived the leader that proposed it",
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
        /// A preferred instance fetched what it lacked.
        Fetched = "a preferred instance fetched what it lacked before it was elected",
        /// A fetch came to nothing.
        FetchGivenUp = "a preferred instance did not get what it lacked",
        /// The old primary was elected again.
        OldPrimaryWins = "the old primary was elected again",
        /// A promotion by hand was met.
        Rogue = "a sealed copy stood on a timeline that nobody was elected to open",
        /// A planned change went on as a failover, or was given up.
        SwitchoverAbandoned = "a switchover was given up",
        /// A standby's WAL was thrown away before it had it.
        SlotLost = "WAL that a standby had yet to receive was thrown away",
        /// A disk was full.
        DiskFull = "a server ended because its disk was full",
        /// What waited was cancelled.
        WaitsCancelled = "commits that waited for standbys were cancelled",
        /// An instance left.
        Left = "an instance left the cluster",
        /// A copy was made anew because somebody asked for that.
        MadeAnew = "a copy was made anew on request",
        /// A standby was restarted because somebody asked for that.
        RestartedOnRequest = "a standby was restarted on request",
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
        /// A walsender counted by its own copy of the setting (F8).
        OldCopy = "a walsender let commits through by a setting that a fresh connection did not show any more",
        /// Somebody was elected and died before it was promoted.
        CandidateDies = "a candidate was superseded after its grant",
        /// Somebody won from a timeline that was never confirmed.
        UnconfirmedTimeline = "a winner stood on a timeline that was never confirmed",
        /// A machine never came back, and the others had to wait for it.
        StuckRightly = "a cluster waited, rightly, for a machine that stayed dead",
        /// A coordinator joined a group that was well.
        CoordinatorAdded = "a coordinator was added to a group that was well",
    }
    both {
        /// The seal came while the old primary still ran.
        SealedWhilePrimaryLives = "an instance was sealed while the old primary still ran",
        /// More than one rule was listed when a failover began.
        TwoRules = "a failover began while a rule was not proved",
        /// The guard ended a server.
        GuardKills = "a guard ended a server past its lease",
        /// A lease was still running when its epoch was over.
        LeaseOutlivesEpoch = "a lease outlived its epoch",
        /// The old primary itself satisfied the rules.
        OldPrimarySeals = "the old primary was sealed and stopped",
        /// Commits became asynchronous.
        WentAlone = "a primary went on alone",
        /// A copy was rewound.
        Rewound = "a copy was rewound",
        /// A copy was cloned.
        Cloned = "a copy was cloned",
        /// A planned change of primary was handed over.
        HandedOver = "a switchover was handed over",
        /// An operator accepted a loss.
        LossAccepted = "a failover went on by an operator's override",
        /// A machine never came back, and the others were whole without it.
        WholeWithoutTheDead = "a cluster became whole although a machine stayed dead",
        /// A coordinator's disk was lost, and what came back is a new member.
        LogLost = "a coordinator lost its log and came back as a new one",
        /// A group of coordinators was made anew out of one log.
        LogRecovered = "a group was made anew out of one coordinator's log",
        /// A change of primary began while another was not finished.
        FailoverInFailover = "a failover began before the last one was open",
        /// A coordinator was removed from such a group.
        CoordinatorRemoved = "a coordinator was removed from a group that was well",
        /// Two clusters of one group were without a primary.
        FailoversAtOnce = "two clusters of one group of coordinators were without a primary at once",
    }
    second {
        /// The leader changed, and nobody was elected yet.
        LeaderChangesInFailover = "a coordinator took over the lead while a failover was under way",
        /// The leader changed, and an agent moved something.
        LeaderChangesAmidDeed = "a coordinator took over the lead while an agent was in the middle of a deed",
        /// Who was stopped or cut off still believed.
        TwoLead = "two coordinators believed at once that they lead",
        /// The guard ended a server, and no coordinator led that had granted its lease.
        LeaseOutlivesLeader = "a lease ran out after the coordinator that led when it began",
        /// A log goes back to a snapshot, and no further.
        BeganWithSnapshot = "a coordinator began with a snapshot on its disk",
        /// What it lacked was not in the leader's log any more.
        SnapshotTaken = "a coordinator took over a snapshot of another one",
        /// Coordinators of a group that was given up were there again.
        ReplacedGroupLeads = "a group of coordinators that was replaced had a leader beside the new one",
        /// An agent began anew when nobody was primary.
        RegisteredInFailover = "an agent was registered again while a failover was under way",
        /// An agent began anew beside a primary.
        AgentFindsPrimary = "an agent began anew and found its primary running",
        /// A newer goal, or the end of its server, overtook it.
        DeedLeft = "a deed was left in the middle",
    }
    seldom {
        /// A machine's power went while its coordinator's disk was writing.
        TailLost = "a coordinator's log lost its unflushed tail",
    }
}
