//! What an operator wants of a whole cluster, changed: at once, or, where PostgreSQL has parameters to judge, proposed
//! first and settled by the primary's answer. Nothing is half in force: the spec changes whole or not at all.

use super::{Done, Rejected};
use crate::ids::{InstanceName, Revision};
use crate::record::{Asked, Cluster, Instance, Proposed};
use crate::spec::Spec;

pub(super) fn set(cluster: &mut Cluster, before: &Spec, spec: &Spec) -> Done {
    if cluster.spec != *before {
        return Rejected::because(
            "what is wanted of the cluster was changed meanwhile; look at it and ask again",
        );
    }
    let judge = cluster.primary.as_ref().is_some_and(|reign| reign.open);
    // A parameter that PostgreSQL refuses only when it starts may be why there is no primary: that is the way back.
    let unasked = !judge && spec.takes_parameters_back(before);
    if let Some(proposed) = cluster.proposed.as_ref().filter(|_| !unasked) {
        let changes = proposed.spec.changes_since(&cluster.spec).join(" ");
        return Rejected::because(format!(
            "another change is being judged: {changes}; ask again in a moment"
        ));
    }
    fits(cluster, spec).map_err(Rejected)?;
    if spec == before {
        return Ok(Vec::new());
    }
    if spec.parameters == before.parameters || unasked {
        // Nobody is there to judge what was proposed, and it was judged against what is no longer wanted.
        let given_up = cluster.proposed.take().map(|_| {
            (
                "set-refused",
                "nothing is changed: no primary takes writes, and another change came first".to_owned(),
            )
        });
        return Ok(given_up.into_iter().chain([in_force(cluster, spec.clone())]).collect());
    }
    if !judge {
        return Rejected::because(format!(
            "no primary takes writes at the moment, and only it can judge PostgreSQL parameters; one that keeps it from \
             starting can be taken back: interrex set {} NAME=",
            cluster.name
        ));
    }
    let number = cluster.revision.next();
    let changes = spec.changes_since(before).join(" ");
    cluster.proposed = Some(Proposed { number, spec: spec.clone() });
    cluster.revision = number;
    Ok(vec![("set-proposed", format!("to be judged by PostgreSQL: {changes}"))])
}

pub(super) fn settle(cluster: &mut Cluster, number: Revision, refused: Option<&str>) -> Done {
    let Some(proposed) = cluster.proposed.take_if(|proposed| proposed.number == number) else {
        return Rejected::because(format!("change {number} is not being judged"));
    };
    // An instance may have come or gone since.
    let wrong = refused.map(str::to_owned).or_else(|| fits(cluster, &proposed.spec).err());
    match wrong {
        None => Ok(vec![in_force(cluster, proposed.spec)]),
        Some(why) => {
            cluster.revision = cluster.revision.next();
            Ok(vec![("set-refused", format!("nothing is changed: {why}"))])
        }
    }
}

/// Whether the wishes go together, and with what was asked of single instances: who is to leave is not counted among those
/// who acknowledge, or it could never go.
fn fits(cluster: &Cluster, spec: &Spec) -> Result<(), String> {
    spec.check(cluster.instances.len())?;
    let leaves = |(_, member): &(&InstanceName, &Instance)| member.asked == Some(Asked::Leave);
    let Some((leaving, _)) = cluster.instances.iter().find(leaves) else { return Ok(()) };
    let stay = cluster.instances.iter().filter(|member| !leaves(member)).count();
    let standbys = u32::try_from(stay).unwrap_or(u32::MAX).saturating_sub(1);
    if spec.acks <= standbys {
        return Ok(());
    }
    Err(format!(
        "acks = {}: {leaving} is to leave, and {standbys} standbys stay; take that back with: interrex instance keep {} \
         {leaving}",
        spec.acks, cluster.name
    ))
}

fn in_force(cluster: &mut Cluster, spec: Spec) -> (&'static str, String) {
    let changes = spec.changes_since(&cluster.spec).join(" ");
    cluster.spec = spec;
    cluster.revision = cluster.revision.next();
    ("set", format!("set {changes}"))
}
