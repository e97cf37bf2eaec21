//! Parameters of PostgreSQL that an operator sets while all else goes on, in a share of all runs: one that replay checks
//! (F25), raised and lowered, with restarts in whatever order; one that PostgreSQL refuses when it is asked, and one that
//! it refuses only when it starts. What agents do about them is in agent/parameters.rs, what servers do in postgres/run.rs.

use crate::coordinator::Wish;
use crate::draw::standby;
use crate::faults::{Strike, Target};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::theme::at;
use crate::wal::DEMANDED_AT_FIRST;
use interrex_cluster::spec::{Spec, WhenAlone};
use std::collections::BTreeMap;

/// The stream of a seed from which they are drawn: runs without them are what they would be anyway.
const STREAM: u64 = 12;
/// The one that replay checks.
pub(crate) const CHECKED: &str = "max_connections";
/// The one that only a start refuses, where it names what is not there.
const LOADED: &str = "shared_preload_libraries";
const JUDGED: &str = "work_mem";
/// What PostgreSQL takes for no amount of memory.
const REFUSED: &str = "lots";

/// What stands in the files of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) connections: u32,
    /// A library is to be loaded that is not there.
    pub(crate) misses_library: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { connections: DEMANDED_AT_FIRST, misses_library: false }
    }
}

impl Parameters {
    pub(crate) fn of(wanted: &BTreeMap<String, String>) -> Self {
        let connections = wanted.get(CHECKED).and_then(|value| value.parse().ok());
        Self {
            connections: connections.unwrap_or(DEMANDED_AT_FIRST),
            misses_library: wanted.contains_key(LOADED),
        }
    }
}

/// What PostgreSQL says to them when it is asked.
pub(crate) fn refusal(wanted: &BTreeMap<String, String>) -> Option<String> {
    let refused = wanted.get(JUDGED).is_some_and(|value| value == REFUSED);
    refused.then(|| format!("{JUDGED}: invalid value for parameter \"{JUDGED}\": \"{REFUSED}\""))
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Raise,
    Lower,
    /// PostgreSQL refuses it when it is asked.
    Refused,
    /// PostgreSQL refuses it when it starts.
    Missing,
    /// All of them back to their defaults.
    Back,
}

impl Setting {
    pub(crate) fn put(self, spec: &mut Spec) {
        let mut set = |name: &str, value: &str| spec.parameters.insert(name.to_owned(), value.to_owned());
        match self {
            Setting::Raise => drop(set(CHECKED, "200")),
            Setting::Lower => drop(set(CHECKED, "50")),
            Setting::Refused => drop(set(JUDGED, REFUSED)),
            Setting::Missing => drop(set(LOADED, "typo")),
            Setting::Back => spec.parameters.clear(),
        }
    }

    /// Whether servers of a cluster that has it do not start.
    pub(crate) fn keeps_down(spec: &Spec) -> bool {
        Parameters::of(&spec.parameters).misses_library
    }
}

impl Plan {
    /// Parameters are set in so many runs of a hundred, until then.
    pub(crate) fn may_set_parameters(&mut self, percent: u64, until: u64) {
        let mut rng = Rng::new(self.seed, STREAM);
        let sets = rng.percent(percent);
        // A theme may have set some already.
        self.sets_parameters |= sets;
        for _ in 0..if sets { rng.range(1, 3) } else { 0 } {
            let mut when = rng.range(self.begin_ms, until.max(self.begin_ms));
            let settings =
                [Setting::Raise, Setting::Raise, Setting::Lower, Setting::Refused, Setting::Missing];
            let asks = Strike::Asks(Wish::Parameter(settings[rng.index(settings.len())]));
            self.add(at(when), asks);
            when += rng.range(300, 2_000);
            // Standbys first, as is right for what is raised; the primary first, as for what is lowered; or it fails.
            let order = rng.below(4);
            for _ in 0..if order < 2 { rng.range(1, 3) } else { 0 } {
                let of = standby(&mut rng);
                self.add(at(when), Strike::Asks(Wish::RestartStandby { of }));
                when += rng.range(600, 2_500);
            }
            match order {
                0 | 2 => self.add(at(when), Strike::Asks(Wish::Restart)),
                3 => self.add(at(when), Strike::KillServer { target: Target::Primary }),
                _ => {}
            }
            if rng.percent(60) {
                let ms = rng.range(500, 8_000);
                self.add(at(when + rng.range(200, 4_000)), Strike::Power { target: Target::Primary, ms });
            }
            if rng.percent(50) {
                let back = when + rng.range(500, 6_000);
                self.add(at(back), Strike::Asks(Wish::Parameter(Setting::Back)));
            }
        }
    }

    /// What replay checks is raised on the primary before its standbys have it, and whoever stays dead may be the primary; or
    /// both have to acknowledge, and one is restarted with what it does not start with.
    pub(crate) fn parameters(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.sets_parameters = true;
        let begin = self.begin_ms;
        let (setting, restart) = match rng.percent(60) {
            true => {
                self.leaves_dead = true;
                (Setting::Raise, Wish::Restart)
            }
            false => {
                (self.spec.acks, self.spec.min_acks, self.spec.when_alone) = (2, 2, WhenAlone::Block);
                (Setting::Missing, Wish::RestartStandby { of: standby(rng) })
            }
        };
        self.add(at(begin), Strike::Asks(Wish::Parameter(setting)));
        self.add(at(begin + rng.range(900, 1_400)), Strike::Asks(restart));
        begin + 7_000
    }
}
