//! Every threshold, and toward which mistake it leans: the same for all clusters of one coordinator group, but for what an
//! operator may set per cluster ([`crate::spec`]).

use crate::spec::Spec;
use std::time::Duration;

/// Thresholds of the coordinators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How often an agent reports when nothing changes. Shorter finds a dead one sooner, and costs idle CPU.
    pub heartbeat: Duration,
    /// A report older than this is no testimony about the present. Leans toward waiting.
    pub fresh: Duration,
    /// Silence of the primary's agent after which corroborating peers suffice. Leans toward failing over: nothing
    /// acknowledged can be lost by a wrong one, it costs a second of writes.
    pub suspect_after: Duration,
    /// Silence after which no corroboration is asked for, only that no standby still receives. Equal to the lease.
    pub lease: Duration,
    /// Part of a lease by which clocks may drift: the holder stops so much earlier, whoever waits waits so much longer.
    pub drift_percent: u32,
    /// A standby quieter than this no longer counts as receiving. Must exceed the beat's interval, lease/3.
    pub progress_within: Duration,
    /// A standby without an answer for so long leaves `S`, so that a second failure still finds enough to seal.
    pub leaves_after: Duration,
    /// No standby able to acknowledge for so long: `when_alone` decides.
    pub alone_after: Duration,
    /// Back into `S` only when at most so many bytes behind. Leans toward keeping commits quick.
    pub joins_within_bytes: u64,
    /// A promotion without a word of success for so long is superseded by a new epoch.
    pub promotion_patience: Duration,
    /// How long an election waits for standbys that are still to be sealed, when the rules are satisfied only by the
    /// stopped old primary: a running standby takes over more quickly than a crashed server recovers.
    pub standby_grace: Duration,
    /// Silence of the instance that makes the first copy after which another one is asked to.
    pub bootstrap_patience: Duration,
    /// How long an election that could be held waits for reachable standbys that are not sealed yet, so that the new
    /// primary has somebody to acknowledge its first commit.
    pub seal_grace: Duration,
    /// A preferred instance that lacks more than this is not waited for. About a second of a local network.
    pub fetch_within_bytes: u64,
    /// How long it may take to fetch what it lacks, and again to be sealed with it. Leans toward having a primary.
    pub fetch_patience: Duration,
    /// A hung server (no answer to probes) for so long is a failure of the primary.
    pub hung_after: Duration,
    /// With `on_crash = "restart"`: a primary that crashes again so soon is failed over all the same. And an elected server
    /// that does not start gets a new epoch no more often.
    pub restarts_again_after: Duration,
    /// How long the primary may take to judge proposed parameters.
    pub judged_within: Duration,
    /// How long a switchover waits for the primary's checkpoint, during which that serves on.
    pub checkpoint_patience: Duration,
    /// How long a switchover waits for the old primary to be stopped, and again for its target to be sealed, during
    /// which nobody takes writes. Longer than an agent's bound for a shutdown in good order, and than going back to the
    /// old primary takes. Past it, the switchover goes on as a failover, or goes back.
    pub hand_over_patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            heartbeat: ms(250),
            fresh: ms(1_500),
            suspect_after: ms(1_000),
            lease: ms(3_000),
            drift_percent: 5,
            progress_within: ms(2_500),
            leaves_after: ms(3_000),
            alone_after: ms(5_000),
            joins_within_bytes: 16 << 20,
            promotion_patience: ms(10_000),
            standby_grace: ms(1_500),
            bootstrap_patience: ms(60_000),
            seal_grace: ms(400),
            fetch_within_bytes: 64 << 20,
            fetch_patience: ms(2_000),
            hung_after: ms(4_000),
            restarts_again_after: ms(60_000),
            judged_within: ms(15_000),
            checkpoint_patience: ms(600_000),
            hand_over_patience: ms(4_000),
        }
    }
}

impl Policy {
    /// How long a holder may serve after it *sent* the request that was granted.
    pub fn held_for(&self) -> Duration {
        self.lease * (100 - self.drift_percent) / 100
    }

    /// How long somebody must wait, after the last grant, to be sure that the lease has run out.
    pub fn surely_over_after(&self) -> Duration {
        self.lease * (100 + self.drift_percent) / 100
    }

    /// The thresholds of one cluster: as its operator wants them where that was said.
    pub fn of(&self, spec: &Spec) -> Policy {
        let or =
            |ms: Option<u32>, default: Duration| ms.map_or(default, |ms| Duration::from_millis(ms.into()));
        let timeouts = &spec.timeouts;
        Policy {
            suspect_after: or(timeouts.suspect_after_ms, self.suspect_after),
            hung_after: or(timeouts.hung_after_ms, self.hung_after),
            leaves_after: or(timeouts.leaves_after_ms, self.leaves_after),
            alone_after: or(timeouts.alone_after_ms, self.alone_after),
            ..self.clone()
        }
    }
}
