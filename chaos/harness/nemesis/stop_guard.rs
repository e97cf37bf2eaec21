//! The primary's guard hangs: SIGSTOP. It takes no deadline meanwhile. Going on within the one that it has, nothing has
//! happened; later, it ends PostgreSQL the moment that it wakes up, for a renewal that comes after its deadline comes too
//! late. A guard that takes an old lease for a new one would guard nothing.

use std::time::Duration;

use interrex_rig::Patience;

use super::stopped::Stopped;
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "stop-guard",
    story: "SIGSTOP to the guard of the primary's PostgreSQL for longer than a lease; it wakes up past its deadline",
    promotions: (1, 1),
    gap_ms: 8_000,
    lasts: Lasts::Ms(4_000, 6_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(StopGuard { stopped: Stopped::default(), fatal: true }),
};

pub(crate) const BRIEF: Row = Row {
    name: "stop-guard-briefly",
    story: "the same for half a lease",
    promotions: (0, 0),
    gap_ms: 3_000,
    lasts: Lasts::Ms(300, 1_200),
    make: || Box::new(StopGuard { stopped: Stopped::default(), fatal: false }),
    ..ROW
};

/// A guard that wakes up looks at its clock first.
const ENDING: Duration = Duration::from_secs(10);

struct StopGuard {
    stopped: Stopped,
    /// It was stopped past its deadline.
    fatal: bool,
}

impl Fault for StopGuard {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let guards = scene.cluster.machine(&scene.primary)?.programs("interrex-guard")?;
            self.stopped = Stopped::stop(guards).await?;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move { Ok(self.stopped.proof()) })
    }

    /// Well again is what comes after the guard's end, and not before.
    fn heal<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            self.stopped.go_on()?;
            let patience = Patience::new("the guard to end, whose deadline has passed", ENDING);
            while self.fatal && !self.stopped.are_gone() {
                patience.pause("").await?;
            }
            Ok(())
        })
    }
}
