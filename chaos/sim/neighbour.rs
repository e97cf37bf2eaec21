//! Other clusters of the same group of coordinators, in a share of all runs: their instances bear the same names, lie on
//! the same machines, and fail with them; each has its own strikes, too, at the same time as those of the first.

use crate::draw::{spec, strike};
use crate::faults::{Moment, Planned, Strike, When};
use crate::plan::{Plan, Start};
use crate::rng::Rng;
use interrex_cluster::spec::Spec;

/// The stream of a seed from which neighbours are drawn: runs without them are what they would be anyway.
const STREAM: u64 = 9;

/// A cluster beside the first.
#[derive(Debug, Clone)]
pub(crate) struct Neighbour {
    pub(crate) instances: usize,
    pub(crate) spec: Spec,
    /// An instance that is never to be promoted.
    pub(crate) never: Option<usize>,
    pub(crate) start: Start,
    /// Who is primary when a world begins in which its servers run.
    pub(crate) first: usize,
    pub(crate) clients: usize,
}

impl Neighbour {
    fn of(rng: &mut Rng) -> Self {
        let instances = [2, 3, 3, 3, 4, 5][rng.index(6)];
        let first = rng.index(instances);
        let never = rng.index(instances);
        Self {
            instances,
            spec: spec(instances, rng),
            start: Start::Steady,
            never: (instances > 2 && never != first && rng.percent(20)).then_some(never),
            first,
            clients: rng.range(1, 2) as usize,
        }
    }
}

impl Plan {
    /// One or two clusters more, in so many runs of a hundred. In a calm one nothing else happens to them; in any other
    /// they are struck until then.
    pub(crate) fn may_have_neighbours(&mut self, percent: u64, until: u64) {
        let mut rng = Rng::new(self.seed, STREAM);
        if !rng.percent(percent) {
            return;
        }
        for of in 1..=rng.range(1, 2) as usize {
            self.neighbours.push(Neighbour::of(&mut rng));
            for _ in 0..if self.calm { 0 } else { rng.range(2, 7) } {
                let when = if rng.percent(30) {
                    let moment = Moment::ALL[rng.index(Moment::ALL.len())];
                    When::On { moment, nth: rng.range(1, 4) as u32, after_ms: rng.tail(0, 400) }
                } else {
                    When::At { ms: rng.range(self.begin_ms, until.max(self.begin_ms)) }
                };
                let strike = strike(&mut rng);
                // The logs are everybody's: what is lost of them is in the strikes of the first.
                if !matches!(strike, Strike::Recover { .. }) {
                    self.strikes.push(Planned { of, when, strike });
                }
            }
        }
    }
}
