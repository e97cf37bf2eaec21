//! The agents' side: registering, reporting, and the goals that come back.

use super::{CONFIRMATION, goals, unconfirmed};
use crate::core::{Core, NotDone};
use crate::lease::{self, Wish};
use crate::reports::Came;
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
use std::time::Duration;

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
        let known = record.instances.get(&request.registration.instance);
        if let Some(member) = known.filter(|known| known.directory == request.registration.directory) {
            // An old one would set an old address back.
            let came = Came { serial: request.serial, stale: Duration::ZERO, at: core.awake() };
            let (name, patience) = (&request.registration.instance, core.takeover_after());
            if !core.reports.hears(cluster, name, &member.directory, patience, came) {
                return Err(overtaken(name));
            }
        }
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
        let at = core.awake();
        // An agent that looks now and then is alive; one that has not looked for long has nothing fresh to tell.
        let stale = if request.age > core.policy.fresh { request.age } else { Duration::ZERO };
        let came = Came { serial: request.serial, stale, at };
        // Who is no member has nothing to testify; and memory is kept for members alone.
        if let Some(registered) = registered(core, cluster, &instance) {
            let patience = core.takeover_after();
            if !core.reports.take(cluster, report, &registered, patience, came) {
                return Err(overtaken(&instance));
            }
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

/// Nobody waits for this answer any more, unless an agent lost count of its starts: that one reads it in its log.
fn overtaken(instance: &InstanceName) -> Refused {
    Refused::Unavailable(format!(
        "a newer word of {instance}'s agent is known; if its data directory was put back, it is heard again after three \
         leases of silence"
    ))
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
