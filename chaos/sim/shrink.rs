//! A failing run made shorter: strikes are left out, one after the other, as long as the same property stays broken.

use crate::batch::run_plan;
use crate::plan::Plan;

/// The shortest plan found; none when the plan breaks nothing.
pub(crate) fn shrink(mut plan: Plan) -> Option<Plan> {
    let broken = |plan: &Plan| run_plan(plan.clone()).violations.first().map(|violation| violation.property);
    let property = broken(&plan)?;
    let mut at = 0;
    while at < plan.strikes.len() {
        let mut shorter = plan.clone();
        shorter.strikes.remove(at);
        if broken(&shorter) == Some(property) {
            plan = shorter;
            at = 0;
        } else {
            at += 1;
        }
    }
    Some(plan)
}
