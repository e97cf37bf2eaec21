//! What a seed stands for: topology, wishes, clocks, load, and every strike with its moment. Drawn before anything
//! happens, so that a failing run can be shortened by leaving strikes out.

use crate::coordinator::Wish;
use crate::faults::{Moment, Planned, Strike, Target, When};
use crate::rng::Rng;
use interrex_cluster::ids::{ClusterName, InstanceName, MachineName, SystemId};
use interrex_cluster::spec::{OnCrash, Spec, WhenAlone};

/// The system identifier of the only cluster.
pub(crate) const SYSTEM: SystemId = SystemId(7_000_000_000_000_000_001);

/// How the world begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Servers run and stream; every agent and coordinator was just started.
    Steady,
    /// The same after a total outage: no server runs.
    Stopped,
    /// Nothing is there: the cluster is created first.
    Empty,
}

/// A run, before it happens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) instances: usize,
    pub(crate) zones: usize,
    pub(crate) coordinators: usize,
    pub(crate) spec: Spec,
    pub(crate) start: Start,
    pub(crate) clients: usize,
    pub(crate) think_ms: u64,
    /// Per machine, in millionths.
    pub(crate) drift: Vec<i64>,
    /// Messages that have to be sent again, in a hundred.
    pub(crate) loss: u64,
    /// Messages of which a copy comes much later, in a hundred.
    pub(crate) replays: u64,
    /// So long a leader without a quorum goes on believing that it leads.
    pub(crate) belief_ms: u64,
    /// A coordinator that applies entries late.
    pub(crate) laggard: Option<usize>,
    /// So many of a hundred processes are late to read new settings.
    pub(crate) slow_reloads: u64,
    /// So many of a hundred promotions have much to replay first.
    pub(crate) slow_promotions: u64,
    /// So long things fail.
    pub(crate) faults_ms: u64,
    /// Nothing fails at all: only load, and slow machines.
    pub(crate) calm: bool,
    pub(crate) strikes: Vec<Planned>,
}

/// What a run may be made of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    /// No strike at all.
    pub(crate) calm: bool,
}

pub(crate) fn name(n: usize) -> InstanceName {
    #[expect(clippy::expect_used, reason = "a letter and a digit are a name")]
    format!("n{n}").parse().expect("a letter and a digit are a name")
}

pub(crate) fn machine_name(i: usize) -> MachineName {
    #[expect(clippy::expect_used, reason = "a letter and a digit are a name")]
    format!("n{}", i + 1).parse().expect("a letter and a digit are a name")
}

pub(crate) fn cluster() -> ClusterName {
    #[expect(clippy::expect_used, reason = "letters are a name")]
    "orders".parse().expect("letters are a name")
}

/// The number of an instance, from 0, by its name.
pub(crate) fn index(name: &InstanceName) -> usize {
    let digits = name.as_str().bytes().skip(1);
    digits.fold(0, |n, digit| n * 10 + usize::from(digit.wrapping_sub(b'0'))).saturating_sub(1)
}

