//! The agents' side: registering, reporting, and the goals that come back.

use super::{CONFIRMATION, goals, unconfirmed};
use crate::core::{Core, NotDone};
use crate::lease::{self, Wish};
use interrex_api::refused::Refused;
use interrex_api::serve::{Answers, Caller, SessionHandler};
use interrex_api::session::{
    GoalUpdate, RegisterRequest, Registered, ReportRequest, Reported, WatchRequest, Welcome,
};
use interrex_cluster::command::{Command, Registration};
use interrex_cluster::goal::goal;
use interrex_cluster::ids::{ClusterName, DirectoryId, InstanceName, Stamp};
use interrex_cluster::record::Cluster;
use std::sync::Arc;

/// Answers agents.
pub(crate) struct Session {
    pub(crate) core: Arc<Core>,
}

#[tonic::async_trait]
impl SessionHandler for Session {
    /// The answer's floor is what the agent obeys nothing below, so it must not be older than any goal that was ever
    /// given: leadership is confirmed first, and the record read after.
    async fn register(&self, _: Caller, request: RegisterRequest) -> Result<Registered, Refused> {
        let core = &*self.core;
        core.node.confirm_leadership(CONFIRMATION).await.map_err(unconfirmed)?;
        let cluster = &request.cluster;
        let Some(record) = core.node.read(|records| records.cluster(cluster).cloned()) else {
            let why = format!(
                "cluster {cluster} does not exist yet: create it with: interrex create {cluster} --instances 3"
            );
            return Ok(Registered::Waiting { why });
        };
        let registration =
            Registration { replaces: replaced(core, &record, &request.registration), ..request.registration };
        let (instance, directory) = (registration.instance.clone(), registration.directory.clone());
        match core.propose(cluster, Command::Register(registration)).await {
            Ok(_) => {}
            Err(NotDone::Rejected(why)) => return Ok(Registered::Waiting { why }),
            Err(why) => return Err(why.into()),
        }
        match core.node.read(|records| welcome(records.cluster(cluster)?, &instance, &directory)) {
            Some(welcome) => Ok(Registered::Welcome(Box::new(welcome))),
            None => {
                Err(Refused::Unavailable(format!("{instance} was replaced while it registered: ask again")))
            }
        }
    }

    async fn report(&self, _: Caller, request: ReportRequest) -> Result<Reported, Refused> {
        let core = &*self.core;
        let (cluster, report) = (&request.cluster, request.report);
        let (instance, directory) = (report.instance.clone(), report.directory.clone());
        let now = core.awake();
        // Who is no member has nothing to testify; and memory is kept for members alone.
        if let Some(registered) = registered(core, cluster, &instance) {
            core.reports.take(cluster, report, &registered, core.takeover_after(), now);
        }
        let lease = match request.wants_lease {
            Some(epoch) => {
                let wish = Wish { cluster, instance: &instance, directory: &directory, epoch };
                lease::grant(core, &wish).await
            }
            None => None,
        };
        Ok(Reported { leader: core.leader(), lease })
    }

    async fn watch(&self, _: Caller, request: WatchRequest) -> Result<Answers<GoalUpdate>, Refused> {
        Ok(goals::follow(self.core.clone(), request))
    }
}

fn registered(core: &Core, cluster: &ClusterName, instance: &InstanceName) -> Option<DirectoryId> {
    core.node.read(|records| Some(records.cluster(cluster)?.instances.get(instance)?.directory.clone()))
}

/// The directory whose name this one takes over: only one that this leader itself has not heard for three leases.
fn replaced(core: &Core, record: &Cluster, new: &Registration) -> Option<DirectoryId> {
    let known = record.instances.get(&new.instance).filter(|known| known.directory != new.directory)?;
    let look = core.look(&record.name)?;
    let silence = look.view(&core.policy).silence(&new.instance);
    (silence >= core.takeover_after()).then(|| known.directory.clone())
}

fn welcome(record: &Cluster, instance: &InstanceName, directory: &DirectoryId) -> Option<Welcome> {
    record.instances.get(instance).filter(|member| member.directory == *directory)?;
    Some(Welcome {
        cluster_id: record.id,
        floor: Stamp { epoch: record.epoch, revision: record.revision },
        goal: goal(record, instance)?,
        secrets: record.secrets.clone(),
        peers: goals::peers(record),
    })
}
