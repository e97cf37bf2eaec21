//! Is the record the newest there is? It is, as long as a majority of coordinators keeps its logs: every goal that an agent
//! obeyed came from it. An agent that obeyed what the record does not know proves that entries were lost, as when a group
//! was made anew out of one log (`interrex coordinator recover`). Such a record must not decide: the epoch that it would
//! begin may have begun already, with another primary and a commit rule that it does not know.

use crate::ids::{InstanceName, Stamp};
use crate::problem::{Problem, ProblemKind};
use crate::record::Cluster;
use crate::view::{Heard, registered};
use std::collections::BTreeMap;

/// Whether entries of the record are lost: an agent obeyed what it does not know, by its last word, however long ago.
pub fn ask(record: &Cluster, heard: &BTreeMap<InstanceName, Heard>) -> Option<Problem> {
    let obeyed = |name| Some((name, registered(record, heard, name)?.report.obeyed));
    behind(record, record.instances.keys().filter_map(obeyed))
}

/// The same by any words of members about what they obeyed.
pub fn behind<'a>(
    record: &Cluster,
    obeyed: impl Iterator<Item = (&'a InstanceName, Stamp)>,
) -> Option<Problem> {
    let ahead = obeyed.filter(|(_, obeyed)| *obeyed > record.stamp());
    let (instance, obeyed) = ahead.max_by_key(|(_, obeyed)| *obeyed)?;
    let evidence = vec![
        format!("{instance}'s agent obeyed goal {obeyed}; the record ends at {}", record.stamp()),
        "nothing is decided or granted upon it; bring a newer coordinator's log back, or take the servers into a new \
         cluster: interrex create NAME --adopt"
            .to_owned(),
    ];
    Some(Problem { kind: ProblemKind::RecordBehind { instance: instance.clone() }, evidence })
}
