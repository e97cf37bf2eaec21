//! Making the record of a new cluster: identity and passwords are drawn here, by the leader, and replicated.

use crate::core::{Core, NotDone};
use crate::secrets;
use interrex_api::admin::{CreateCluster, Created, NewOwner};
use interrex_api::refused::Refused;
use interrex_cluster::command::Command;
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
        check_role(&owner.name)?;
    }
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

/// An application's role: a plain PostgreSQL name, and none of PostgreSQL's or ours.
fn check_role(role: &str) -> Result<(), Refused> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let plain =
        role.len() <= 63 && role.starts_with(first) && role.chars().all(|c| first(c) || c.is_ascii_digit());
    let reserved = role.starts_with("pg_")
        || matches!(role, "postgres" | "public" | "none" | "interrex" | "interrex_repl");
    if plain && !reserved {
        return Ok(());
    }
    let why = if reserved { "is taken by PostgreSQL or Interrex" } else { "is no plain role name" };
    Err(Refused::Invalid(format!(
        "role '{role}' {why}: use 1 to 63 of a-z, 0-9 and '_', beginning with a letter or '_'"
    )))
}

#[cfg(test)]
mod tests {
    use super::check_role;

    #[test]
    fn an_owner_is_a_plain_role_and_none_of_postgresql_s_or_ours() {
        assert!(check_role("app_1").is_ok());
        for bad in ["", "App", "a b", "1a", "pg_x", "interrex", "postgres", "a\"b"] {
            assert!(check_role(bad).is_err(), "{bad}");
        }
    }
}
