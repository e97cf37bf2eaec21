//! Plays in which nothing fails that a primary is to be changed for: every change of primary is an error.

use crate::draw::standby;
use crate::faults::{Strike, Target, When};
use crate::plan::{Plan, Start};
use crate::rng::Rng;
use crate::theme::at;

impl Plan {
    /// Nothing fails that a primary is to be changed for: heavy load, slow machines, and the loss of everything else
    /// (PROTOCOL.md invariant 8).
    pub(crate) fn calm_down(&mut self, rng: &mut Rng) {
        self.calm = true;
        self.begin_ms = if self.start == Start::Steady { 13_000 } else { 30_000 };
        self.clients = rng.range(4, 8) as usize;
        self.think_ms = 10;
        self.later.slow_reloads = 20;
        self.laggard = None;
        self.coordinators = self.coordinators.max(3);
        if let Some(existing) = &mut self.existing {
            existing.take_over = existing.runs;
        }
        let mut at = self.begin_ms + 1_000;
        let last = at + 20_000;
        // Who grants leases is away, or who asks for them: one after the other, for both together outlast a lease.
        let mut next_absence = 0;
        while at < last {
            at += rng.range(300, 6_000);
            let standby = standby(rng);
            let strike = match rng.below(10) {
                0 => Strike::KillServer { target: standby },
                1 => Strike::KillAgent { target: standby, ms: rng.range(100, 4_000) },
                2 => Strike::PauseAgent { target: standby, ms: rng.range(100, 4_000) },
                3 => Strike::SlowDisk { target: standby, times: rng.range(10, 300), ms: 5_000 },
                absence @ (4 | 5 | 8) if at >= next_absence => {
                    next_absence = at + 8_000;
                    match absence {
                        4 => Strike::KillAgent { target: Target::Primary, ms: rng.range(20, 500) },
                        5 => Strike::PauseAgent { target: Target::Primary, ms: rng.range(20, 700) },
                        _ => Strike::KillCoordinator { target: Target::Leader, ms: rng.range(100, 900) },
                    }
                }
                6 => Strike::Deaf { target: Target::Primary, ms: rng.range(100, 1_500) },
                7 => Strike::SlowDisk { target: Target::Primary, times: rng.range(2, 20), ms: 5_000 },
                _ => Strike::SlowMachine { target: Target::Primary, times: rng.range(2, 4), ms: 5_000 },
            };
            self.add(When::At { ms: at }, strike);
        }
        self.faults_ms = at + 6_000;
    }

    /// Nobody fails, and whoever hears that no standby is there soon takes the primary for cut off. A run of this and nothing
    /// else is a calm one.
    pub(crate) fn unanswering(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.spec.timeouts.alone_after_ms = Some(1_500);
        let mut when = self.begin_ms;
        for _ in 0..3 {
            let ms = rng.range(1_700, 2_400);
            self.add(at(when), Strike::Deaf { target: Target::Primary, ms });
            when += ms + rng.range(1_500, 3_000);
        }
        when
    }
}
