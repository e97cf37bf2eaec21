//! The agents' side: registering, reporting, and the goals that come back.

use super::{CONFIRMATION, goals, unconfirmed};
use crate::core::{Core, NotDone};
use crate::lease::{self, Wish};
use crate::reports::Came;
use interrex_api::refused::Refused;
use interrex_api::serve::{Answers, Caller, SessionHandler};
use interrex_api::session::{
    GoalUpdate, RegisterRequest, Registered, ReportRequest, Reported, Roster, WatchRequest, Welcome,
};
use interrex_cluster::command::{Command, Registration};
use interrex_cluster::goal::goal;
use interrex_cluster::ids::{ClusterName, DirectoryId, Incarnation, InstanceName, MachineName};
use interrex_cluster::record::Cluster;
use interrex_cluster::wal::Position;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Answers agents.
pub(crate) struct Session {
    core: Arc<Core>,
    /// TLS is on: a machine speaks for itself alone.
    guarded: bool,
    /// The refusal logged last: each is logged once, not at each report.
    refused: Mutex<String>,
}

impl Session {
    pub(crate) fn new(core: Arc<Core>, guarded: bool) -> Self {
        Self { core, guarded, refused: Mutex::default() }
    }

    /// Whether the caller is the machine that it speaks for, by its certificate.
    fn is(&self, caller: &Caller, machine: &MachineName) -> Result<(), Refused> {
        if !self.guarded || caller.proof.names().is_some_and(|names| names.has(machine.as_str())) {
            return Ok(());
        }
        let shown = caller.proof.names().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        let line = format!(
            "machine {machine} was spoken for with a certificate for {shown}: only the certificate of {machine} may; \
             correct 'name' or [tls] in the node file"
        );
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if *refused != line {
            tracing::warn!(
                address = caller.remote.map(tracing::field::display),
                "an agent was refused: {line}"
            );
            refused.clone_from(&line);
        }
        Err(Refused::Forbidden(line))
    }
}

#[tonic::async_trait]
impl SessionHandler for Session {
    /// The answer's floor is what the agent obeys nothing below, so it must not be older than any goal that was ever
    /// given: leadership is confirmed first, and the record read after.
    async fn register(&self, caller: Caller, request: RegisterRequest) -> Result<Registered, Refused> {
        let core = &*self.core;
        self.is(&caller, &request.registration.machine)?;
        core.node.confirm_leadership(CONFIRMATION).await.map_err(unconfirmed)?;
        let cluster = &request.cluster;
        let waiting = |why| Ok(Registered::Waiting { why, roster: core.roster(None) });
        let Some(record) = core.node.read(|records| records.cluster(cluster).cloned()) else {
            return waiting(format!(
                "key 'instance.cluster': cluster {cluster} does not exist yet: create it with: interrex create {cluster} \
                 --instances 3; or correct its name"
            ));
        };
        let known = record.instances.get(&request.registration.instance);
        if let Some(known) = known {
            // A name is taken over by its own machine only: what it is welcomed with are the roles' passwords.
            self.is(&caller, &known.machine)?;
        }
        let own = known.filter(|known| known.directory == request.registration.directory);
        if let Some(member) = own {
            // An old one would set an old address back.
            let came = Came { serial: request.serial, stale: Duration::ZERO, at: core.awake() };
            let (name, patience) = (&request.registration.instance, core.takeover_after());
            if !core.reports.hears(cluster, name, &member.directory, patience, came) {
                return Err(overtaken(name));
            }
            core.trust.asks(cluster, name, request.obeyed);
        }
        let registration =
            Registration { replaces: replaced(core, &record, &request.registration), ..request.registration };
        let (instance, directory) = (registration.instance.clone(), registration.directory.clone());
        let answer = core.propose(cluster, Command::Register(registration.clone())).await;
        let turned = if let Err(NotDone::Rejected(why)) = &answer { Some(why.as_str()) } else { None };
        core.turned_away.answered(cluster, &registration, turned, core.now());
        if own.is_some() {
            core.trust.answered(cluster, &instance, request.obeyed, turned.is_some());
        }
        match answer {
            Ok(_) => {}
            Err(NotDone::Rejected(why)) => return waiting(why),
            Err(why) => return Err(why.into()),
        }
        let told = core.reports.highest(cluster, &instance);
        let by = (core.group(), core.roster(None));
        let welcome = |record: &Cluster| welcome(record, &instance, &directory, told, by);
        match core.node.read(|records| welcome(records.cluster(cluster)?)) {
            Some(welcome) => Ok(Registered::Welcome(Box::new(welcome))),
            None => {
                Err(Refused::Unavailable(format!("{instance} was replaced while it registered: ask again")))
            }
        }
    }

