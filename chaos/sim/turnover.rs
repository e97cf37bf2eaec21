//! Coordinators that an operator adds to a group that is well, and removes from it, in a share of all runs; and what
//! befalls them in the middle of it. How that goes is in coordinator/seats.rs.

use crate::faults::{Strike, Target};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::theme::at;

/// The stream of a seed from which they are drawn: runs without them are what they would be anyway.
const STREAM: u64 = 10;
/// A group is never larger.
const MOST: usize = 7;

impl Plan {
    /// Coordinators come and go in so many runs of a hundred, until then.
    pub(crate) fn may_change_the_group(&mut self, percent: u64, until: u64) {
        let mut rng = Rng::new(self.seed, STREAM);
        if !rng.percent(percent) {
            return;
        }
        self.outside = rng.range(0, 2).min((MOST - self.coordinators) as u64) as usize;
        self.coordinators += self.outside;
        for change in 0..rng.range(2, 5) {
            let when = rng.range(self.begin_ms, until.max(self.begin_ms));
            let who = Target::Any(rng.below(8) as usize);
            let (target, ms) = (if rng.percent(30) { Target::Leader } else { who }, rng.range(200, 4_000));
            let adds = rng.percent(50) && (change > 0 || self.outside > 0);
            self.add(
                at(when),
                if adds { Strike::Admit { target: who, ms } } else { Strike::Dismiss { target } },
            );
            let amid = when + rng.tail(0, ms);
            match rng.below(6) {
                0 => self.add(at(amid), Strike::KillCoordinator { target: Target::Leader, ms }),
                1 => self.add(at(amid), Strike::KillCoordinator { target: who, ms }),
                2 => self.add(at(amid), Strike::PauseCoordinator { target: who, ms }),
                3 => self.add(at(amid), Strike::Dispute),
                4 => self.add(at(amid), Strike::Coup { to: rng.below(8) as usize, ms }),
                _ => {}
            }
        }
    }
}
