//! A failing run made shorter, for as long as the same property stays broken: strikes are left out, one after the other,
//! and then what makes the world harder to follow: other clusters, lost and repeated messages, clocks that are off, a
//! coordinator that applies late, clients. How many instances there are stays: strikes are aimed by number, and rules ask
//! for so many; with others it is another play. Both tiers' runs are shortened here; how a plan is run is their own.

use crate::batch::Outcome;
use crate::plan::Plan;

/// What may be made easier, each by itself.
const EASIER: &[fn(&mut Plan)] = &[
    |plan| {
        plan.neighbours.clear();
        plan.strikes.retain(|planned| planned.of == 0);
    },
    |plan| plan.leaves_dead = false,
    |plan| plan.loss = 0,
    |plan| (plan.opening.replays, plan.later.replays) = (0, 0),
    |plan| (plan.opening.slow_reloads, plan.later.slow_reloads) = (0, 0),
    |plan| (plan.opening.slow_promotions, plan.later.slow_promotions) = (0, 0),
    |plan| (plan.laggard, plan.lag_ms) = (None, 0),
    |plan| plan.holds_sessions = false,
    |plan| plan.clients = 1,
];

/// The shortest plan found; none when the plan breaks nothing.
pub(crate) fn shrink(mut plan: Plan, run: impl Fn(Plan) -> Outcome) -> Option<Plan> {
    let broken = |plan: &Plan| run(plan.clone()).violations.first().map(|violation| violation.property);
    let property = broken(&plan)?;
    let stays = |plan: &Plan| broken(plan) == Some(property);
    let mut at = 0;
    while at < plan.strikes.len() {
        let mut shorter = plan.clone();
        shorter.strikes.remove(at);
        if stays(&shorter) {
            plan = shorter;
            at = 0;
        } else {
            at += 1;
        }
    }
    for ease in EASIER {
        let mut easier = plan.clone();
        ease(&mut easier);
        if differ(&easier, &plan) && stays(&easier) {
            plan = easier;
        }
    }
    for machine in 0..plan.drift.len() {
        let mut right = plan.clone();
        right.drift[machine] = 0;
        if differ(&right, &plan) && stays(&right) {
            plan = right;
        }
    }
    Some(plan)
}

/// A plan that was as easy already needs no run.
fn differ(one: &Plan, other: &Plan) -> bool {
    format!("{one:?}") != format!("{other:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::run_plan;
    use crate::plan::Shape;
    use crate::theme::Theme;

    #[test]
    fn what_the_break_does_not_need_is_left_out_and_what_it_needs_stays() {
        let shape = Shape { theme: Some(Theme::Deposed), beyond_margin: true, ..Shape::default() };
        let mut plan = Plan::of(0, shape);
        (plan.loss, plan.holds_sessions) = (1, true);
        let strikes = plan.strikes.len();
        let short = shrink(plan, run_plan).expect("a clock that is half as fast breaks something");
        let broken = run_plan(short.clone()).violations;
        assert_eq!(broken.first().map(|broken| broken.property), Some("one-running-lease"));
        assert!(short.strikes.len() <= strikes && !short.strikes.is_empty(), "{:?}", short.strikes);
        assert_eq!((short.loss, short.clients, short.holds_sessions), (0, 1, false));
        let off: Vec<usize> = (0..short.drift.len()).filter(|machine| short.drift[*machine] != 0).collect();
        assert_eq!(off, [0], "the clock that breaks it, and no other");
    }

    #[test]
    fn nothing_is_made_of_a_run_that_breaks_nothing() {
        let plan = Plan::of(0, Shape { theme: Some(Theme::Deposed), ..Shape::default() });
        assert!(shrink(plan, run_plan).is_none());
    }
}
