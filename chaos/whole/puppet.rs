//! What an agent has in its charge, in the simulated world. Its loop, the keeper of its lease and its beats are the shipped
//! ones, in a process of its own; what they ask for, the world does between two ticks.

use crate::entropy::WorldClock;
use crate::strings::{News, Pull, Strings, Wire, answer};
use interrex_agent::{Beaten, Charge, Door, Keeper, Reign, Testify, Told, Undone};
use interrex_api::session::PrimaryPlace;
use interrex_cluster::goal::{Goal, PrimaryGoal, StampedGoal};
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName, Stamp};
use interrex_cluster::instance::gate::Floor;
use interrex_cluster::instance::next_step::Step;
use interrex_cluster::instance::observed::Observed;
use interrex_cluster::policy::Policy;
use interrex_cluster::time::Instant;
use interrex_rt::Clock;
use interrex_sim::Keeping;
use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

/// An instance of the world, as its agent's loop has it.
pub(crate) struct Puppet {
    strings: Strings,
    cluster: ClusterName,
    name: InstanceName,
    clock: WorldClock,
    told: watch::Receiver<Told>,
    floor: Mutex<Floor>,
    keeper: Keeper<Wire>,
    door: Door,
}

impl Puppet {
    pub(crate) fn new(
        strings: Strings,
        (cluster, name): (ClusterName, InstanceName),
        clock: WorldClock,
        told: watch::Receiver<Told>,
        floor: Floor,
    ) -> Self {
        let (keeper, door) = (Keeper::new(&Policy::default()), Door::default());
        Self { strings, cluster, name, clock, told, floor: Mutex::new(floor), keeper, door }
    }

    /// A server that was found running, in that life.
    pub(crate) async fn adopt(&self, life: u32) {
        // One that ended meanwhile is found out by the loop.
        let _ = self.keeper.adopt(&self.wire(life)).await;
    }

    fn wire(&self, life: u32) -> Wire {
        Wire { strings: self.strings.clone(), life }
    }

    /// What a deed asks of the keeper; absent: it waits for no answer.
    async fn keep(&self, what: Keeping) -> Option<Result<(), String>> {
        let done = match what {
            Keeping::Arm { life, epoch, k } => {
                self.keeper.arm(&self.wire(life), epoch, k, Charge::now(self)).await
            }
            Keeping::Asynchronous => self.keeper.asynchronous().await,
            Keeping::Synchronous => {
                self.keeper.synchronous().await;
                return None;
            }
            Keeping::Disarm => {
                self.keeper.disarm().await;
                return None;
            }
        };
        Some(done.map_err(|why| why.to_string()))
    }
}

/// Something under way; dropped, it is left as it is. What is over has nothing to leave.
struct Doing<'a> {
    strings: &'a Strings,
    leave: fn() -> Pull,
}

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        self.strings.pull((self.leave)());
    }
}

impl Charge for Puppet {
    fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    fn now(&self) -> Instant {
        Instant(self.clock.boot_ms())
    }

    fn floor(&self) -> Floor {
        *self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poke(&self) -> &Notify {
        &self.strings.poke
    }

    async fn notice_exit(&self) {
        if *self.strings.ended.borrow() {
            self.strings.pull(Pull::NoticeExit);
            self.keeper.disarm().await;
        }
    }

    async fn ended(&self) {
        let mut ended = self.strings.ended.subscribe();
        // Whoever shows it is here.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn look(&self, goal: Option<&Goal>) -> Observed {
        let (seen, looked) = oneshot::channel();
        let held = self.keeper.held().await;
        let found = self.door.found(Charge::now(self));
        self.strings.pull(Pull::Look { goal: goal.cloned(), held, found, seen });
        let (observed, us) = answer(looked).await;
        sleep(Duration::from_micros(us)).await;
        observed
    }

    async fn obey(&self, stamp: Stamp) -> Result<(), String> {
        if self.floor().obeyed < stamp {
            let (written, wrote) = oneshot::channel();
            self.strings.pull(Pull::Obey { stamp, written });
            sleep(Duration::from_micros(answer(wrote).await)).await;
            self.floor.lock().unwrap_or_else(PoisonError::into_inner).obeyed = stamp;
        }
        Ok(())
    }

    fn note(&self, _: &StampedGoal, _: &Observed, due: &Step) {
        self.strings.pull(Pull::Note(due.clone()));
    }

    fn note_failure(&self, words: String) {
        self.strings.pull(Pull::NoteFailure(words));
    }

    async fn perform(&self, goal: &StampedGoal, step: &Step) -> Result<(), Undone> {
        let _doing = Doing { strings: &self.strings, leave: || Pull::LeaveOff };
        let (news, mut heard) = mpsc::channel(8);
        self.strings.pull(Pull::Begin { goal: goal.clone(), step: step.clone(), news });
        loop {
            match heard.recv().await {
                Some(News::Over(outcome)) => return outcome,
                Some(News::Keep(what)) => {
                    if let Some(done) = self.keep(what).await {
                        self.strings.pull(Pull::Kept { done, held: self.keeper.held().await });
                    }
                }
                None => pending().await,
            }
        }
    }
}

impl Reign for Puppet {
    type Guard = Wire;

    fn keeper(&self) -> &Keeper<Wire> {
        &self.keeper
    }

    fn lease(&self) -> Duration {
        Policy::default().lease
    }

    fn beat_now(&self) -> &Notify {
        &self.strings.beat_now
    }

    fn reigns(&self) -> Option<PrimaryGoal> {
        let reigns = *self.strings.reigns.borrow();
        match &self.told.borrow().goal.as_ref()?.goal {
            Goal::Primary(goal) if reigns == Some(goal.epoch) => Some(goal.clone()),
            _ => None,
        }
    }

    async fn waits_for_standbys(&self, goal: &PrimaryGoal) -> bool {
        let (answered, waits) = oneshot::channel();
        self.strings.pull(Pull::WaitsForStandbys { goal: goal.clone(), answer: answered });
        answer(waits).await
    }

    async fn beat(&self, epoch: Epoch, within: Duration) -> Beaten {
        let _beating = Doing { strings: &self.strings, leave: || Pull::GiveUpBeat };
        let (over, beaten) = oneshot::channel();
        self.strings.pull(Pull::Beat { epoch, over });
        timeout(within, answer(beaten)).await.unwrap_or(Beaten::Not)
    }
}

impl Testify for Puppet {
    fn name(&self) -> &InstanceName {
        &self.name
    }

    fn door(&self) -> &Door {
        &self.door
    }

    async fn knock(&self, at: &PrimaryPlace, within: Duration) -> bool {
        let (answered, knocked) = oneshot::channel();
        self.strings.pull(Pull::Knock { at: at.instance.clone(), answered });
        timeout(within, answer(knocked)).await.unwrap_or(false)
    }
}
