//! Themes: strikes that belong together, where one alone finds nothing. Each begins with a play that drives at one rule,
//! moment by moment, so that the rule is missed when it is switched off; a run that has a theme goes on with strikes at
//! random, and with more of its kind.

use crate::coordinator::Wish;
use crate::existing::{Existing, Holds};
use crate::faults::{Moment, Planned, Strike, Target, When};
use crate::plan::{Plan, Start};
use crate::rng::Rng;
use interrex_cluster::spec::{OnCrash, Timeouts, WhenAlone};

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "mutants"),
    expect(dead_code, reason = "those of trapped.rs are played with a rule off")
)]
pub(crate) enum Theme {
    /// Who acknowledges changes, and whoever no longer should is the only one that does.
    Acknowledgers,
    /// Somebody is told to promote, lost sight of, and superseded twice before it comes about.
    Superseded,
    /// A primary that nobody hears writes on, and stands further than its successor.
    Ahead,
    /// A leader that was deposed is the only one whom an asynchronous primary hears.
    Deposed,
    /// A sealed standby's agent begins anew, and hears nobody but a coordinator that knows no better.
    Forgetful,
    /// A copy that was just made lacks what its data need.
    HalfMade,
    /// The old primary of a hand-over is lost sight of before it has stopped.
    HandOver,
    /// The primary is taken over while it serves on.
    TakenOver,
    /// What was there before is taken in, and who holds its primary's directory is lost in the middle of it.
    TakenIn,
    /// A majority of the coordinators' logs is lost, and the newest epoch with them.
    CutOff,
    /// Parameters are set with which whoever is left could not be promoted, or does not start.
    Parameters,
    /// A primary's server answers nobody for a moment, and its standbys receive all the time.
    Unanswering,
    /// Who acknowledges is to leave, and who stays may be gone for good.
    Leaving,
    /// Commits that wait are cancelled, and the primary is lost.
    Cancelled,
    /// A primary is restarted with commits that nobody else has.
    Unreplicated,
    /// Commits have just begun to wait when standbys and primary are lost.
    WaitsAnew,
    /// Who no longer acknowledges is heard of last by its walsender.
    OldRule,
    /// Who alone has the last commits is restarted.
    Restarted,
    /// A copy is rewound as soon as the new primary is there.
    RewoundEarly,
    /// Backends outlive their postmaster.
    Orphaned,
    /// What a new copy has yet to receive is thrown away.
    ThrownAway,
}

pub(crate) fn at(ms: u64) -> When {
    When::At { ms }
}

pub(crate) fn on(moment: Moment, nth: u32, after_ms: u64) -> When {
    When::On { moment, nth, after_ms }
}

impl Theme {
    /// Those that seeds draw from.
    pub(crate) const ALL: &[Theme] = &[
        Theme::Acknowledgers,
        Theme::Superseded,
        Theme::Ahead,
        Theme::Deposed,
        Theme::Forgetful,
        Theme::HalfMade,
        Theme::HandOver,
        Theme::TakenOver,
        Theme::TakenIn,
        Theme::CutOff,
        Theme::Parameters,
        Theme::Unanswering,
        Theme::Leaving,
    ];
}

impl Plan {
    pub(crate) fn add(&mut self, when: When, strike: Strike) {
        self.strikes.push(Planned { of: 0, when, strike });
    }

    /// A cluster that runs, of so many, with one who acknowledges.
    pub(crate) fn steady(&mut self, instances: usize, coordinators: usize) {
        (self.start, self.existing) = (Start::Steady, None);
        self.begin_ms = 13_000;
        self.instances = instances;
        self.coordinators = coordinators;
        self.never = None;
        self.laggard = self.laggard.filter(|laggard| *laggard < coordinators);
        let spec = &mut self.spec;
        spec.instances = instances as u32;
        (spec.acks, spec.min_acks, spec.max_data_loss) = (1, 0, 0);
        (spec.when_alone, spec.on_crash) = (WhenAlone::Continue, OnCrash::Failover);
        spec.timeouts = Timeouts::default();
    }