impl Plan {
    /// The run of a seed.
    pub(crate) fn of(seed: u64, shape: Shape) -> Self {
        let mut rng = Rng::new(seed, 0);
        let instances = [2, 3, 3, 3, 3, 3, 4, 5, 5, 7][rng.index(10)];
        let coordinators = [1, 3, 3, 3, 3, 3, 3, 5][rng.index(8)];
        let zones = rng.range(1, 3) as usize;
        let acks = match rng.below(10) {
            0 => 0,
            1..=6 => 1,
            7 | 8 => 2,
            _ => 3,
        }
        .min(instances as u32 - 1);
        let when_alone = if rng.percent(60) { WhenAlone::Continue } else { WhenAlone::Block };
        let min_acks = match when_alone {
            WhenAlone::Block => acks,
            WhenAlone::Continue if rng.percent(20) => acks.min(1),
            WhenAlone::Continue => 0,
        };
        let spec = Spec {
            instances: instances as u32,
            acks,
            min_acks,
            when_alone,
            max_data_loss: if acks == 0 && rng.percent(50) { 1 << 20 } else { 0 },
            on_crash: if rng.percent(25) { OnCrash::Restart } else { OnCrash::Failover },
            ..Spec::default()
        };
        let start = match rng.below(20) {
            0 => Start::Empty,
            1 => Start::Stopped,
            _ => Start::Steady,
        };
        let calm = shape.calm;
        let machines = instances.max(coordinators);
        let most: u64 = if rng.percent(30) { 40_000 } else { 200 };
        let drift = (0..machines).map(|_| rng.range(0, 2 * most) as i64 - most as i64).collect();
        let mut plan = Self {
            seed,
            instances,
            zones,
            coordinators,
            spec,
            start,
            clients: rng.range(1, 4) as usize,
            think_ms: [10, 40, 80, 150][rng.index(4)],
            drift,
            loss: [0, 0, 0, 1, 3][rng.index(5)],
            replays: [0, 0, 3, 25][rng.index(4)],
            belief_ms: [1_200, 1_200, 5_000, 20_000][rng.index(4)],
            laggard: rng.percent(40).then(|| rng.index(coordinators)),
            slow_reloads: 3,
            slow_promotions: 10,
            faults_ms: 0,
            calm,
            strikes: Vec::new(),
        };
        let count = if calm { 0 } else { rng.range(4, 16) };
        let begin = if start == Start::Empty { 22_000 } else { 13_000 };
        let mut at = begin;
        let mean = [1_500, 3_000, 4_000, 6_000][rng.index(4)];
        for _ in 0..count {
            let when = if rng.percent(25) {
                let moment = Moment::ALL[rng.index(Moment::ALL.len())];
                When::On { moment, nth: rng.range(1, 6) as u32, after_ms: rng.tail(0, 400) }
            } else {
                at += rng.range(mean / 4, mean * 2);
                When::At { ms: at }
            };
            plan.strikes.push(Planned { when, strike: strike(&mut rng) });
            // Two at once find what one alone does not: above all, a standby that nobody can reach any more and that
            // still receives.
            if rng.percent(40) {
                let target = Target::Standby(rng.below(8) as usize);
                let ms = rng.tail(100, 9_000);
                let second = match rng.below(6) {
                    0..=2 => Strike::KillAgent { target, ms },
                    3 => Strike::Isolate { target, ms },
                    4 => Strike::SlowDisk { target, times: rng.range(20, 300), ms },
                    _ => Strike::PauseMachine { target, ms },
                };
                plan.strikes.push(Planned { when, strike: second });
            }
        }
        if !calm {
            at = plan.theme(&mut rng, at);
        }
        plan.faults_ms = if calm { 40_000 } else { at + rng.range(500, 4_000) };
        plan
    }

    /// Half of all seeds have a theme: strikes that belong together, where one alone finds nothing.
    fn theme(&mut self, rng: &mut Rng, from: u64) -> u64 {
        let mut at = from;
        let standby = |rng: &mut Rng| Target::Standby(rng.below(8) as usize);
        let theme = rng.below(10);
        for _ in 0..rng.range(2, 6) {
            at += rng.range(5_500, 9_000);
            let mut add = |when: When, strike: Strike| self.strikes.push(Planned { when, strike });
            let moment = |ms: u64| When::At { ms };
            match theme {
                // Who acknowledges changes all the time, slowly, and the primary falls in the middle of it.
                0 | 1 => {
                    self.slow_reloads = 60;
                    let (away, target) = (rng.range(3_200, 5_000), standby(rng));
                    add(moment(at), Strike::PauseMachine { target, ms: away });
                    add(
                        moment(at),
                        Strike::SlowDisk { target: standby(rng), times: rng.range(50, 400), ms: 6_000 },
                    );
                    let fall = at + away + rng.range(0, 1_500);
                    add(moment(fall), Strike::KillAgent { target: standby(rng), ms: rng.range(500, 6_000) });
                    add(moment(fall), Strike::Coup { to: rng.below(8) as usize, ms: rng.range(500, 4_000) });
                    at = fall;
                }
                // Promotions take long; whoever was told to is lost sight of, and superseded twice.
                2 => {
                    self.slow_promotions = 70;
                    add(moment(at), Strike::Coup { to: rng.below(8) as usize, ms: 300 });
                    let told = at + rng.range(350, 700);
                    let ms = rng.range(300, 2_500);
                    add(moment(told), Strike::KillAgent { target: Target::Primary, ms });
                    for _ in 0..3 {
                        let again = told + rng.range(50, ms + 500);
                        add(moment(again), Strike::Asks(Wish::Failover { to: rng.below(8) as usize }));
                    }
                }
                // A primary that nobody hears writes on, and is back before it was taken back onto the line.
                3 => {
                    self.think_ms = 150;
                    let ms = rng.range(1_800, 5_000);
                    add(moment(at), Strike::Isolate { target: Target::Primary, ms });
                    let fall = at + ms + rng.range(0, 250);
                    add(moment(fall), Strike::Coup { to: rng.below(8) as usize, ms: rng.range(500, 3_000) });
                }
                // Commits wait for nobody, and the primary is alone with a leader that was deposed.
                4 => {
                    self.spec.acks = 0;
                    self.spec.min_acks = 0;
                    self.spec.max_data_loss = 16 << 20;
                    self.belief_ms = 20_000;
                    add(moment(at), Strike::Isolate { target: Target::Primary, ms: rng.range(5_000, 9_000) });
                    at += 5_000;
                }
                // Agents come back while a coordinator tells them what was.
                5 => {
                    self.laggard = Some(rng.index(self.coordinators));
                    self.replays = 25;
                    add(moment(at), Strike::Coup { to: rng.below(8) as usize, ms: rng.range(300, 3_000) });
                    for _ in 0..3 {
                        let ms = rng.range(20, 150);
                        add(moment(at + rng.range(180, 420)), Strike::KillAgent { target: standby(rng), ms });
                    }
                }
                _ => return from,
            }
        }
        at
    }

