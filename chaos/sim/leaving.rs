//! An instance is to leave while the only other standby is away: it is needed until that one can acknowledge, and for ever
//! where that one never comes back.

use crate::coordinator::Wish;
use crate::faults::{Strike, Target};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::theme::at;
use interrex_cluster::spec::WhenAlone;

impl Plan {
    /// Writes wait for one of two standbys. One loses its power for the whole of it, and once that is known the other is to
    /// leave; then one of the three machines stays dead.
    pub(crate) fn leaving(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        (self.spec.when_alone, self.spec.min_acks) = (WhenAlone::Block, 1);
        let begin = self.begin_ms;
        let k = rng.index(2);
        let (stays, leaves) = (Target::Standby(k), Target::Standby(1 - k));
        self.add(at(begin), Strike::Power { target: stays, ms: 20_000 });
        self.add(at(begin + rng.range(3_500, 6_000)), Strike::Asks(Wish::Leave { of: leaves }));
        self.leaves_dead = true;
        begin + 7_000
    }
}
