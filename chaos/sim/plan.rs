//! What a seed stands for: topology, wishes, clocks, load, and every strike with its moment. Drawn before anything
//! happens, so that a failing run can be shortened by leaving strikes out.

use crate::coordinator::Wish;
use crate::draw::{spec, standby, strike};
use crate::existing::Existing;
use crate::faults::{Moment, Planned, Strike, Target, When};
use crate::neighbour::Neighbour;
use crate::pace::Pace;
use crate::rng::Rng;
use crate::theme::Theme;
use crate::traps::Traps;
use interrex_cluster::ids::{ClusterName, InstanceName, MachineName};
use interrex_cluster::spec::{Spec, WhenAlone};

/// So many runs of a hundred have more than one cluster.
const NEIGHBOURS: u64 = 8;

/// In so many coordinators come and go.
const TURNOVER: u64 = 10;

/// In so many parameters are set.
const PARAMETERS: u64 = 8;
/// In so many clients hold their sessions.
const SESSIONS: u64 = 20;

/// In so many, of those with coordinators elsewhere, a group is made anew out of one log.
const ANEW: u64 = 12;

/// In so many a machine stays dead.
const DEAD: u64 = 35;

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
    /// A PostgreSQL is there already, and is to be taken in.
    Existing,
}

/// A run, before it happens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) instances: usize,
    pub(crate) zones: usize,
    pub(crate) coordinators: usize,
    /// So many of them, the last, do not belong to the group when the world begins.
    pub(crate) outside: usize,
    pub(crate) spec: Spec,
    /// An instance that is never to be promoted.
    pub(crate) never: Option<usize>,
    pub(crate) start: Start,
    /// What is there before Interrex; absent: nothing of anybody else's.
    pub(crate) existing: Option<Existing>,
    pub(crate) clients: usize,
    pub(crate) think_ms: u64,
    /// So long a theme's opening lasts; 0: there is none. From there on clients think eight times as long: an opening needs
    /// many commits, what follows does not.
    pub(crate) opening_ms: u64,
    /// Per machine, in millionths.
    pub(crate) drift: Vec<i64>,
    /// Messages that have to be sent again, in a hundred.
    pub(crate) loss: u64,
    /// So long a leader without a quorum goes on believing that it leads.
    pub(crate) belief_ms: u64,
    /// A coordinator that applies entries late.
    pub(crate) laggard: Option<usize>,
    /// At the least so late.
    pub(crate) lag_ms: u64,
    /// What is late while the opening lasts, and afterwards.
    pub(crate) opening: Pace,
    pub(crate) later: Pace,
    /// From here on things happen.
    pub(crate) begin_ms: u64,
    /// So long things fail.
    pub(crate) faults_ms: u64,
    /// Nothing fails that a primary is to be changed for.
    pub(crate) calm: bool,
    /// Some machine is never mended.
    pub(crate) leaves_dead: bool,
    pub(crate) strikes: Vec<Planned>,
    /// Other clusters of the same group of coordinators.
    pub(crate) neighbours: Vec<Neighbour>,
    /// Parameters of PostgreSQL are set.
    pub(crate) sets_parameters: bool,
    /// Clients hold their sessions, and cancel what they have waited for too long.
    pub(crate) holds_sessions: bool,
    /// Coordinators take the words of all clusters for those of the first: for the test that this is noticed.
    pub(crate) mixes_reports: bool,
    /// What PostgreSQL does that one would not expect.
    pub(crate) traps: Traps,
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
    /// There is more than one cluster, and coordinators take one for the other.
    pub(crate) mixes_reports: bool,
}

pub(crate) fn name(n: usize) -> InstanceName {
    #[expect(clippy::expect_used, reason = "a letter and a digit are a name")]
    format!("n{n}").parse().expect("a letter and a digit are a name")
}

pub(crate) fn machine_name(i: usize) -> MachineName {
    #[expect(clippy::expect_used, reason = "a letter and a digit are a name")]
    format!("n{}", i + 1).parse().expect("a letter and a digit are a name")
}

