//! Do the machines know where the coordinators are? Their agents do, for they are told; their files may not, and then a
//! machine that loses its data directory as well finds nobody.

use crate::ids::InstanceName;
use crate::problem::{Problem, ProblemKind};
use crate::view::View;

/// Node files that are out of date, by their agents' own word.
pub fn ask(view: &View<'_>) -> Vec<Problem> {
    let problem = |name: &InstanceName| {
        let stale = view.fresh(name)?.stale_coordinators.iter();
        let evidence: Vec<String> = stale.map(|line| format!("its list of coordinators {line}")).collect();
        let kind = ProblemKind::StaleCoordinators { instance: name.clone() };
        (!evidence.is_empty()).then_some(Problem { kind, evidence })
    };
    view.record.instances.keys().filter_map(problem).collect()
}
