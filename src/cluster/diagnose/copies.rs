//! Is each copy what it was? One that was rolled back has lost WAL that others rely on; one that does not start is no
//! use either. Both are told by their own agents, with the way out.

use crate::ids::InstanceName;
use crate::problem::{Problem, ProblemKind};
use crate::record::Cluster;
use crate::report::{Failing, Report};
use crate::view::View;

/// A server that failed once or twice may only have been disturbed.
const OFTEN: u32 = 3;

/// What is wrong with the copies, the primary's included.
pub fn ask(view: &View<'_>) -> Vec<Problem> {
    let names = view.record.instances.keys();
    names.filter_map(|name| Some(about(view.record, name, view.fresh(name)?))).flatten().collect()
}

fn about(record: &Cluster, name: &InstanceName, report: &Report) -> Vec<Problem> {
    let rolled_back = report.doubt.as_ref().map(|why| Problem {
        kind: ProblemKind::RolledBack { instance: name.clone() },
        evidence: vec![
            format!("{name}'s agent: {why}"),
            "it is cloned as soon as there is a primary to clone from; to make it count, stop its agent and put back the \
             data directory and the agent's directory as they were last"
                .to_owned(),
        ],
    });
    let failing = report.failing.as_ref().filter(|failing| failing.times >= OFTEN);
    let failing = failing.map(|failing| Problem {
        kind: ProblemKind::DoesNotStart { instance: name.clone() },
        evidence: in_words(record, name, failing),
    });
    rolled_back.into_iter().chain(failing).collect()
}

fn in_words(record: &Cluster, name: &InstanceName, failing: &Failing) -> Vec<String> {
    let mut evidence =
        vec![format!("{name}'s agent: it ended {} times in a row while it was starting", failing.times)];
    if failing.clones > 0 {
        evidence.push(format!(
            "so did {} new cop{} of it; the next one is asked for after a pause that grows: mend what the log names",
            failing.clones,
            if failing.clones == 1 { "y" } else { "ies" }
        ));
    }
    // PostgreSQL judges some of them only when it starts, and the agents write them before each start.
    if !record.spec.parameters.is_empty() {
        evidence.push(format!(
            "if a parameter of the cluster is the reason, it is taken back with: interrex set {} NAME=",
            record.name
        ));
    }
    evidence.extend(failing.lines.iter().map(|line| format!("its log: {line}")));
    evidence
}
