//! PostgreSQL of the primary dies whole, as by the kernel's hand when memory is short: the postmaster and every backend.
//! Its guard and its agent live, and get it going again.

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-postgres",
    story: "kill -9 to the primary's PostgreSQL, postmaster and all backends; guard and agent live",
    promotions: (1, 1),
    gap_ms: 8_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Box::new(KillPostgres { killed: Vec::new() }),
};

struct KillPostgres {
    killed: Vec<i32>,
}

impl Fault for KillPostgres {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let (machine, dir, traces) = scene.cluster.doomed(&scene.primary)?;
            self.killed = machine.kill_postgres(dir, traces)?.pids;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            // Each was waited for until it was gone.
            Ok(match self.killed.as_slice() {
                [postmaster, others @ ..] if !others.is_empty() => {
                    Ok(format!("postmaster {postmaster} and {} others of its PostgreSQL died", others.len()))
                }
                killed => Err(format!("of PostgreSQL died {killed:?} only")),
            })
        })
    }
}
