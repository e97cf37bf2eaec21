//! Themes that drive at one trap of PostgreSQL each, for the rules that are there because of it. No seed draws them: what
//! they play comes about in others, too, among much else.

use crate::coordinator::Wish;
use crate::faults::{Moment, Strike, Target, When};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::theme::{at, on};
use interrex_cluster::spec::{OnCrash, WhenAlone};

impl Plan {
    /// Three instances, and one of two has to acknowledge, whatever comes.
    fn always_waits(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = rng.range(10, 40);
        (self.spec.when_alone, self.spec.min_acks) = (WhenAlone::Block, 1);
        self.begin_ms + 500
    }

    /// Nothing becomes durable on the disks of the second and the third, and they are there all the same.
    fn stall_the_others(&mut self, from: When, ms: u64) {
        for standby in 1..3 {
            self.add(from, Strike::StalledDisk { target: Target::Any(standby), ms });
        }
    }

    /// The first instance falls, and its agent with it.
    fn first_falls(&mut self, when: u64) {
        self.add(at(when), Strike::KillAgent { target: Target::Any(0), ms: 9_000 });
        self.add(at(when), Strike::KillServer { target: Target::Any(0) });
    }

    /// Commits wait in vain, somebody cancels them, and the primary is lost (F2).
    pub(crate) fn cancelled(&mut self, rng: &mut Rng) -> u64 {
        let cut = self.always_waits(rng);
        self.stall_the_others(at(cut), 6_000);
        for n in 1..5 {
            self.add(at(cut + 250 * n), Strike::CancelWaits { target: Target::Any(0) });
        }
        self.first_falls(cut + rng.range(1_300, 2_500));
        self.begin_ms + 11_000
    }

    /// A primary that stands alone is restarted with commits that nobody else has, is read from, and is lost (F6).
    pub(crate) fn unreplicated(&mut self, rng: &mut Rng) -> u64 {
        let cut = self.always_waits(rng);
        self.spec.on_crash = OnCrash::Restart;
        self.stall_the_others(at(cut), 8_000);
        self.add(at(cut + rng.range(200, 800)), Strike::KillServer { target: Target::Any(0) });
        self.first_falls(cut + rng.range(5_000, 6_500));
        self.begin_ms + 14_000
    }

    /// Commits began to wait a moment ago; the standbys are lost, and then the primary (F7).
    pub(crate) fn waits_anew(&mut self, rng: &mut Rng) -> u64 {
        let begin = self.always_waits(rng);
        (self.spec.acks, self.spec.min_acks, self.spec.max_data_loss) = (0, 0, 16 << 20);
        self.opening.slow_reloads = 100;
        self.add(at(begin), Strike::Asks(Wish::Set { acks: 1 }));
        self.stall_the_others(on(Moment::RuleProved, 1, 80), 6_000);
        let fall = on(Moment::RuleProved, 1, rng.range(300, 900));
        self.add(fall, Strike::KillAgent { target: Target::Any(0), ms: 9_000 });
        self.add(fall, Strike::KillServer { target: Target::Any(0) });
        begin + 11_000
    }

    /// One of two is to acknowledge no longer, and its walsender hears of that last: nothing becomes durable on the other's
    /// disk, and then all but that one are lost (F8).
    pub(crate) fn old_rule(&mut self, rng: &mut Rng) -> u64 {
        self.always_waits(rng);
        self.opening.slow_reloads = 100;
        let begin = self.begin_ms;
        let k = rng.index(2);
        let (leaves, stays) = (Target::Standby(k), Target::Standby(1 - k));
        self.add(at(begin), Strike::KillAgent { target: leaves, ms: 9_000 });
        self.add(at(begin + rng.range(20, 200)), Strike::Asks(Wish::Reinit { of: leaves }));
        self.add(on(Moment::RuleProved, 1, 0), Strike::StalledDisk { target: stays, ms: 3_000 });
        let fall = on(Moment::RuleProved, 1, rng.range(200, 600));
        self.add(fall, Strike::KillAgent { target: Target::Primary, ms: 9_000 });
        self.add(fall, Strike::KillServer { target: Target::Primary });
        self.add(fall, Strike::KillServer { target: leaves });
        begin + 11_000
    }

    /// Who alone has the last commits is restarted before the primary is lost (F16).
    pub(crate) fn restarted(&mut self, rng: &mut Rng) -> u64 {
        let begin = self.always_waits(rng);
        self.add(at(begin), Strike::StalledDisk { target: Target::Any(2), ms: 8_000 });
        let cut = begin + rng.range(500, 1_500);
        self.add(at(cut), Strike::StalledDisk { target: Target::Any(1), ms: 6_000 });
        self.add(at(cut + 50), Strike::KillServer { target: Target::Any(1) });
        self.first_falls(cut + rng.range(1_200, 2_000));
        begin + 12_000
    }

    /// The old primary wrote on, comes back at once, and is rewound from the new one (F26).
    pub(crate) fn rewound_early(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = rng.range(5, 20);
        let begin = self.begin_ms;
        self.add(at(begin), Strike::Coup { to: 1, ms: rng.range(900, 1_500) });
        begin + 9_000
    }

    /// Commits wait for nobody, and the primary's postmaster dies (F31).
    pub(crate) fn orphaned(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = rng.range(5, 20);
        (self.spec.acks, self.spec.max_data_loss) = (0, 16 << 20);
        let orphans_ms = rng.range(2_000, 5_000);
        let when = self.begin_ms + rng.range(0, 800);
        self.add(at(when), Strike::KillPostmaster { target: Target::Any(0), orphans_ms });
        self.begin_ms + 11_000
    }

    /// What a rewound copy has yet to receive is thrown away (F35).
    pub(crate) fn thrown_away_early(&mut self, rng: &mut Rng) -> u64 {
        let over = self.rewound_early(rng);
        for after in [1, 3, 6, 10, 15, 25, 40, 60] {
            self.add(on(Moment::Rebuilt, 1, after), Strike::LoseSlot { target: Target::Any(0) });
        }
        over
    }
}
