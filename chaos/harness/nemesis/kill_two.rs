//! Two failures within five seconds: a standby's machine, then the primary's. Was the standby out of the commit rule when
//! the primary died, there is a failover. Was it not, it may have acknowledged what nobody else has: nobody may be elected,
//! and the cluster has to say for whom it waits, until one of the two is back.

use std::time::Duration;

use anyhow::Context;
use interrex_cluster::ids::Epoch;
use interrex_rig::Patience;
use tokio::time::sleep;

use super::power_cut::{dark, darken, light};
use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "kill-standby-then-primary",
    story: "a standby's machine goes dark, and within five seconds the primary's; coordinators keep their majority",
    promotions: (1, 1),
    gap_ms: 30_000,
    lasts: Lasts::Ms(3_000, 5_000),
    side_door: false,
    nft: false,
    // Two of three machines are the coordinators' majority as well.
    machines: 4,
    volumes: false,
    make: || Box::new(KillTwo { dark: Vec::new(), killed: 0, before: Epoch(0), apart_ms: 0, amiss: None }),
};

/// The second failure comes before this after the first. About the time in which the standby leaves the commit rule.
const WITHIN_MS: u64 = 5_000;
/// A silent primary is given up for lost within a few seconds.
const DECIDING: Duration = Duration::from_secs(15);

struct KillTwo {
    /// The standby, then the primary.
    dark: Vec<String>,
    killed: usize,
    before: Epoch,
    apart_ms: u64,
    /// Neither was there a failover nor a word about what it waits for.
    amiss: Option<String>,
}

impl Fault for KillTwo {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            self.before = scene.well().await?.0.epoch;
            self.apart_ms = scene.rng.below(WITHIN_MS);
            self.dark = vec![expendable(scene)?, scene.primary.clone()];
            Ok(())
        })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            self.killed = darken(scene, &self.dark[..1]).await?;
            sleep(Duration::from_millis(self.apart_ms)).await;
            self.killed += darken(scene, &self.dark[1..]).await?;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let dark = dark(scene, &self.dark, self.killed)?;
            let apart = self.apart_ms;
            let came = match outcome(scene, self.before, &self.dark).await {
                Ok(came) => came,
                Err(why) => {
                    self.amiss = Some(format!(
                        "neither a failover nor a wait for {}: {why:#}",
                        self.dark.join(" or ")
                    ));
                    "nothing came of it".to_owned()
                }
            };
            Ok(dark.map(|told| format!("{told}, {apart} ms one after the other; {came}")))
        })
    }

    fn amiss<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Vec<String>> {
        Box::pin(async move { Ok(self.amiss.iter().cloned().collect()) })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { light(scene, &self.dark) })
    }
}

/// A standby without which, and without the primary, most of those that vote are left.
fn expendable(scene: &Scene) -> anyhow::Result<String> {
    let voters = scene.voters();
    let left =
        |name: &String| voters.iter().filter(|voter| *voter != name && **voter != scene.primary).count();
    let mut standbys = scene.order.iter().filter(|name| **name != scene.primary);
    let found = standbys.find(|name| left(name) > voters.len() / 2);
    found.cloned().context("no standby can be lost beside the primary without the coordinators' majority")
}

/// Somebody else serves, or the cluster says that it waits for one of the lost.
async fn outcome(scene: &mut Scene, before: Epoch, lost: &[String]) -> anyhow::Result<String> {
    let patience = Patience::new("it", DECIDING);
    loop {
        let Some(status) = scene.cluster.status().await? else {
            patience.pause("no coordinator leads").await?;
            continue;
        };
        if status.epoch > before && status.open {
            return Ok("another primary took over".to_owned());
        }
        let named = status.waits.iter().find(|wait| lost.iter().any(|name| wait.contains(name.as_str())));
        if let Some(wait) = named {
            return Ok(format!("nobody was elected: {wait}"));
        }
        patience.pause(&[vec![status.operation], status.waits].concat().join("; ")).await?;
    }
}
