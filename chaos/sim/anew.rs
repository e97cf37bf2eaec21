//! A group made anew out of one log where coordinators are elsewhere, as `coordinator recover` does it: the other logs are not
//! gone, as everybody thought, but come back later and lead the old group again. Whoever has heard of the new one is to obey
//! nobody else (docs/coordinators.md).

use crate::coordinator::Recovered;
use crate::danger::Danger;
use crate::event::Event;
use crate::faults::{Mend, Strike, Target};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::stage::{Order, Stage};
use crate::theme::at;
use crate::world::{MS, World};
use interrex_check::Fact;

/// The stream of a seed from which it is drawn: runs without it are what they would be anyway.
const STREAM: u64 = 13;

impl Plan {
    /// The logs of all coordinators but one are given up in so many runs of a hundred, before `until`.
    pub(crate) fn may_begin_anew(&mut self, percent: u64, until: u64) {
        let mut rng = Rng::new(self.seed, STREAM);
        if !rng.percent(percent) {
            return;
        }
        let when = rng.range(self.begin_ms, until.max(self.begin_ms));
        let target = Target::Any(rng.index(self.coordinators));
        self.add(at(when), Strike::Recover { target, back: 0, ms: rng.range(100, 3_000) });
    }

    /// A group is made anew, and the old one comes back. Then the primary is lost, and one standby is heard by the old group
    /// alone: whoever obeyed both would promote two.
    pub(crate) fn two_groups(&mut self) {
        let mut rng = Rng::new(self.seed, STREAM);
        self.steady(4, 5);
        self.empty();
        self.spec.acks = 2;
        let begin = self.begin_ms;
        let new = Target::Any(rng.range(1, 3) as usize);
        self.add(at(begin), Strike::Recover { target: new, back: 0, ms: 300 });
        let lost = begin + rng.range(12_000, 16_000);
        self.add(at(lost - 500), Strike::CutPair { target: new, other: rng.index(4), ms: 20_000 });
        self.add(at(lost), Strike::Power { target: Target::Primary, ms: 15_000 });
        self.faults_ms = lost + 16_000;
    }
}

impl World {
    /// An operator gives up all logs but that of `c`, which is there again in `ms`; the others are a little later.
    pub(crate) fn recover_elsewhere(&mut self, c: usize, ms: u64) {
        let mut created = true;
        self.in_each(|world| created &= world.record().is_some());
        if !self.all_vote_elsewhere() || !created {
            return;
        }
        (0..self.coordinators.len()).for_each(|c| self.kill_coordinator(c));
        self.log.recovered = Some(Recovered::now(self));
        self.say(|| format!("a group is made anew out of the log of coordinator {}", c + 1));
        self.order(Order::Recover { c });
        for other in 0..self.coordinators.len() {
            let (run, wait) = (self.coordinators[other].run, if other == c { 0 } else { 500 });
            self.after((ms + wait) * MS, Event::Mend(Mend::Coordinator { c: other, run }));
        }
    }
}

impl Stage {
    /// The log of which a group was made anew is known to be committed up to the entry at `upto`, and nothing after that is
    /// part of it any more; absent: nothing is.
    pub fn recovered(&mut self, upto: Option<u64>) {
        let world = &mut self.world;
        let Some(elsewhere) = world.elsewhere.as_mut() else { return };
        let keep = elsewhere.places.partition_point(|place| upto.is_some_and(|upto| *place <= upto));
        let lost = elsewhere.places.len() - keep;
        elsewhere.places.truncate(keep);
        world.say(|| format!("{lost} entries are lost with the old group"));
        world.log.cut_off(lost);
        world.coordinators.iter_mut().for_each(|it| it.applied = it.applied.min(keep));
        world.notice_loss(keep);
        world.reach.note(Danger::LogRecovered);
        world.in_each(|world| {
            world.own.endpoint.begins_anew();
            if let Some(record) = world.record().cloned() {
                world.fact(&Fact::LogCut { record: &record });
            }
        });
    }
}
