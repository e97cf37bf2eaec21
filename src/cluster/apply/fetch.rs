//! A preferred instance that is behind fetches what it lacks before anybody is elected, entry by entry: begun while
//! both are sealed, over once it holds that or was given up. Either way it is sealed again, and that seal may be higher.

use super::{Done, Rejected};
use crate::ids::{Epoch, InstanceName};
use crate::record::{Cluster, Failover, Fetch, FetchEnd, Operation};

/// `to` follows `from` up to where that was sealed. Both refuse every older epoch, so nobody else can add anything.
pub(super) fn begin(cluster: &mut Cluster, epoch: Epoch, to: &InstanceName, from: &InstanceName) -> Done {
    let failover = electing(cluster, epoch)?;
    if failover.fetch.is_some() || failover.hand_over.is_some() {
        return Rejected::because("there was a plan for who is to be primary already");
    }
    let sealed = |name: &InstanceName| {
        let seal = failover.seals.get(name).filter(|seal| !seal.stopped);
        seal.filter(|_| !failover.astray.contains(name)).map(|seal| seal.position)
    };
    let (Some(behind), Some(until)) = (sealed(to), sealed(from)) else {
        return Rejected::because(format!("{to} and {from} are not both sealed as running standbys"));
    };
    if behind.timeline != until.timeline || behind >= until {
        return Rejected::because(format!(
            "{to} at {behind} lacks nothing that {from} could send from {until}"
        ));
    }
    failover.fetch = Some(Box::new(Fetch { to: to.clone(), from: from.clone(), until, end: None }));
    let bytes = until.lsn.bytes_since(behind.lsn);
    cluster.revision = cluster.revision.next();
    Ok(vec![("fetching", format!("{to} is preferred and fetches {bytes} bytes that it lacks from {from}"))])
}

/// It has them, or is not waited for any longer.
pub(super) fn end(cluster: &mut Cluster, epoch: Epoch, given_up: Option<&str>) -> Done {
    let failover = electing(cluster, epoch)?;
    let Some(fetch) = failover.fetch.as_mut().filter(|fetch| fetch.end.is_none()) else {
        return Rejected::because("nobody fetches anything");
    };
    fetch.end = Some(if given_up.is_some() { FetchEnd::GivenUp } else { FetchEnd::Told });
    let (to, from) = (&fetch.to, &fetch.from);
    let told = match given_up {
        None => ("fetched", format!("{to} has what {from} had, and is sealed again")),
        Some(why) => ("fetch-abandoned", format!("{to} does not get what it lacks from {from}: {why}")),
    };
    cluster.revision = cluster.revision.next();
    Ok(vec![told])
}

fn electing(cluster: &mut Cluster, epoch: Epoch) -> Result<&mut Failover, Rejected> {
    let (current, elected) = (cluster.epoch, cluster.primary.is_some());
    match &mut cluster.operation {
        Operation::Failover(failover) if !elected && epoch == current => Ok(failover),
        _ => Rejected::because(format!("nobody is to be elected in epoch {epoch}")),
    }
}