/// The name of a cluster, by its number.
pub(crate) fn cluster(number: usize) -> ClusterName {
    let name = ["orders", "billing", "stock"][number % 3];
    #[expect(clippy::expect_used, reason = "letters are a name")]
    name.parse().expect("letters are a name")
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
            plan.may_have_neighbours(NEIGHBOURS, 0);
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
            plan.opening_ms = at;
            plan.calm = shape.theme == Some(Theme::Unanswering);
        }
        plan.while_it_is_taken_in(&mut rng);
        if shape.theme.is_none() {
            at = plan.strikes_from(at, &mut rng);
            if let Some(theme) = theme {
                at = plan.go_on_with(theme, &mut rng, at);
            }
            plan.leaves_dead = rng.percent(DEAD);
        }
        if shape.beyond_margin {
            // Half as fast as it should be: what it takes for three seconds are six.
            plan.drift[0] = -500_000;
        }
        if shape.mixes_reports {
            plan.mixes_reports = true;
            plan.may_have_neighbours(100, at);
        } else if shape.theme.is_none() && rng.percent(6) {
            plan.let_clocks_run_wild(&mut rng);
        } else if shape.theme.is_none() {
            plan.may_have_neighbours(NEIGHBOURS, at);
            plan.may_change_the_group(TURNOVER, at);
            plan.may_set_parameters(PARAMETERS, at);
            plan.may_hold_sessions(SESSIONS);
        }
        plan.faults_ms = at + rng.range(500, 4_000);
        plan
    }

    /// The run of a seed in which coordinators are elsewhere: what they are is not drawn, and so is nothing that happens
    /// inside them.
    pub(crate) fn staged(seed: u64, calm: bool) -> Self {
        let mut rng = Rng::new(seed, 0);
        let mut plan = Self::base(seed, &mut rng);
        plan.empty();
        if calm {
            plan.calm_down(&mut rng);
        } else {
            let at = plan.strikes_from(plan.begin_ms, &mut rng);
            plan.strike_coordinators(at, &mut rng);
            plan.faults_ms = at + rng.range(500, 4_000);
            plan.may_change_the_group(TURNOVER, at);
            plan.may_leave_one_dead(DEAD);
        }
        plan.may_have_neighbours(NEIGHBOURS, plan.faults_ms);
        plan.neighbours.iter_mut().for_each(|neighbour| neighbour.start = Start::Empty);
        plan.strikes.retain(|planned| {
            !matches!(
                planned.strike,
                Strike::Recover { .. }
                    | Strike::Dispute
                    | Strike::Lead { .. }
                    | Strike::Echo { .. }
                    | Strike::Coup { .. }
                    | Strike::PromoteByHand { .. }
            )
        });
        if !calm {
            plan.may_begin_anew(ANEW, plan.faults_ms);
        }
        plan
    }

    /// Nothing is there when it begins.
    pub(crate) fn empty(&mut self) {
        (self.start, self.existing, self.begin_ms) = (Start::Empty, None, 30_000);
    }

    /// Strikes that are aimed at coordinators, until then.
    fn strike_coordinators(&mut self, until: u64, rng: &mut Rng) {
        for _ in 0..rng.range(1, 5) {
            let (ms, when) = (rng.tail(100, 6_000), rng.range(self.begin_ms, until));
            let who =
                if rng.percent(50) { Target::Leader } else { Target::Any(rng.index(self.coordinators)) };
            let strike = match rng.below(7) {
                0 | 1 => Strike::KillCoordinator { target: who, ms },
                2 => Strike::PauseCoordinator { target: who, ms },
                3 => Strike::Isolate { target: who, ms },
                4 => Strike::CutOneWay { target: who, inward: rng.percent(50), ms },
                _ => Strike::LoseLog { target: who, ms },
            };
            self.add(When::At { ms: when }, strike);
        }
    }

    /// Topology, wishes, clocks and load.
    fn base(seed: u64, rng: &mut Rng) -> Self {
        let instances = [2, 3, 3, 3, 3, 3, 4, 5, 6, 7][rng.index(10)];
        let coordinators = [1, 3, 3, 3, 3, 3, 3, 5][rng.index(8)];
        let zones = rng.range(1, 3) as usize;
        let start = match rng.below(20) {
            0 => Start::Empty,
            1 => Start::Stopped,
            2 | 3 => Start::Existing,
            _ => Start::Steady,
        };
        let pace = Pace {
            replays: [0, 0, 3, 25][rng.index(4)],
            slow_reloads: 3,
            slow_promotions: 10,
            promotions_ms: None,
            startups_ms: None,
        };
        let most: u64 = if rng.percent(30) { 40_000 } else { 200 };
        let drift = (0..MOST_MACHINES).map(|_| rng.range(0, 2 * most) as i64 - most as i64).collect();
        Self {
            seed,
            instances,
            zones,
            coordinators,
            outside: 0,
            spec: spec(instances, rng),
            never: (instances > 2 && rng.percent(10)).then(|| 1 + rng.index(instances - 1)),
            start,
            existing: (start == Start::Existing).then(|| Existing::of(instances, rng)),
            clients: rng.range(1, 4) as usize,
            think_ms: [20, 60, 120, 250][rng.index(4)],
            opening_ms: 0,
            drift,
            loss: [0, 0, 0, 1, 3][rng.index(5)],
            belief_ms: [1_200, 1_200, 5_000, 20_000][rng.index(4)],
            laggard: rng.percent(40).then(|| rng.index(coordinators)),
            lag_ms: 0,
            opening: pace,
            later: pace,
            begin_ms: match start {
                Start::Empty => 22_000,
                // Half of them fail while they are being taken in.
                Start::Existing => [10_000, 22_000][rng.index(2)],
                Start::Steady | Start::Stopped => 13_000,
            },
            faults_ms: 0,
            calm: false,
            leaves_dead: false,
            strikes: Vec::new(),
            neighbours: Vec::new(),
            sets_parameters: false,
            holds_sessions: false,
            mixes_reports: false,
            traps: Traps::ALL,
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

    /// Clocks are off by far more than leases allow for, and every commit waits for standbys: then no clock is asked
    /// whether it is safe (PROTOCOL.md invariants 2 and 3), and all must hold as ever.
    fn let_clocks_run_wild(&mut self, rng: &mut Rng) {
        const HALF: u64 = 500_000;
        self.drift.iter_mut().for_each(|drift| *drift = rng.range(0, 2 * HALF) as i64 - HALF as i64);
        let spec = &mut self.spec;
        spec.acks = spec.acks.max(1);
        (spec.min_acks, spec.when_alone, spec.max_data_loss) = (spec.acks, WhenAlone::Block, 0);
        for planned in &mut self.strikes {
            match &mut planned.strike {
                Strike::Asks(Wish::Set { acks }) => *acks = (*acks).max(1),
                Strike::Asks(Wish::Block { block }) => *block = true,
                _ => {}
            }
        }
    }

    /// What it is, in a few lines: how the play begins.
    pub(crate) fn lines(&self) -> Vec<String> {
        let spec = self.spec.changes_since(&Spec::default()).join(" ");
        let existing = self.existing.as_ref().map(|existing| format!(" {existing:?}")).unwrap_or_default();
        let outside = match self.outside {
            0 => String::new(),
            outside => format!(" ({outside} not of the group yet)"),
        };
        let head = format!(
            "seed {}: {} instances, {} coordinators{outside}, {} zones, begins {:?}{existing}; {spec}",
            self.seed, self.instances, self.coordinators, self.zones, self.start
        );
        let world = format!(
            "{} clients think {} ms; never promoted {:?}; drift {:?}; loss {} %; a leader believes for {} ms; laggard \
             {:?} by {} ms; the opening lasts until {} ms: {}; then {}; faults end at {} ms; one stays dead: {}",
            self.clients,
            self.think_ms,
            self.never.map(|i| i + 1),
            self.drift,
            self.loss,
            self.belief_ms,
            self.laggard.map(|c| c + 1),
            self.lag_ms,
            self.opening_ms,
            self.opening,
            self.later,
            self.faults_ms,
            self.leaves_dead
        );
        let neighbours = self.neighbours.iter().zip(1..).map(|(neighbour, n)| {
            let spec = neighbour.spec.changes_since(&Spec::default()).join(" ");
            let (instances, start, first) = (neighbour.instances, neighbour.start, neighbour.first + 1);
            let first = if start == Start::Empty { String::new() } else { format!(", n{first} is primary") };
            format!("{}: {instances} instances{first}; {spec}", cluster(n))
        });
        let strikes = self.strikes.iter().zip(0..).map(|(planned, n)| {
            let of = if planned.of == 0 { String::new() } else { format!("{}: ", cluster(planned.of)) };
            format!("strike {n}: {of}{:?}: {:?}", planned.when, planned.strike)
        });
        [head, world].into_iter().chain(self.kindness()).chain(neighbours).chain(strikes).collect()
    }

    pub(crate) fn machines(&self) -> usize {
        let others = self.neighbours.iter().map(|neighbour| neighbour.instances);
        others.fold(self.instances.max(self.coordinators), usize::max)
    }

    pub(crate) fn zone(&self, machine: usize) -> usize {
        machine % self.zones
    }

    pub(crate) fn zone_name(&self, machine: usize) -> String {
        if self.zones == 1 { String::new() } else { format!("az-{}", self.zone(machine) + 1) }
    }
}
