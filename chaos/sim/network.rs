//! The network between machines: how long a message takes, and which directions are cut. A cut is felt in one direction
//! only; what needs an answer needs both.

use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::{MS, Time};

/// Who reaches whom, and how quickly.
#[derive(Debug)]
pub(crate) struct Network {
    /// `cut[a]` has a bit for each machine that nothing from `a` reaches.
    cut: Vec<u32>,
    zones: Vec<usize>,
    /// In so many of a hundred cases a message has to be sent again.
    loss: u64,
}

impl Network {
    pub(crate) fn new(plan: &Plan) -> Self {
        let machines = plan.machines();
        Self { cut: vec![0; machines], zones: (0..machines).map(|m| plan.zone(m)).collect(), loss: plan.loss }
    }

    /// Whether something sent by `a` reaches `b`.
    pub(crate) fn reaches(&self, a: usize, b: usize) -> bool {
        a == b || self.cut[a] & (1 << b) == 0
    }

    /// Whether both hear each other.
    pub(crate) fn talk(&self, a: usize, b: usize) -> bool {
        self.reaches(a, b) && self.reaches(b, a)
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        if a != b {
            self.cut[a] |= 1 << b;
        }
    }

    pub(crate) fn mend(&mut self, a: usize, b: usize) {
        self.cut[a] &= !(1 << b);
    }

    pub(crate) fn mend_all(&mut self) {
        self.cut.fill(0);
    }

    /// How long a message takes; one that was lost is sent again.
    pub(crate) fn delay(&self, rng: &mut Rng, a: usize, b: usize) -> Time {
        let base = match (a == b, self.zones[a] == self.zones[b]) {
            (true, _) => rng.range(30, 100),
            (false, true) => rng.tail(80, 2 * MS),
            (false, false) => rng.tail(400, 8 * MS),
        };
        let again = a != b && rng.percent(self.loss);
        base + if again { rng.range(200 * MS, 450 * MS) } else { 0 }
    }
}
