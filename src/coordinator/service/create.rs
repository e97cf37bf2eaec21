//! Making the record of a new cluster: identity and passwords are drawn here, by the leader, and replicated.

use crate::core::{Core, NotDone};
use crate::secrets;
use interrex_api::admin::{CreateCluster, Created, NewOwner};
use interrex_api::refused::Refused;
use interrex_cluster::command::Command;
use interrex_cluster::role;
use std::io;

/// Makes the cluster.
///
/// # Errors
/// The name is taken, the wishes contradict each other, or this coordinator does not lead.
pub(crate) async fn create(core: &Core, wanted: CreateCluster) -> Result<Created, Refused> {
    let name = &wanted.name;
    let taken = || Refused::Exists(format!("cluster {name} exists already; see: interrex show {name}"));
    if wanted.adopt.is_some() && wanted.owner.is_some() {
        let why = "a role is made with a new cluster only; one that is adopted has its roles";
        return Err(Refused::Invalid(format!("create {name}: {why}")));
    }
    // Whoever forgot that something is to be adopted says it again: the record judges.
    if wanted.adopt.is_none() && core.node.read(|records| records.cluster(name).is_some()) {
        return Err(taken());
    }
    if let Some(owner) = &wanted.owner {
        let unfit = |why| Refused::Invalid(format!("role '{}' {why}; name another one", owner.name));
        role::check(&owner.name).map_err(unfit)?;
        if let Some(password) = &owner.password {
            let unfit = |why| Refused::Invalid(format!("the password of role '{}' {why}", owner.name));
            role::check_password(password).map_err(unfit)?;
        }
    }
    wanted.spec.check_new().map_err(|why| Refused::Invalid(format!("create {name}: {why}")))?;
    let drawn = |e: io::Error| Refused::Internal(format!("draw passwords: {e}"));
    let owner = |NewOwner { name, password }: NewOwner| {
        let password = password.map_or_else(|| secrets::password(&*core.rng), Ok)?;
        Ok::<_, io::Error>((name, password))
    };
    let owner = wanted.owner.map(owner).transpose().map_err(drawn)?;
    let (id, secrets) = secrets::of_cluster(&*core.rng, owner.clone()).map_err(drawn)?;
    let adopt = wanted.adopt;
    match core.propose(name, Command::Create { id, spec: wanted.spec, secrets, adopt }).await {
        Ok(_) => {
            // Of one that was there already, its own.
            let id = core.node.read(|records| records.cluster(name).map_or(id, |record| record.id));
            Ok(Created { id, owner })
        }
        Err(NotDone::Rejected(why)) => {
            let exists = core.node.read(|records| records.cluster(name).is_some());
            Err(match (exists, adopt) {
                (true, Some(_)) => Refused::Exists(format!("{why}; see: interrex show {name}")),
                (true, None) => taken(),
                (false, _) => Refused::Invalid(format!("create {name}: {why}")),
            })
        }
        Err(why) => Err(why.into()),
    }
}
