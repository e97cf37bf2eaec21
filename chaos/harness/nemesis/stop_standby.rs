//! A standby's PostgreSQL hangs, every process of it: SIGSTOP. Its connections live and it acknowledges nothing. Another
//! standby does; the hung one leaves the commit rule, and comes back.

use super::stopped::Stopped;
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "stop-standby",
    story: "SIGSTOP to a standby's PostgreSQL, postmaster and all others, for longer than a server may hang",
    promotions: (0, 0),
    gap_ms: 4_000,
    lasts: Lasts::Ms(6_000, 8_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(StopStandby(Stopped::default())),
};

struct StopStandby(Stopped);

impl Fault for StopStandby {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let standby = scene.standby.clone();
            let machine = scene.cluster.machine(&standby)?;
            let postmaster = machine.postmaster()?.pid;
            let mut all = machine.programs("postgres")?;
            // The postmaster first: it forks nobody then.
            all.sort_by_key(|process| process.pid != postmaster);
            self.0 = Stopped::stop(all).await?;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move { Ok(self.0.proof()) })
    }

    fn heal<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { self.0.go_on() })
    }
}