    async fn report(&self, caller: Caller, request: ReportRequest) -> Result<Reported, Refused> {
        let core = &*self.core;
        let (cluster, report) = (&request.cluster, request.report);
        let (instance, directory) = (report.instance.clone(), report.directory.clone());
        let at = core.awake();
        // An agent that looks now and then is alive; one that has not looked for long has nothing fresh to tell.
        let stale = if request.age > core.policy.fresh { request.age } else { Duration::ZERO };
        let came = Came { serial: request.serial, stale, at };
        // Who is no member has nothing to testify; and memory is kept for members alone.
        let member = registered(core, cluster, &instance);
        if let Some((registered, machine)) = &member {
            self.is(&caller, machine)?;
            let patience = core.takeover_after();
            if !core.reports.take(cluster, report, registered, patience, came) {
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
        // Whoever takes another group's list leaves its own for good: that is for those whom the record knows.
        let known = member.is_some_and(|(registered, _)| registered == directory);
        let same = |roster: &Roster| request.knows.is_none_or(|knows| knows.group == roster.id.group);
        let roster = core.roster(request.knows).filter(|roster| known || same(roster));
        let leader = core.leader();
        let another_leads = leader.as_ref().is_some_and(|leader| leader.machine != core.machine);
        Ok(Reported { leader, lease, roster, group: core.group(), another_leads })
    }

    async fn watch(&self, caller: Caller, request: WatchRequest) -> Result<Answers<GoalUpdate>, Refused> {
        if let Some((_, machine)) = registered(&self.core, &request.cluster, &request.instance) {
            self.is(&caller, &machine)?;
        }
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

/// The directory that a member registered, and its machine.
fn registered(
    core: &Core,
    cluster: &ClusterName,
    instance: &InstanceName,
) -> Option<(DirectoryId, MachineName)> {
    core.node.read(|records| {
        let member = records.cluster(cluster)?.instances.get(instance)?;
        Some((member.directory.clone(), member.machine.clone()))
    })
}

/// The directory whose name this one takes over: only one that this leader itself has not heard for three leases.
fn replaced(core: &Core, record: &Cluster, new: &Registration) -> Option<DirectoryId> {
    let known = record.instances.get(&new.instance).filter(|known| known.directory != new.directory)?;
    let look = core.look(&record.name)?;
    let silence = look.view().silence(&new.instance);
    (silence >= core.takeover_after()).then(|| known.directory.clone())
}

fn welcome(
    record: &Cluster,
    instance: &InstanceName,
    directory: &DirectoryId,
    told: Option<(Incarnation, Position)>,
    (group, roster): (Option<u64>, Option<Roster>),
) -> Option<Welcome> {
    let member = record.instances.get(instance).filter(|member| member.directory == *directory)?;
    let told = told.filter(|(incarnation, _)| *incarnation == member.incarnation);
    Some(Welcome {
        told: told.and_then(|(incarnation, position)| Some((incarnation, record.on_line(position)?))),
        cluster_id: record.id,
        floor: record.stamp(),
        goal: goal(record, instance)?,
        secrets: record.secrets.clone(),
        peers: goals::peers(record),
        group,
        roster,
    })
}
