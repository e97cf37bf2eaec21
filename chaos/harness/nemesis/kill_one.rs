//! One process of the primary's PostgreSQL dies and the postmaster lives: a backend in the middle of its commits, or the
//! checkpointer. What was in shared memory is worth nothing then (F33): PostgreSQL ends by itself, and does not start again
//! behind its agent's back, for it would show commits that nobody else has (F6).

use super::{Deed, Fault, Proof};
use crate::busy::Busy;
use crate::catalogue::{Lasts, Row};
use crate::scene::Scene;

pub(crate) const BACKEND: Row = Row {
    name: "kill-backend",
    story: "kill -9 to one backend of the primary's PostgreSQL, while it commits without a pause",
    promotions: (1, 1),
    gap_ms: 8_000,
    lasts: Lasts::UntilFailover,
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || KillOne::boxed(Victim::Backend),
};

pub(crate) const CHECKPOINTER: Row = Row {
    name: "kill-checkpointer",
    story: "kill -9 to the checkpointer of the primary's PostgreSQL, while a backend commits without a pause",
    make: || KillOne::boxed(Victim::Checkpointer),
    ..BACKEND
};

#[derive(Debug, Clone, Copy)]
enum Victim {
    Backend,
    Checkpointer,
}

impl Victim {
    fn title(self) -> &'static str {
        match self {
            Victim::Backend => "busy backend",
            Victim::Checkpointer => "checkpointer",
        }
    }
}

struct KillOne {
    victim: Victim,
    busy: Option<Busy>,
    /// Rows of the busy backend, before the strike.
    commits: u64,
    killed: Vec<i32>,
}

impl KillOne {
    fn boxed(victim: Victim) -> Box<dyn Fault> {
        Box::new(KillOne { victim, busy: None, commits: 0, killed: Vec::new() })
    }
}

impl Fault for KillOne {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let host = scene.cluster.machine(&scene.primary)?.host();
            let busy = Busy::start(&host, &scene.cluster.login).await?;
            self.commits = busy.commits_more_than(busy.commits().await?).await?;
            self.busy = Some(busy);
            Ok(())
        })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let backend = self.busy.as_ref().map(|busy| busy.pid);
            let (machine, dir, traces) = scene.cluster.doomed(&scene.primary)?;
            let victim = self.victim;
            let killed = machine.kill_one(dir, traces, victim.title(), |process| match victim {
                Victim::Backend => Some(process.pid) == backend,
                Victim::Checkpointer => process.title().contains(victim.title()),
            });
            self.killed = killed?.pids;
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let Some(busy) = &mut self.busy else { return Ok(Err("no backend was busy".to_owned())) };
            // Whoever was killed, the busy backend never ends by itself: its client is told of PostgreSQL's end.
            let (ended, commits) = (busy.ended().await, self.commits);
            Ok(match (self.killed.as_slice(), ended) {
                ([killed], true) => Ok(format!(
                    "process {killed} died ({victim}), and the backend that had made {commits} commits is gone",
                    victim = self.victim.title()
                )),
                (killed, ended) => Err(format!("killed: {killed:?}, the busy backend is gone: {ended}")),
            })
        })
    }
}
