//! What a seed stands for: topology, wishes, clocks, load, and every strike with its moment. Drawn before anything
//! happens, so that a failing run can be shortened by leaving strikes out.

use crate::coordinator::Wish;
use crate::faults::{Moment, Planned, Strike, Target, When};
use crate::rng::Rng;
use crate::theme::Theme;
use interrex_cluster::ids::{ClusterName, InstanceName, MachineName, SystemId};
use interrex_cluster::spec::{OnCrash, Spec, Timeouts, WhenAlone};

/// The system identifier of the only cluster.
pub(crate) const SYSTEM: SystemId = SystemId(7_000_000_000_000_000_001);

/// No plan has more.
const MOST_MACHINES: usize = 8;

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
    /// An instance that is never to be promoted.
    pub(crate) never: Option<usize>,
    pub(crate) start: Start,
    pub(crate) clients: usize,
    pub(crate) think_ms: u64,
    /// From here on clients think eight times as long; 0: never. A theme's play needs many commits, what follows does not.
    pub(crate) busy_until_ms: u64,
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
    /// At the least so late.
    pub(crate) lag_ms: u64,
    /// So many of a hundred processes are late to read new settings.
    pub(crate) slow_reloads: u64,
    /// So many of a hundred promotions have much to replay first.
    pub(crate) slow_promotions: u64,
    /// Between so much and so much every promotion has to replay; absent: as usual.
    pub(crate) promotions_ms: Option<(u64, u64)>,
    /// Between so late and so late every startup process reads new settings; absent: as usual.
    pub(crate) startups_ms: Option<(u64, u64)>,
    /// From here on things happen.
    pub(crate) begin_ms: u64,
    /// So long things fail.
    pub(crate) faults_ms: u64,
    /// Nothing fails that a primary is to be changed for.
    pub(crate) calm: bool,
    /// Some machine is never mended.
    pub(crate) leaves_dead: bool,
    pub(crate) strikes: Vec<Planned>,
}