    /// The theme's own play, from the beginning; gives when it is over.
    pub(crate) fn begin_with(&mut self, theme: Theme, rng: &mut Rng) -> u64 {
        match theme {
            Theme::Acknowledgers => self.acknowledgers(rng),
            Theme::Superseded => self.superseded(rng),
            Theme::Ahead => self.ahead(rng),
            Theme::Deposed => self.deposed(rng),
            Theme::Forgetful => self.forgetful(rng),
            Theme::HalfMade => self.half_made(rng),
            Theme::HandOver => self.hand_over(rng),
            Theme::TakenOver => self.taken_over(rng),
            Theme::TakenIn => self.taken_in(rng),
            Theme::CutOff => self.cut_off(rng),
            Theme::Parameters => self.parameters(rng),
            Theme::Unanswering => self.unanswering(rng),
            Theme::Leaving => self.leaving(rng),
            Theme::Cancelled => self.cancelled(rng),
            Theme::Unreplicated => self.unreplicated(rng),
            Theme::WaitsAnew => self.waits_anew(rng),
            Theme::OldRule => self.old_rule(rng),
            Theme::Restarted => self.restarted(rng),
            Theme::RewoundEarly => self.rewound_early(rng),
            Theme::Orphaned => self.orphaned(rng),
            Theme::ThrownAway => self.thrown_away_early(rng),
        }
    }

    /// One of two standbys is slow, and the other, whose agent is away, is to acknowledge no longer. It is the primary's
    /// server that does not hear of it, or not all of it, or that is told what was before; and then both are lost.
    fn acknowledgers(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = rng.range(5, 30);
        let begin = self.begin_ms;
        let k = rng.index(2);
        let (leaves, slow) = (Target::Standby(k), Target::Standby(1 - k));
        self.add(at(begin), Strike::KillAgent { target: leaves, ms: 9_000 });
        self.add(at(begin), Strike::SlowDisk { target: slow, times: rng.range(100, 400), ms: 9_000 });
        let variant = rng.below(3);
        // An old goal is to be the newest for a while: only once the agent has been silent for long is no rebuild granted.
        let after = if variant == 2 { rng.range(1_600, 1_900) } else { rng.range(20, 200) };
        self.add(at(begin + after), Strike::Asks(Wish::Reinit { of: leaves }));
        let primary = Target::Primary;
        let fall = match variant {
            0 => {
                self.add(on(Moment::RuleChanging, 1, 0), Strike::PauseAgent { target: primary, ms: 5_000 });
                on(Moment::RuleChanging, 1, rng.range(150, 400))
            }
            1 => {
                self.opening.slow_reloads = 100;
                on(Moment::RuleProved, 1, rng.range(10, 150))
            }
            _ => {
                self.add(on(Moment::RuleProved, 1, 5), Strike::Echo { target: primary });
                on(Moment::RuleProved, 1, rng.range(120, 300))
            }
        };
        self.add(fall, Strike::KillAgent { target: primary, ms: 9_000 });
        self.add(fall, Strike::KillServer { target: primary });
        self.add(fall, Strike::KillServer { target: leaves });
        begin + 11_000
    }

    /// The second is told to promote, which takes long, and its agent dies; the third is elected, and lost with all the
    /// others; the second's agent comes back in the third epoch, before its promotion comes about.
    fn superseded(&mut self, rng: &mut Rng) -> u64 {
        self.steady(4, 3);
        self.opening.promotions_ms = Some((1_900, 2_500));
        let begin = self.begin_ms;
        self.add(at(begin), Strike::Coup { to: 1, ms: 5_000 });
        let told = rng.range(1, 40);
        let primary = Target::Primary;
        self.add(
            on(Moment::Promoting, 1, told),
            Strike::KillAgent { target: primary, ms: rng.range(600, 1_100) },
        );
        self.add(on(Moment::Promoting, 1, told + 20), Strike::Asks(Wish::Failover { to: 2 }));
        for k in 0..4 {
            self.add(on(Moment::Elected, 2, 0), Strike::KillAgent { target: Target::Any(k), ms: 3_000 });
        }
        self.add(on(Moment::Elected, 2, 2), Strike::Asks(Wish::Failover { to: 3 }));
        begin + 7_000
    }

