//! Knocking at the primary's port, often and cheaply: an instance that is not the primary can testify first-hand
//! whether that still answers. Coordinators dial nobody; this is how they know.

use crate::instance::{Instance, lock};
use crate::postgres::knock;
use crate::session::now;
use interrex_cluster::ids::Epoch;
use interrex_cluster::report::Knock;
use interrex_cluster::time::Instant;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between knocks.
const EVERY: Duration = Duration::from_millis(250);
/// An answer later than this is none. Long enough for a busy machine, short enough to be asked often.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// What was found longer ago than this is not told any more.
const FRESH_FOR: Duration = Duration::from_millis(1_500);

/// What the last knocks found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Knocked {
    epoch: Epoch,
    answered: bool,
    since: Instant,
    last: Instant,
}

impl Knocked {
    /// Takes in one more knock, which began at `began`.
    fn next(before: Option<Knocked>, epoch: Epoch, answered: bool, began: Instant, now: Instant) -> Knocked {
        let same = before.filter(|before| before.epoch == epoch && before.answered == answered);
        Knocked { epoch, answered, since: same.map_or(began, |before| before.since), last: now }
    }

    /// What may be told of it now.
    pub(crate) fn fresh(&self) -> Option<Knock> {
        self.at(now())
    }

    fn at(&self, now: Instant) -> Option<Knock> {
        let for_ms = u64::try_from(self.last.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let knock = Knock { epoch: self.epoch, answered: self.answered, for_ms };
        (now.since(self.last) <= FRESH_FOR).then_some(knock)
    }
}

/// Knocks for ever, at whoever is primary and not this instance itself.
pub(crate) async fn knock_forever(instance: Arc<Instance>) {
    loop {
        let primary = instance.told.borrow().primary.clone();
        match primary.filter(|primary| primary.instance != instance.config.name) {
            Some(primary) => {
                let began = now();
                let answered = knock(&primary.address, ANSWER_WITHIN).await;
                let changed = {
                    let mut knocked = lock(&instance.knocked);
                    let before = *knocked;
                    *knocked = Some(Knocked::next(before, primary.epoch, answered, began, now()));
                    before.is_none_or(|before| before.answered != answered)
                };
                if changed {
                    instance.poke.notify_one();
                }
            }
            None => *lock(&instance.knocked) = None,
        }
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knock_tells_for_how_long_the_same_was_found() {
        let e7 = Epoch(7);
        let first = Knocked::next(None, e7, false, Instant(1_000), Instant(1_001));
        let second = Knocked::next(Some(first), e7, false, Instant(1_250), Instant(1_750));
        assert_eq!(second.at(Instant(1_800)), Some(Knock { epoch: e7, answered: false, for_ms: 750 }));
        let answered = Knocked::next(Some(second), e7, true, Instant(2_000), Instant(2_002));
        assert_eq!(answered.at(Instant(2_002)), Some(Knock { epoch: e7, answered: true, for_ms: 2 }));
        let next_epoch = Knocked::next(Some(second), Epoch(8), false, Instant(2_000), Instant(2_002));
        assert_eq!(next_epoch.at(Instant(2_002)).map(|knock| knock.for_ms), Some(2));
    }

    #[test]
    fn an_old_knock_is_not_told() {
        let knocked = Knocked::next(None, Epoch(7), false, Instant(1_000), Instant(1_001));
        assert_eq!(knocked.at(Instant(2_502)), None);
    }
}
