//! `set CLUSTER key=value…`.

use crate::parameters;
use crate::planned::{self, Say};
use crate::{CtlError, Output, Session};
use clap::Args;
use interrex_api::admin::SetSpecRequest;
use interrex_cluster::event::Event;
use interrex_cluster::ids::ClusterName;
use interrex_cluster::spec::Spec;
use std::collections::BTreeSet;

/// Change what is wanted of a cluster, whole or not at all.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Keys: instances, acks, min_acks, when_alone=continue|block, max_data_loss (bytes, 16MB), \
on_crash=failover|restart, suspect_after, hung_after, leaves_after, alone_after (1500ms, 5s). Anything else is a \
PostgreSQL parameter (work_mem=64MB): the primary's PostgreSQL judges it before any instance has it. An empty value \
(work_mem=) takes a parameter, a timeout or min_acks back to its default. Unless it was given another value, min_acks goes \
with acks and when_alone: 0 with continue, acks with block."
)]
pub struct Set {
    /// The cluster.
    cluster: ClusterName,
    /// What to change.
    #[arg(required = true, value_parser = pair, value_name = "KEY=VALUE")]
    changes: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("key=value is wanted")?;
    // Judged without the cluster as far as that goes: a typing error needs no coordinator.
    Spec::default().set(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Set {
    /// Which of two values was meant is not ours to guess.
    fn each_once(&self) -> Result<(), CtlError> {
        let mut keys = BTreeSet::new();
        match self.changes.iter().find(|(key, _)| !keys.insert(key.to_ascii_lowercase())) {
            Some((key, _)) => Err(CtlError::Usage(format!("'{key}' is given twice; give it one value"))),
            None => Ok(()),
        }
    }

    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        self.each_once()?;
        let before = planned::newest(session, &self.cluster).await?;
        let request = SetSpecRequest { name: self.cluster.clone(), changes: self.changes.clone() };
        let reply = session.client.set_spec(&request).await?;
        if reply.proposed {
            // PostgreSQL says whether it takes the parameters.
            let settled = |event: Event| match event.kind.as_str() {
                "set" => Some(Ok(())),
                "set-refused" => Some(Err(CtlError::Refused(event.text))),
                _ => None,
            };
            planned::until(session, &self.cluster, before, Say::Waits, settled).await?;
        }
        // Who goes on with `restart --pending` is to find everybody who waits for one.
        let late = match reply.proposed {
            true => parameters::read_everywhere(session, &self.cluster).await?.1,
            false => Vec::new(),
        };
        if session.output == Output::Json {
            return session.json(&serde_json::json!({
                "cluster": self.cluster, "changed": reply.changed, "not_read_by": late
            }));
        }
        match reply.changed.as_slice() {
            [] => writeln!(session.out, "{} is so already", self.cluster)?,
            changed => writeln!(session.out, "{}: {}", self.cluster, changed.join(" "))?,
        }
        if reply.proposed {
            let cluster = &self.cluster;
            writeln!(
                session.out,
                "every instance reloads; what waits for a restart is shown by: interrex show {cluster}, and got over with by: \
                 interrex restart {cluster} --pending"
            )?;
            if !late.is_empty() {
                writeln!(
                    session.out,
                    "not read yet by {}: it reads them as soon as it can",
                    late.join(", ")
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::pair;

    #[test]
    fn a_pair_is_judged_before_anybody_is_asked() {
        assert_eq!(pair("work_mem=64MB"), Ok(("work_mem".to_owned(), "64MB".to_owned())));
        assert_eq!(pair("search_path=a=b").unwrap().1, "a=b");
        assert_eq!(pair("acks"), Err("key=value is wanted".to_owned()));
        assert_eq!(pair("acks=many"), Err("acks=many: a whole number is wanted".to_owned()));
    }
}