    pub(crate) fn machines(&self) -> usize {
        self.instances.max(self.coordinators)
    }

    pub(crate) fn zone(&self, machine: usize) -> usize {
        machine % self.zones
    }

    pub(crate) fn zone_name(&self, machine: usize) -> String {
        if self.zones == 1 { String::new() } else { format!("az-{}", self.zone(machine) + 1) }
    }
}

fn target(rng: &mut Rng) -> Target {
    match rng.below(10) {
        0..=4 => Target::Primary,
        5 | 6 => Target::Standby(rng.below(8) as usize),
        7 => Target::Leader,
        _ => Target::Any(rng.below(8) as usize),
    }
}

fn strike(rng: &mut Rng) -> Strike {
    let target = target(rng);
    let short = rng.tail(50, 8_000);
    let ms = if rng.percent(30) { rng.range(2_000, 15_000) } else { short };
    match rng.below(48) {
        0..=4 => Strike::Power { target, ms },
        5..=8 => Strike::KillServer { target },
        9 => Strike::KillPostmaster { target, orphans_ms: rng.tail(5, 4_000) },
        10..=12 => Strike::KillAgent { target, ms },
        13 | 14 => Strike::PauseMachine { target, ms: rng.tail(100, 9_000) },
        15 => Strike::PauseAgent { target, ms: rng.tail(100, 9_000) },
        16 => Strike::Hang { target, ms: rng.tail(100, 9_000) },
        17 => Strike::Deaf { target, ms: rng.tail(100, 9_000) },
        18..=21 => Strike::Isolate { target, ms },
        22 => Strike::CutOneWay { target, inward: rng.percent(50), ms },
        23 => Strike::CutPair { target, other: rng.below(8) as usize, ms },
        24 => Strike::KillCoordinator { target, ms },
        25 => Strike::PauseCoordinator { target, ms: rng.tail(100, 6_000) },
        26 | 27 => Strike::Dispute,
        28 => Strike::SlowDisk { target, times: rng.range(10, 200), ms },
        29 => Strike::SlowMachine { target, times: rng.range(5, 60), ms },
        30 => Strike::PromoteByHand { target },
        31..=34 => Strike::Asks(Wish::Switchover { to: rng.percent(50).then(|| rng.below(8) as usize) }),
        35 => Strike::Asks(Wish::Restart),
        36 => Strike::Asks(Wish::Failover { to: rng.below(8) as usize }),
        37 if rng.percent(40) => Strike::Asks(Wish::Pause),
        37 => Strike::Asks(Wish::AcceptLoss),
        38..=46 => Strike::Coup { to: rng.below(8) as usize, ms: rng.tail(50, 6_000) },
        _ => Strike::Everything { ms: rng.range(100, 5_000) },
    }
}
