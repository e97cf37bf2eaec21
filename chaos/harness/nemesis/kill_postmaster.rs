//! The primary's postmaster dies alone, while one of its backends commits without a pause and never looks up. Such a
//! backend outlives its postmaster and goes on committing (F31): the guard has to end it before the next epoch opens.

use super::{Deed, Fault, Proof};
use crate::busy::Busy;
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-postmaster",
    story: "kill -9 to the primary's postmaster alone, while a backend commits without a pause",
    promotions: (1, 1),
    gap_ms: 8_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(KillPostmaster { busy: None, before: 0, after: 0, postmaster: None }),
};

struct KillPostmaster {
    busy: Option<Busy>,
    /// Rows of the busy backend at two looks, both before the strike.
    before: u64,
    after: u64,
    postmaster: Option<i32>,
}

impl Fault for KillPostmaster {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let host = scene.cluster.machine(&scene.primary)?.host();
            let busy = Busy::start(&host, &scene.cluster.login).await?;
            self.before = busy.commits().await?;
            self.after = busy.commits_more_than(self.before).await?;
            self.busy = Some(busy);
            Ok(())
        })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let (machine, dir, traces) = scene.cluster.doomed(&scene.primary)?;
            self.postmaster = machine.kill_postmaster(dir, traces)?.pids.first().copied();
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let Some(busy) = &mut self.busy else { return Ok(Err("no backend was busy".to_owned())) };
            // It never ends by itself: that its client was told so is the death of the very backend.
            let ended = busy.ended().await;
            Ok(match (self.postmaster, ended) {
                (Some(postmaster), true) if self.after > self.before => Ok(format!(
                    "postmaster {postmaster} died, and after it the backend that had made {} commits",
                    self.after
                )),
                (postmaster, ended) => Err(format!(
                    "postmaster killed: {postmaster:?}, commits before: {} and {}, backend gone: {ended}",
                    self.before, self.after
                )),
            })
        })
    }
}
