//! `create CLUSTER`: makes the record of a new cluster; its instances do the rest.

use crate::{CtlError, Output, Session};
use clap::{Args, ValueEnum};
use interrex_api::admin::{Adopting, CreateCluster, NewOwner};
use interrex_cluster::ids::ClusterName;
use interrex_cluster::role;
use interrex_cluster::spec::{Spec, WhenAlone};
use std::path::{Path, PathBuf};

/// Make a cluster.
#[derive(Debug, Clone, Args)]
pub struct Create {
    /// Its name: a-z, 0-9 and '-', at most 24 characters.
    cluster: ClusterName,
    /// How many instances it has, primary included: 1 to 9.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    instances: u32,
    /// Standbys that must have a commit on disk before it is acknowledged [default: 1; 0 with one instance].
    #[arg(long)]
    acks: Option<u32>,
    /// Fewest standbys to which that may sink while others are away [default: 0, or acks with --when-alone block].
    #[arg(long)]
    min_acks: Option<u32>,
    /// With no standby able to acknowledge for 5 s: go on asynchronously, or let writes wait.
    #[arg(long, value_enum, default_value_t = Alone::Continue)]
    when_alone: Alone,
    /// An application role to make with the cluster, like the master user of RDS; owns a database of the cluster's name.
    #[arg(long, value_parser = role_name)]
    user: Option<String>,
    /// A file that holds the role's password; without it one is drawn and printed once.
    #[arg(long, requires = "user")]
    password_file: Option<PathBuf>,
    /// Take in the PostgreSQL whose data directories the node files name, instead of making a new one. Said again of a
    /// cluster that has no data yet, it is wanted from then on.
    #[arg(long, conflicts_with = "user")]
    adopt: bool,
    /// Stop the servers that run on these directories, and start them again under Interrex.
    #[arg(long, requires = "adopt")]
    take_over: bool,
}

/// `--when-alone`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Alone {
    /// Commits become asynchronous until a standby is back.
    Continue,
    /// Writes wait.
    Block,
}

impl Create {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let created = session.client.create_cluster(&self.request()?).await?;
        let owner = created.owner.filter(|_| self.password_file.is_none());
        if session.output == Output::Json {
            let (user, password) = owner.unzip();
            return session.json(&serde_json::json!({
                "cluster": self.cluster, "id": created.id.to_string(), "user": user, "password": password,
            }));
        }
        match self.adopt {
            true => writeln!(
                session.out,
                "cluster {0} is to take in an existing PostgreSQL, whose unlogged tables come out of it empty; follow it with: \
                 interrex explain {0}",
                self.cluster
            )?,
            false => writeln!(
                session.out,
                "cluster {0} is created; follow it with: interrex events --follow; what it waits for: interrex show {0}",
                self.cluster
            )?,
        }
        if let Some((user, password)) = owner {
            writeln!(session.out, "role {user} has the password {password} (told only once)")?;
        }
        Ok(())
    }

    fn request(&self) -> Result<CreateCluster, CtlError> {
        let when_alone = match self.when_alone {
            Alone::Continue => WhenAlone::Continue,
            Alone::Block => WhenAlone::Block,
        };
        let spec = Spec::of_new(self.instances, self.acks, self.min_acks, when_alone);
        let Spec { acks, min_acks, .. } = &spec;
        if *acks >= self.instances {
            let standbys = self.instances - 1;
            return Err(CtlError::Usage(format!(
                "--acks {acks}: {} instances have {standbys} standbys to acknowledge; ask for at most {standbys}",
                self.instances
            )));
        }
        if min_acks > acks {
            return Err(CtlError::Usage(format!(
                "--min-acks {min_acks} exceeds --acks {acks}; it may be at most that"
            )));
        }
        let owner = match (&self.user, &self.password_file) {
            (None, _) => None,
            (Some(name), None) => Some(NewOwner { name: name.clone(), password: None }),
            (Some(name), Some(path)) => {
                let password = password(path)?;
                Some(NewOwner { name: name.clone(), password: Some(password) })
            }
        };
        let adopt = self.adopt.then_some(Adopting { take_over: self.take_over });
        Ok(CreateCluster { name: self.cluster.clone(), spec, owner, adopt })
    }
}

/// `--user`.
fn role_name(text: &str) -> Result<String, String> {
    role::check(text).map(|()| text.to_owned()).map_err(|why| format!("it {why}; name another role"))
}

/// The password in a file. A pipe or a device is not opened: reading it could wait for ever.
fn password(path: &Path) -> Result<String, CtlError> {
    let unreadable = |source| CtlError::File { path: format!("--password-file {}", path.display()), source };
    let unfit = |why: &str| CtlError::Usage(format!("--password-file {}: {why}", path.display()));
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unfit("is no regular file; write the password on the first line of one"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let password = text.lines().next().unwrap_or_default();
    match password.is_empty() {
        true => Err(unfit("the password is empty; write it on the first line")),
        false => Ok(password.to_owned()),
    }
}
