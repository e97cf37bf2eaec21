//! What follows a theme's opening: strikes at random that go on in its vein, with a pace of their own.

use crate::coordinator::Wish;
use crate::draw::standby;
use crate::faults::{Strike, Target};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::theme::{Theme, at};

impl Plan {
    /// More of the same kind, not as pointed.
    pub(crate) fn go_on_with(&mut self, theme: Theme, rng: &mut Rng, from: u64) -> u64 {
        let mut when = from;
        for _ in 0..rng.range(1, 4) {
            when += rng.range(5_500, 9_000);
            when = self.round(theme, rng, when);
        }
        when
    }

    fn round(&mut self, theme: Theme, rng: &mut Rng, when: u64) -> u64 {
        let coup = |rng: &mut Rng, ms: u64| Strike::Coup { to: rng.below(8) as usize, ms };
        match theme {
            // Who acknowledges changes all the time, slowly, and the primary falls in the middle of it.
            Theme::Acknowledgers | Theme::HalfMade => {
                self.later.slow_reloads = 60;
                let away = rng.range(3_200, 5_000);
                self.add(at(when), Strike::PauseMachine { target: standby(rng), ms: away });
                let times = rng.range(50, 400);
                self.add(at(when), Strike::SlowDisk { target: standby(rng), times, ms: 6_000 });
                let fall = when + away + rng.range(0, 1_500);
                self.add(at(fall), Strike::KillAgent { target: standby(rng), ms: rng.range(500, 6_000) });
                let ms = rng.range(500, 4_000);
                self.add(at(fall), coup(rng, ms));
                fall
            }
            // Promotions take long; whoever was told to is lost sight of, and superseded twice.
            Theme::Superseded => {
                self.later.slow_promotions = 70;
                self.add(at(when), coup(rng, 300));
                let told = when + rng.range(350, 700);
                let ms = rng.range(300, 2_500);
                self.add(at(told), Strike::KillAgent { target: Target::Primary, ms });
                for _ in 0..3 {
                    let again = told + rng.range(50, ms + 500);
                    self.add(at(again), Strike::Asks(Wish::Failover { to: rng.below(8) as usize }));
                }
                when
            }
            // A primary that nobody hears writes on, and is back before it was taken back onto the line.
            Theme::Ahead | Theme::Deposed => {
                let ms = rng.range(1_800, 6_000);
                self.add(at(when), Strike::Isolate { target: Target::Primary, ms });
                let fall = when + ms + rng.range(0, 250);
                let ms = rng.range(500, 3_000);
                self.add(at(fall), coup(rng, ms));
                fall
            }
            // Agents come back while a coordinator tells them what was.
            Theme::Forgetful => {
                self.later.replays = 25;
                let ms = rng.range(300, 3_000);
                self.add(at(when), coup(rng, ms));
                for _ in 0..3 {
                    let ms = rng.range(20, 150);
                    let fall = when + rng.range(180, 420);
                    self.add(at(fall), Strike::KillAgent { target: standby(rng), ms });
                }
                when
            }
            Theme::HandOver
            | Theme::TakenOver
            | Theme::TakenIn
            | Theme::CutOff
            | Theme::Parameters
            | Theme::Unanswering
            | Theme::Leaving
            | Theme::Cancelled
            | Theme::Unreplicated
            | Theme::WaitsAnew
            | Theme::OldRule
            | Theme::Restarted
            | Theme::RewoundEarly
            | Theme::Orphaned
            | Theme::ThrownAway => {
                let to = rng.percent(50).then(|| rng.below(8) as usize);
                self.add(at(when), Strike::Asks(Wish::Switchover { to }));
                let ms = rng.range(300, 3_000);
                self.add(at(when + rng.range(0, 1_200)), coup(rng, ms));
                when
            }
        }
    }
}
