//! Do the machines know where the coordinators are? Their agents do, for they are told; their files may not, and then a
//! machine that loses its data directory as well finds nobody.

use crate::problem::{Problem, ProblemKind};
use crate::view::View;

/// Node files that are out of date, by their agents' own word.
pub fn ask(view: &View<'_>) -> Vec<Problem> {
    let told =
        |name| Some((name, view.fresh(name)?)).filter(|(_, report)| !report.stale_coordinators.is_empty());
    let problem = |(name, report): (_, &crate::report::Report)| {
        let evidence =
            report.stale_coordinators.iter().map(|line| format!("its list of coordinators {line}"));
        let instance = crate::ids::InstanceName::clone(name);
        Problem { kind: ProblemKind::StaleCoordinators { instance }, evidence: evidence.collect() }
    };
    view.record.instances.keys().filter_map(told).map(problem).collect()
}
