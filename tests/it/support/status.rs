//! What a scene asks of a cluster's status, in one word each.

use interrex_cluster::status::{ClusterStatus, InstanceStatus};

/// An open primary, everybody else streaming and in the rule, and nothing left to be done.
pub(crate) fn healthy(status: &ClusterStatus) -> bool {
    let member = |instance: &InstanceStatus| match instance.role.as_str() {
        "primary" => instance.server == "open" && status.primary.as_ref() == Some(&instance.name),
        "standby" => instance.server == "streaming" && instance.in_sync_set,
        _ => false,
    };
    let complete = usize::try_from(status.spec.instances) == Ok(status.instances.len());
    let at_rest = status.operation == "steady" && status.rules.len() == 1;
    let on_one_line = status.instances.iter().all(|i| i.timeline.is_some_and(|t| t.0 == status.epoch.0));
    let quiet = status.problems.is_empty() && status.waits.is_empty();
    status.open && complete && at_rest && on_one_line && quiet && status.instances.iter().all(member)
}

/// The record has a commit rule that PostgreSQL has not proved yet.
pub(crate) fn changing(status: &ClusterStatus) -> bool {
    status.waits.iter().any(|wait| wait.contains("to prove the changed commit rule"))
}

/// Commits wait for nobody, and the record has no other rule.
pub(crate) fn asynchronous(status: &ClusterStatus) -> bool {
    matches!(status.rules.as_slice(), [rule] if rule.contains("acknowledges alone"))
}

/// A member by its name.
pub(crate) fn instance<'a>(status: &'a ClusterStatus, name: &str) -> &'a InstanceStatus {
    let found = status.instances.iter().find(|instance| instance.name.as_str() == name);
    found.unwrap_or_else(|| panic!("no instance {name} in {status:#?}"))
}

/// The elected primary's name.
pub(crate) fn primary(status: &ClusterStatus) -> String {
    status.primary.as_ref().unwrap_or_else(|| panic!("no primary in {status:#?}")).to_string()
}
