//! The primary's postmaster hangs: SIGSTOP. Sessions that exist go on, new ones are taken by the kernel and never
//! answered: whoever is not there already is served by nobody, and so the primary is replaced.

use super::stopped::Stopped;
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "stop-postmaster",
    story: "SIGSTOP to the primary's postmaster for longer than a server may hang",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::Ms(8_000, 10_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(StopPostmaster(Stopped::default())),
};

struct StopPostmaster(Stopped);

impl Fault for StopPostmaster {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let postmaster = scene.cluster.machine(&scene.primary)?.postmaster()?;
            self.0 = Stopped::stop(vec![postmaster]).await?;
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
