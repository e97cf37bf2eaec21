//! Knocking at the primary's port, often and cheaply: an instance that is not the primary can testify first-hand
//! whether that still answers. Coordinators dial nobody; this is how they know.

use crate::charge::Charge;
use crate::instance::{Instance, lock};
use crate::postgres;
use crate::told::Told;
use interrex_api::session::PrimaryPlace;
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::report::Knock;
use interrex_cluster::time::Instant;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Between knocks that are answered: each costs the primary a process.
const EVERY: Duration = Duration::from_millis(500);
/// Until the next one, where one was not, or nobody is knocked at yet.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// An answer later than this is none. Long enough for a busy machine, short enough to be asked often.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// What was found longer ago than this is not told any more.
const FRESH_FOR: Duration = Duration::from_millis(1_500);

/// The same answer, or none, from when to when.
#[derive(Debug, Clone, Copy)]
struct Knocked {
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

    fn at(&self, now: Instant) -> Option<Knock> {
        let for_ms = u64::try_from(self.last.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let knock = Knock { epoch: self.epoch, answered: self.answered, for_ms };
        (now.since(self.last) <= FRESH_FOR).then_some(knock)
    }
}

/// What the last knocks found; nothing at first.
#[derive(Debug, Default)]
pub struct Door(Mutex<Option<Knocked>>);

impl Door {
    /// What may be told of it now.
    pub fn found(&self, now: Instant) -> Option<Knock> {
        lock(&self.0).as_ref()?.at(now)
    }

    /// Takes in one more knock; true when it was found otherwise before, or not at all.
    fn found_now(&self, epoch: Epoch, answered: bool, began: Instant, now: Instant) -> bool {
        let mut found = lock(&self.0);
        let next = Knocked::next(*found, epoch, answered, began, now);
        let before = found.replace(next);
        before.is_none_or(|before| before.answered != answered)
    }
}

/// A charge that testifies about the primary.
pub trait Testify: Charge {
    /// Its own name: nobody testifies about himself.
    fn name(&self) -> &InstanceName;

    /// Where the knocks are noted.
    fn door(&self) -> &Door;

    /// One knock, which has so long to be answered. Whether it was.
    fn knock(&self, at: &PrimaryPlace, within: Duration) -> impl Future<Output = bool> + Send;
}

/// Knocks for ever, at whoever is primary and not this instance itself.
pub async fn knock_forever<T: Testify>(charge: Arc<T>, told: watch::Receiver<Told>) {
    loop {
        let primary = told.borrow().primary.clone();
        let next = match primary.filter(|primary| primary.instance != *charge.name()) {
            Some(primary) => {
                let began = charge.now();
                let answered = charge.knock(&primary, ANSWER_WITHIN).await;
                if charge.door().found_now(primary.epoch, answered, began, charge.now()) {
                    charge.poke().notify_one();
                }
                if answered { EVERY } else { AGAIN_AFTER }
            }
            None => {
                *lock(&charge.door().0) = None;
                AGAIN_AFTER
            }
        };
        sleep(next).await;
    }
}

impl Testify for Instance {
    fn name(&self) -> &InstanceName {
        &self.config.name
    }

    fn door(&self) -> &Door {
        &self.door
    }

    async fn knock(&self, at: &PrimaryPlace, within: Duration) -> bool {
        postgres::knock(&at.address, within).await
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
