//! Pinned plays: what the simulation once found, each with its story. A seed tells another story as soon as the model
//! changes; these are written down strike by strike, and run with many seeds' latencies and clocks. Each names the state
//! that it has to come by, or it would no longer be the story that it was.

use crate::batch::{Outcome, run_plan};
use crate::coordinator::Wish;
use crate::danger::Danger;
use crate::faults::{Moment, Strike, Target};
use crate::parameters::Setting;
use crate::plan::{Plan, Shape};
use crate::theme::{Theme, at, on};
use interrex_cluster::spec::WhenAlone;

/// A play that was found once.
#[derive(Debug, Clone, Copy)]
pub struct Pinned {
    /// Its name.
    pub name: &'static str,
    /// What happened, and what was mended.
    pub story: &'static str,
    theme: Theme,
    danger: Danger,
    write: fn(&mut Plan),
}

/// All that are pinned.
pub const PINNED: &[Pinned] = &[
    Pinned {
        name: "the-old-conninfo-gets-its-password-back",
        story: "A hand-over goes on as a failover while the old primary serves on without its agent. A standby is sealed \
                and follows the new primary, and its startup process, late to read its settings, still knows the old \
                one. With the password in the same file it streamed from there again, and acknowledged. Each name to \
                stream under has a password file of its own since.",
        theme: Theme::HandOver,
        danger: Danger::SwitchoverAbandoned,
        write: |plan| plan.opening.startups_ms = Some((250, 500)),
    },
    Pinned {
        name: "the-rest-of-a-new-copy-is-gone",
        story: "A copy is rewound, and its slot is lost before it has received what its data need. It lets nobody in \
                before that, so nobody looked for the reason: it was starting for ever. It asks for a clone since.",
        theme: Theme::TakenOver,
        danger: Danger::SlotLost,
        write: |plan| {
            plan.strikes.clear();
            let begin = plan.begin_ms;
            plan.add(at(begin), Strike::Coup { to: 1, ms: 1_200 });
            for after in [1, 3, 6, 10, 15, 25, 40, 60] {
                plan.add(on(Moment::Rebuilt, 1, after), Strike::LoseSlot { target: Target::Any(0) });
            }
        },
    },
    Pinned {
        name: "a-rule-that-needs-the-copy",
        story: "Both standbys have to acknowledge. The old primary comes back past the fork and has to be rewound; its \
                copy was kept until the newest rule is proved, and that rule asks for this very copy: no writes, for \
                ever. Where too few others could prove the rule, the copy is rewound first since.",
        theme: Theme::TakenOver,
        danger: Danger::Rewound,
        write: |plan| {
            (plan.spec.acks, plan.spec.min_acks) = (2, 2);
            plan.strikes.clear();
            let begin = plan.begin_ms;
            plan.add(at(begin), Strike::Coup { to: 1, ms: 1_500 });
        },
    },
    Pinned {
        name: "a-machine-is-suspended-past-its-lease",
        story: "Commits wait for nobody. The primary's machine is suspended, another one takes over once its lease has \
                surely run out, and it wakes with commits half done: it acknowledges for as long as its guard takes to \
                kill it, some milliseconds. No lease can prevent that; that it lasts no longer is what is asked.",
        theme: Theme::TakenOver,
        danger: Danger::GuardKills,
        write: |plan| {
            (plan.spec.acks, plan.spec.max_data_loss) = (0, 16 << 20);
            plan.strikes.clear();
            let begin = plan.begin_ms;
            plan.add(at(begin), Strike::PauseMachine { target: Target::Primary, ms: 5_400 });
        },
    },
    Pinned {
        name: "more-acknowledgements-than-those-who-stay-can-give",
        story: "An instance is to leave, and the operator asks for as many acknowledgements as there are with it. Its \
                removal was decided again and again, refused each time, and kept all that was decided after it from \
                being proposed: no copy was made anew any more. Such a wish is refused since.",
        theme: Theme::TakenOver,
        danger: Danger::Rewound,
        write: |plan| {
            plan.strikes.clear();
            let begin = plan.begin_ms;
            plan.add(at(begin), Strike::Asks(Wish::Leave { of: Target::Standby(1) }));
            plan.add(at(begin), Strike::KillAgent { target: Target::Standby(1), ms: 7_000 });
            plan.add(at(begin + 50), Strike::Asks(Wish::Set { acks: 2 }));
            plan.add(at(begin + 1_000), Strike::Coup { to: 1, ms: 1_200 });
        },
    },
    Pinned {
        name: "a-winner-reboots-in-the-middle-of-its-promotion",
        story: "An elected machine reboots after its promotion, before that is confirmed. The instance waited for a new \
                epoch, the leader for the instance. What ended after it was told to promote says so since.",
        theme: Theme::TakenOver,
        danger: Danger::CandidateDies,
        write: |plan| {
            plan.strikes.clear();
            let begin = plan.begin_ms;
            plan.add(at(begin), Strike::Asks(Wish::Failover { to: 1 }));
            plan.add(on(Moment::Promoted, 1, 0), Strike::Power { target: Target::Primary, ms: 400 });
        },
    },
    Pinned {
        name: "raised-on-the-primary-alone",
        story: "What replay checks is raised, the primary restarts before its standbys, and one of the machines is lost for \
                good: where it was the primary, nobody who was left could be promoted, and nothing ever restarted them. A \
                sealed standby with less than replay demands is started with that since.",
        theme: Theme::TakenOver,
        danger: Danger::Unpromotable,
        write: |plan| {
            plan.strikes.clear();
            plan.sets_parameters = true;
            plan.leaves_dead = true;
            let begin = plan.begin_ms;
            plan.add(at(begin), Strike::Asks(Wish::Parameter(Setting::Raise)));
            plan.add(at(begin + 1_000), Strike::Asks(Wish::Restart));
            plan.faults_ms = begin + 8_000;
        },
    },
    Pinned {
        name: "a-parameter-that-keeps-a-standby-down",
        story: "Every standby has to acknowledge, and one is restarted with a parameter with which it does not start. The rule \
                cannot be proved without it; the primary tried to for ever, and never judged whether the parameter may be \
                taken back. It answers that first since.",
        theme: Theme::TakenOver,
        danger: Danger::ParameterKeepsDown,
        write: |plan| {
            (plan.spec.acks, plan.spec.min_acks, plan.spec.when_alone) = (2, 2, WhenAlone::Block);
            plan.strikes.clear();
            plan.sets_parameters = true;
            let begin = plan.begin_ms;
            plan.add(at(begin), Strike::Asks(Wish::Parameter(Setting::Missing)));
            plan.add(at(begin + 1_000), Strike::Asks(Wish::RestartStandby { of: Target::Standby(1) }));
            plan.faults_ms = begin + 8_000;
        },
    },
    Pinned {
        name: "a-copy-that-cannot-let-its-agent-in",
        story: "A PostgreSQL is taken in, and its primary's machine goes before the standbys have received the roles of \
                Interrex: their servers run and let their agents not in. Sealed, they receive from nobody; and an agent that \
                is restarted then does not know that. It waited for an answer that could never come. It starts the server \
                anew since; and where what the copy would receive is gone, it asks for another.",
        theme: Theme::TakenIn,
        danger: Danger::FailoverInFailover,
        write: |plan| {
            plan.strikes.clear();
            plan.existing.iter_mut().for_each(|existing| existing.boots = false);
            plan.add(on(Moment::Confirmed, 1, 15), Strike::Power { target: Target::Any(0), ms: 3_000 });
            for standby in 0..2 {
                let target = Target::Standby(standby);
                plan.add(on(Moment::Confirmed, 2, 100), Strike::KillAgent { target, ms: 100 });
            }
        },
    },
];

impl Pinned {
    /// Plays it with the latencies and clocks of a seed. True when it came by the state that it is about.
    pub fn play(&self, seed: u64) -> (Outcome, bool) {
        let mut plan = Plan::of(seed, Shape { theme: Some(self.theme), ..Shape::default() });
        (self.write)(&mut plan);
        let outcome = run_plan(plan);
        let reached = outcome.reached(self.danger);
        (outcome, reached)
    }
}
