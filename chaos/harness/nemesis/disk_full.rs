//! The volume of a PostgreSQL is full, data and WAL. What needs no more room goes on, rows are refused, and with the next file
//! of WAL a primary ends (F34): a standby that has room takes over. A standby stops receiving, and another one acknowledges.
//! Neither comes back before somebody makes room.

use std::fs;

use anyhow::Context;

use super::{Deed, Fault, Proof};
use crate::busy::Busy;
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "disk-full",
    story: "the volume of the primary's PostgreSQL, data and WAL, is full while a session writes WAL",
    promotions: (1, 1),
    gap_ms: 15_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: true,
    make: || DiskFull::boxed(|scene| scene.primary.clone()),
};

pub(crate) const STANDBY: Row = Row {
    name: "disk-full-standby",
    story: "the volume of a standby's PostgreSQL, data and WAL, is full while a session on the primary writes WAL",
    promotions: (0, 0),
    gap_ms: 4_000,
    lasts: Lasts::Ms(8_000, 10_000),
    make: || DiskFull::boxed(|scene| scene.standby.clone()),
    ..ROW
};

/// PostgreSQL's word for it, whatever it was about to write.
const NO_ROOM: &str = "No space left on device";

struct DiskFull {
    whose: fn(&Scene) -> String,
    /// The kernel said so.
    full: bool,
    /// Held until the end: let go of, it hangs up.
    _writing: Option<Busy>,
}

impl DiskFull {
    fn boxed(whose: fn(&Scene) -> String) -> Box<dyn Fault> {
        Box::new(DiskFull { whose, full: false, _writing: None })
    }
}

impl Fault for DiskFull {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let primary = scene.primary.clone();
            let host = scene.cluster.machine(&primary)?.host();
            let volume = scene.volume(&(self.whose)(scene))?;
            volume.fill()?;
            self.full = volume.is_full()?;
            self._writing = Some(Busy::write_wal(&host, &scene.cluster.login).await?);
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let whose = (self.whose)(scene);
            let log = scene.cluster.machine(&whose)?.server_log();
            let told = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
            let told = String::from_utf8_lossy(&told);
            let told = told.lines().find(|line| line.contains(NO_ROOM));
            Ok(match (self.full, told) {
                (true, Some(line)) => {
                    Ok(format!("no room was left on {whose}'s volume; its PostgreSQL: {line}"))
                }
                (full, told) => Err(format!("{whose}'s volume was full: {full}; its PostgreSQL: {told:?}")),
            })
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.volume(&(self.whose)(scene))?.make_room() })
    }
}
