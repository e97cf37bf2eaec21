//! What a plan says of a PostgreSQL that was there before Interrex: a primary, perhaps with standbys, that somebody else
//! started and that a service starts again; and what happens to it while it is being taken in. What becomes of it in the
//! world is in found.rs.

use crate::coordinator::Wish;
use crate::faults::{Moment, Strike, Target};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::theme::{at, on};

/// What lies in the directory of one who is no primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    /// All that the primary has.
    All,
    /// A standby's copy that lacks the last commits.
    Less,
    /// It was promoted once, wrote a timeline of its own, and was made a standby again.
    Another,
    /// The primary's disk was put back to what it was; this standby has all that was acknowledged, and the primary has not.
    More,
}

/// What is there before Interrex.
#[derive(Debug, Clone)]
pub(crate) struct Existing {
    /// The timeline that its primary writes.
    pub(crate) timeline: u32,
    /// Its servers run when its adoption is wished for.
    pub(crate) runs: bool,
    /// They may be stopped for it.
    pub(crate) take_over: bool,
    /// A machine that boots starts them.
    pub(crate) boots: bool,
    /// What the others hold, the second instance first.
    pub(crate) others: Vec<Holds>,
}

impl Existing {
    pub(crate) fn of(instances: usize, rng: &mut Rng) -> Self {
        let runs = rng.percent(60);
        let holds = [Holds::Nothing, Holds::All, Holds::All, Holds::Less, Holds::Another];
        Self {
            timeline: [1, 3, 5][rng.index(3)],
            runs,
            take_over: runs && rng.percent(50),
            boots: rng.percent(50),
            others: (1..instances).map(|_| holds[rng.index(holds.len())]).collect(),
        }
    }
}

impl Plan {
    /// What happens to a PostgreSQL while it is being taken in: its operator stops what runs, or has it stopped; a service
    /// starts it again; the machine that holds the primary's directory fails.
    pub(crate) fn while_it_is_taken_in(&mut self, rng: &mut Rng) {
        let Some(existing) = self.existing.clone() else { return };
        let any = |rng: &mut Rng| Target::Any(rng.index(existing.others.len() + 1));
        let when = rng.range(11_000, 15_000);
        if existing.runs && !existing.take_over && rng.percent(50) {
            self.add(at(when), Strike::Asks(Wish::TakeOver));
        } else if existing.runs && !existing.take_over {
            for i in 0..=existing.others.len() {
                let later = rng.range(0, 3_000);
                self.add(at(when + later), Strike::StopsFound { target: Target::Any(i) });
            }
        }
        if existing.others.iter().any(|holds| matches!(holds, Holds::Another | Holds::More)) {
            self.add(at(when), Strike::PutsRight);
        }
        // What was put back is not started on top: it would write over what a standby has.
        if self.begin_ms > when || existing.others.contains(&Holds::More) {
            return;
        }
        for _ in 0..rng.range(0, 3) {
            self.add(at(rng.range(10_200, 18_000)), Strike::StartsFound { target: any(rng) });
        }
        if rng.percent(50) {
            let fall = on(Moment::Elected, 1, rng.tail(0, 3_000));
            self.add(fall, Strike::StartsFound { target: Target::Any(0) });
        }
        if rng.percent(50) {
            let fall = on(Moment::Elected, 1, rng.tail(0, 3_000));
            let ms = rng.range(100, 9_000);
            let target = Target::Any(0);
            self.add(
                fall,
                if rng.percent(50) { Strike::Power { target, ms } } else { Strike::KillAgent { target, ms } },
            );
        }
    }
}