/// What a run may be made of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    /// Nothing fails that a primary is to be changed for.
    pub(crate) calm: bool,
    /// The beginning of this theme, and nothing else.
    pub(crate) theme: Option<Theme>,
    /// The first machine's clock is off by far more than leases allow for.
    pub(crate) beyond_margin: bool,
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
        let mut plan = Self::base(seed, &mut rng);
        if shape.calm {
            plan.calm_down(&mut rng);
            return plan;
        }
        let theme = match shape.theme {
            Some(theme) => Some(theme),
            None if rng.percent(50) => Some(Theme::ALL[rng.index(Theme::ALL.len())]),
            None => None,
        };
        let mut at = plan.begin_ms;
        if let Some(theme) = theme {
            at = plan.begin_with(theme, &mut rng);
            plan.busy_until_ms = at;
        }
        if shape.theme.is_none() {
            at = plan.strikes_from(at, &mut rng);
            if let Some(theme) = theme {
                at = plan.go_on_with(theme, &mut rng, at);
            }
            plan.leaves_dead = rng.percent(35);
        }
        if shape.beyond_margin {
            // Half as fast as it should be: what it takes for three seconds are six.
            plan.drift[0] = -500_000;
        }
        plan.faults_ms = at + rng.range(500, 4_000);
        plan
    }

    /// Topology, wishes, clocks and load.
    fn base(seed: u64, rng: &mut Rng) -> Self {
        let instances = [2, 3, 3, 3, 3, 3, 4, 5, 5, 7][rng.index(10)];
        let coordinators = [1, 3, 3, 3, 3, 3, 3, 5][rng.index(8)];
        let zones = rng.range(1, 3) as usize;
        let start = match rng.below(20) {
            0 => Start::Empty,
            1 => Start::Stopped,
            _ => Start::Steady,
        };
        let most: u64 = if rng.percent(30) { 40_000 } else { 200 };
        let drift = (0..MOST_MACHINES).map(|_| rng.range(0, 2 * most) as i64 - most as i64).collect();
        Self {
            seed,
            instances,
            zones,
            coordinators,
            spec: spec(instances, rng),
            never: (instances > 2 && rng.percent(10)).then(|| 1 + rng.index(instances - 1)),
            start,
            clients: rng.range(1, 4) as usize,
            think_ms: [20, 60, 120, 250][rng.index(4)],
            busy_until_ms: 0,
            drift,
            loss: [0, 0, 0, 1, 3][rng.index(5)],
            replays: [0, 0, 3, 25][rng.index(4)],
            belief_ms: [1_200, 1_200, 5_000, 20_000][rng.index(4)],
            laggard: rng.percent(40).then(|| rng.index(coordinators)),
            lag_ms: 0,
            slow_reloads: 3,
            slow_promotions: 10,
            promotions_ms: None,
            startups_ms: None,
            begin_ms: if start == Start::Empty { 22_000 } else { 13_000 },
            faults_ms: 0,
            calm: false,
            leaves_dead: false,
            strikes: Vec::new(),
        }
    }

    /// Strikes that have nothing to do with one another.
    fn strikes_from(&mut self, from: u64, rng: &mut Rng) -> u64 {
        let mut at = from;
        let mean = [1_500, 3_000, 4_000, 6_000][rng.index(4)];
        for _ in 0..rng.range(4, 16) {
            let when = if rng.percent(25) {
                let moment = Moment::ALL[rng.index(Moment::ALL.len())];
                When::On { moment, nth: rng.range(1, 6) as u32, after_ms: rng.tail(0, 400) }
            } else {
                at += rng.range(mean / 4, mean * 2);
                When::At { ms: at }
            };
            self.add(when, strike(rng));
            // Two at once find what one alone does not: above all, a standby that nobody can reach any more and that
            // still receives.
            if rng.percent(40) {
                let target = standby(rng);
                let ms = rng.tail(100, 9_000);
                let second = match rng.below(6) {
                    0..=2 => Strike::KillAgent { target, ms },
                    3 => Strike::Isolate { target, ms },
                    4 => Strike::SlowDisk { target, times: rng.range(20, 300), ms },
                    _ => Strike::PauseMachine { target, ms },
                };
                self.add(when, second);
            }
        }
        at
    }

    /// Nothing fails that a primary is to be changed for: heavy load, slow machines, and the loss of everything else
    /// (PROTOCOL.md invariant 8).
    fn calm_down(&mut self, rng: &mut Rng) {
        self.calm = true;
        self.begin_ms = if self.start == Start::Steady { 13_000 } else { 30_000 };
        self.clients = rng.range(4, 8) as usize;
        self.think_ms = 10;
        self.slow_reloads = 20;
        self.laggard = None;
        self.coordinators = self.coordinators.max(3);
        let mut at = self.begin_ms + 1_000;
        let last = at + 20_000;
        // Without anybody who grants leases a primary whose commits wait for nobody has to stop: one leader at a time.
        let mut next_leader = 0;
        while at < last {
            at += rng.range(300, 6_000);
            let standby = standby(rng);
            let strike = match rng.below(10) {
                0 => Strike::KillServer { target: standby },
                1 => Strike::KillAgent { target: standby, ms: rng.range(100, 4_000) },
                2 => Strike::PauseAgent { target: standby, ms: rng.range(100, 4_000) },
                3 => Strike::SlowDisk { target: standby, times: rng.range(10, 300), ms: 5_000 },
                4 => Strike::KillAgent { target: Target::Primary, ms: rng.range(20, 500) },
                5 => Strike::PauseAgent { target: Target::Primary, ms: rng.range(20, 700) },
                6 => Strike::Deaf { target: Target::Primary, ms: rng.range(100, 1_500) },
                7 => Strike::SlowDisk { target: Target::Primary, times: rng.range(2, 20), ms: 5_000 },
                8 if at >= next_leader => {
                    next_leader = at + 8_000;
                    Strike::KillCoordinator { target: Target::Leader, ms: rng.range(100, 900) }
                }
                _ => Strike::SlowMachine { target: Target::Primary, times: rng.range(2, 4), ms: 5_000 },
            };
            self.add(When::At { ms: at }, strike);
        }
        self.faults_ms = at + 6_000;
    }

    /// What it is, in a few lines: how the play begins.
    pub(crate) fn lines(&self) -> Vec<String> {
        let spec = self.spec.changes_since(&Spec::default()).join(" ");
        let head = format!(
            "seed {}: {} instances, {} coordinators, {} zones, begins {:?}; {spec}",
            self.seed, self.instances, self.coordinators, self.zones, self.start
        );
        let world = format!(
            "{} clients think {} ms; never promoted {:?}; drift {:?}; loss {} %, replays {} %; a leader believes for {} ms; \
             laggard {:?} by {} ms; slow reloads {} %, promotions {} % {:?}; faults end at {} ms; one stays dead: {}",
            self.clients,
            self.think_ms,
            self.never.map(|i| i + 1),
            self.drift,
            self.loss,
            self.replays,
            self.belief_ms,
            self.laggard.map(|c| c + 1),
            self.lag_ms,
            self.slow_reloads,
            self.slow_promotions,
            self.promotions_ms,
            self.faults_ms,
            self.leaves_dead
        );
        let strikes = self.strikes.iter().enumerate();
        let strikes =
            strikes.map(|(n, planned)| format!("strike {n}: {:?}: {:?}", planned.when, planned.strike));
        [head, world].into_iter().chain(strikes).collect()
    }

    /// Promotion preference of an instance; absent: never.
    pub(crate) fn priority(&self, i: usize) -> Option<u8> {
        (self.never != Some(i)).then_some(1)
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

fn spec(instances: usize, rng: &mut Rng) -> Spec {
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
    let patience = |rng: &mut Rng, low: u64, high: u64| rng.percent(10).then(|| rng.range(low, high) as u32);
    Spec {
        instances: instances as u32,
        acks,
        min_acks,
        when_alone,
        max_data_loss: if acks == 0 && rng.percent(50) { 1 << 20 } else { 0 },
        on_crash: if rng.percent(25) { OnCrash::Restart } else { OnCrash::Failover },
        timeouts: Timeouts {
            suspect_after_ms: patience(rng, 700, 4_000),
            hung_after_ms: patience(rng, 2_000, 6_000),
            leaves_after_ms: patience(rng, 1_500, 6_000),
            alone_after_ms: patience(rng, 1_500, 9_000),
        },
        ..Spec::default()
    }
}

fn target(rng: &mut Rng) -> Target {
    match rng.below(10) {
        0..=4 => Target::Primary,
        5 | 6 => standby(rng),
        7 => Target::Leader,
        _ => Target::Any(rng.below(8) as usize),
    }
}

fn strike(rng: &mut Rng) -> Strike {
    let target = target(rng);
    let short = rng.tail(50, 8_000);
    let ms = if rng.percent(30) { rng.range(2_000, 15_000) } else { short };
    match rng.below(60) {
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
        38..=45 => Strike::Coup { to: rng.below(8) as usize, ms: rng.tail(50, 6_000) },
        46 => Strike::FullDisk { target, ms },
        47 => Strike::StalledDisk { target, ms: rng.tail(100, 9_000) },
        48 | 49 => Strike::LoseSlot { target: standby(rng) },
        50 => Strike::CancelWaits { target: Target::Primary },
        51 => Strike::Echo { target },
        52..=58 => Strike::Asks(wish(rng)),
        _ => Strike::Everything { ms: rng.range(100, 5_000) },
    }
}

pub(crate) fn standby(rng: &mut Rng) -> Target {
    Target::Standby(rng.below(8) as usize)
}

/// What is asked of one instance, or of the whole cluster while it runs.
fn wish(rng: &mut Rng) -> Wish {
    let of = standby(rng);
    match rng.below(8) {
        0 | 1 => Wish::Reinit { of },
        2 | 3 => Wish::RestartStandby { of },
        4 if rng.percent(30) => Wish::Leave { of },
        4 => Wish::Keep { of },
        5 | 6 => Wish::Set { acks: rng.below(4) as u32 },
        _ => Wish::Block { block: rng.percent(50) },
    }
}
