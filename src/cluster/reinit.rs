//! What a new copy of an instance costs while it is made: who is cloned acknowledges nothing. Told with the event that
//! begins it, and refused before it is proposed where writes would wait for all of that time.

use crate::ids::InstanceName;
use crate::record::Cluster;

/// What a new copy costs while it is made, in words: who is cloned acknowledges nothing. `None`: those who are left are
/// as many as commits wait for.
pub fn cost(record: &Cluster, instance: &InstanceName) -> Option<String> {
    let left = left_without(record, instance)?;
    let k = record.sync.k;
    Some(match (stops_with(record, left), left) {
        (true, _) => {
            format!("until it streams again {left} of the {k} that commits wait for are left: writes wait")
        }
        (false, 0) => {
            "until it streams again nobody acknowledges: writes wait a moment, then for no standby".to_owned()
        }
        (false, _) => {
            format!("until it streams again {left} of {k} acknowledge: writes wait a moment, then for those")
        }
    })
}

/// Why an operator is asked to think again before a new copy is made: writes would wait for all the time that it takes.
pub fn objection(record: &Cluster, instance: &InstanceName) -> Option<String> {
    let left = left_without(record, instance).filter(|left| stops_with(record, *left))?;
    let name = &record.name;
    Some(format!(
        "without {instance} {left} standby(s) are left to acknowledge, and writes would wait for all the time that a \
         new copy takes; to have them go on meanwhile, first: interrex set {name} when_alone=continue min_acks={left}"
    ))
}

/// Standbys left to acknowledge without this one; `None`: enough, or no commit waits for it.
fn left_without(record: &Cluster, instance: &InstanceName) -> Option<u32> {
    let sync = &record.sync;
    let others = sync.standbys.iter().filter(|name| *name != instance).count();
    let left = u32::try_from(others).unwrap_or(u32::MAX);
    (sync.standbys.contains(instance) && left < sync.k).then_some(left)
}

/// The rule does not sink as far.
fn stops_with(record: &Cluster, left: u32) -> bool {
    left < record.spec.min_acks || (left == 0 && !record.spec.may_be_asynchronous())
}