    /// The second takes over from a primary that writes on in vain; the third is never to be promoted; the second falls
    /// in the moment in which the first is back.
    fn ahead(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 5);
        self.never = Some(2);
        self.clients = 4;
        self.think_ms = 150;
        let begin = self.begin_ms;
        self.add(at(begin), Strike::Lead { target: Target::Any(4) });
        let cut = begin + 500;
        let ms = rng.range(900, 1_500);
        self.add(at(cut), Strike::Isolate { target: Target::Primary, ms });
        self.add(at(cut + 10), Strike::Asks(Wish::Failover { to: 1 }));
        let fall = at(cut + ms + rng.range(0, 30));
        self.add(fall, Strike::KillAgent { target: Target::Any(1), ms: 9_000 });
        self.add(fall, Strike::KillServer { target: Target::Any(1) });
        self.add(fall, Strike::Asks(Wish::Failover { to: 0 }));
        begin + 12_000
    }

    /// Commits wait for nobody; the leader is on the primary's machine, which is cut off from all the others.
    fn deposed(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.spec.acks = 0;
        self.spec.max_data_loss = 16 << 20;
        self.belief_ms = 20_000;
        let begin = self.begin_ms;
        self.add(at(begin), Strike::Lead { target: Target::Primary });
        let ms = rng.range(6_000, 9_000);
        self.add(at(begin + rng.range(200, 1_500)), Strike::Isolate { target: Target::Primary, ms });
        begin + 11_000
    }

    /// The third takes over; the second, sealed for that, begins anew and hears only the coordinator beside it, which
    /// has yet to learn that anything has happened. The old primary serves on without its agent.
    fn forgetful(&mut self, rng: &mut Rng) -> u64 {
        self.steady(4, 5);
        self.clients = 4;
        self.think_ms = 40;
        self.laggard = Some(1);
        self.lag_ms = 4_000;
        let begin = self.begin_ms;
        self.add(at(begin), Strike::Lead { target: Target::Any(4) });
        self.add(at(begin + 600), Strike::Coup { to: 2, ms: 5_000 });
        let away = rng.range(20, 80);
        let second = Target::Any(1);
        self.add(on(Moment::Elected, 1, rng.range(2, 30)), Strike::KillAgent { target: second, ms: away });
        self.add(on(Moment::Registered, 1, 0), Strike::HearsOnly { target: second, from: 0, ms: 2_500 });
        self.add(
            on(Moment::Registered, 1, 0),
            Strike::PauseCoordinator { target: Target::Any(0), ms: 2_500 },
        );
        begin + 8_000
    }

    /// The old primary is rewound, and the new one is lost in the moment in which that is done.
    fn half_made(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = 10;
        let begin = self.begin_ms;
        self.add(at(begin), Strike::Coup { to: 1, ms: rng.range(900, 1_500) });
        self.add(on(Moment::Rebuilt, 1, 0), Strike::Asks(Wish::Failover { to: 2 }));
        begin + 9_000
    }

    /// It was to stop, and its agent dies first: it serves on until its lease is over.
    fn hand_over(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = 5;
        self.opening.slow_reloads = 40;
        let begin = self.begin_ms;
        let to = rng.percent(70).then(|| rng.range(1, 2) as usize);
        self.add(at(begin), Strike::Asks(Wish::Switchover { to }));
        self.add(on(Moment::HandedOver, 1, 0), Strike::KillAgent { target: Target::Primary, ms: 6_000 });
        begin + 9_000
    }

    /// Taken over without its agent, once and again.
    fn taken_over(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = 10;
        self.opening.slow_reloads = 40;
        let mut when = self.begin_ms;
        for _ in 0..2 {
            self.add(at(when), Strike::Coup { to: rng.index(3), ms: rng.range(1_500, 4_000) });
            when += rng.range(5_000, 8_000);
        }
        when
    }

    /// Its standbys lack the last commits; its machine goes as soon as it was elected, and comes back late.
    fn taken_in(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.start = Start::Existing;
        self.begin_ms = 10_000;
        let existing = Existing { others: vec![Holds::Less, Holds::Less], ..Existing::of(3, rng) };
        self.existing = Some(match rng.percent(25) {
            true => {
                Existing { runs: false, boots: false, others: vec![Holds::More, Holds::Less], ..existing }
            }
            false => Existing { runs: false, ..existing },
        });
        let ms = rng.range(6_000, 9_000);
        self.add(on(Moment::Elected, 1, rng.range(0, 1_500)), Strike::Power { target: Target::Any(0), ms });
        self.begin_ms + 14_000
    }

    /// The second takes over, and all that was decided for it is lost, but for what its agent obeyed; then another takeover
    /// is asked for.
    fn cut_off(&mut self, rng: &mut Rng) -> u64 {
        self.steady(3, 3);
        self.clients = 4;
        self.think_ms = 20;
        let begin = self.begin_ms;
        self.add(at(begin), Strike::Coup { to: 1, ms: 4_000 });
        let back = rng.range(4, 8) as usize;
        let cut = on(Moment::Opened, 1, rng.range(20, 400));
        self.add(cut, Strike::Recover { target: Target::Any(0), back, ms: 500 });
        for again in 0..4 {
            let to = rng.index(3);
            self.add(at(begin + 2_500 + 700 * again), Strike::Asks(Wish::Failover { to }));
        }
        begin + 8_000
    }
}
