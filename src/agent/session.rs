//! The lines to the coordinators: registration, reports out, goals and leases in.
//!
//! Every coordinator is reported to, so that a new leader starts with warm reports: the one that leads at each look,
//! the others at each piece of news, and often enough for what they heard to be fresh. Reports are never queued: while
//! a call is under way newer ones replace one another, and the newest goes out next. A broken line means *unknown*; it
//! is tried again for ever. Nothing is decided here.

mod pace;

use self::pace::Due;
use crate::handle::Desk;
use crate::instance::lock;
use crate::switchboard::Switchboard;
use crate::told::{Granted, Outgoing, Told};
use crate::written::Written;
use interrex_api::client::{ClientError, SessionClient, Tried};
use interrex_api::session::{RegisterRequest, Registered, ReportRequest, WatchRequest, Welcome};
use interrex_cluster::command::Registration;
use interrex_cluster::ids::{ClusterName, Stamp};
use interrex_cluster::time::Instant;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

/// Between attempts at a line that broke.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Between looks at what a coordinator of another group says, while nothing is told of that group.
const OTHERS_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Between registrations that are told to wait.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The lines of one instance. Nothing is dialled before it is registered, or spoken for.
#[derive(Clone)]
pub struct Lines {
    switchboard: Switchboard,
    /// Made when first spoken to.
    clients: Arc<Mutex<BTreeMap<String, SessionClient>>>,
    cluster: ClusterName,
    /// Newest first-hand news for the coordinators.
    report: watch::Receiver<Option<Outgoing>>,
    /// Newest word of the coordinators.
    told: watch::Sender<Told>,
    grants: mpsc::Sender<Granted>,
    /// Where it is noted why it is not registered.
    desk: Option<Arc<Desk>>,
}

/// Where what an instance says goes in, and what it is told comes out.
#[derive(Debug)]
pub struct Ends {
    /// Newest word to the coordinators; absent before the first look.
    pub report: watch::Sender<Option<Outgoing>>,
    /// Newest word of the coordinators.
    pub told: watch::Receiver<Told>,
    /// Leases, as they come in.
    pub granted: mpsc::Receiver<Granted>,
}

impl Switchboard {
    /// Lines of one instance of `cluster` to each of the coordinators, as they come and go.
    pub fn lines(&self, cluster: ClusterName) -> (Lines, Ends) {
        let (report, to_tell) = watch::channel(None);
        let (to_hear, told) = watch::channel(Told::default());
        let (grants, granted) = mpsc::channel(16);
        let (switchboard, clients) = (self.clone(), Arc::default());
        let lines =
            Lines { switchboard, clients, cluster, report: to_tell, told: to_hear, grants, desk: None };
        (lines, Ends { report, told, granted })
    }
}

impl Lines {
    /// The same, which note there why it is not registered.
    pub(crate) fn noted_at(self, desk: Arc<Desk>) -> Self {
        Self { desk: Some(desk), ..self }
    }

    /// The client to one coordinator.
    fn client(&self, address: &str) -> Result<SessionClient, ClientError> {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(address) {
            return Ok(client.clone());
        }
        let client = self.switchboard.client(address)?;
        clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    /// Registers, through whichever coordinator answers, until it is a member: the first goal is told from then on. Logs
    /// once what it waits for. `obeyed`: the highest goal that was, as far as that is known.
    pub async fn register(&self, registration: Registration, obeyed: Option<Stamp>) -> Welcome {
        let mut logged = String::new();
        loop {
            let (mut waits, mut problem, mut unheard) = (None, None, Vec::new());
            for address in self.switchboard.coordinators.addresses() {
                // One that cannot be dialled at all is told where reports go out.
                let Ok(client) = self.client(&address) else { continue };
                let (cluster, registration) = (self.cluster.clone(), registration.clone());
                let serial = self.switchboard.serials.next();
                let request = RegisterRequest { cluster, registration, serial, obeyed };
                let answer = client.register(&request).await;
                if let Ok(answer) = &answer {
                    self.heed(answer).await;
                }
                let coordinators = &self.switchboard.coordinators;
                match answer {
                    Ok(answer) if coordinators.left(answer.group()) => {
                        problem =
                            Some(format!("{address} answers for a group of coordinators that was replaced"));
                    }
                    Ok(Registered::Welcome(welcome)) if !coordinators.counts(welcome.group) => {
                        problem = Some(format!(
                            "{address} answers for another group of coordinators, and that is not on disk yet"
                        ));
                    }
                    Ok(Registered::Welcome(welcome)) => {
                        let floor = welcome.floor;
                        tracing::info!(cluster = %self.cluster, %floor, "registered");
                        self.told.send_if_modified(|told| told.welcome(&welcome));
                        return *welcome;
                    }
                    // Another one may know better: this one's group may have been replaced.
                    Ok(Registered::Waiting { why, .. }) => waits = waits.or(Some(why)),
                    Err(error @ (ClientError::Refused { .. } | ClientError::Insecure { .. })) => {
                        problem = Some(error.to_string())
                    }
                    Err(ClientError::NoAnswer { tried }) => unheard.extend(tried),
                    Err(error) => problem = problem.or(Some(error.to_string())),
                }
            }
            let problem = waits.or(problem).or_else(|| self.nobody_answers(unheard));
            if let (Some(desk), Some(problem)) = (&self.desk, &problem) {
                desk.note(format!("not registered yet: {problem}"));
            }
            if let Some(problem) = problem.filter(|problem| *problem != logged) {
                let file = self.switchboard.written.file();
                tracing::warn!(cluster = %self.cluster, "{file}not registered yet: {problem}");
                logged = problem;
            }
            sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// A machine that starts before its neighbours have sees the same as one whose file names the wrong ones.
    fn nobody_answers(&self, tried: Vec<Tried>) -> Option<String> {
        let told = (!tried.is_empty()).then(|| ClientError::NoAnswer { tried }.to_string())?;
        let Written { file, coordinators_key } = &*self.switchboard.written;
        let way_out = format!("; start one of them, or correct key '{coordinators_key}'");
        Some(told + if file.is_some() { &way_out } else { "" })
    }

    /// Takes in whose word it is: one that lets this instance wait closes the way to the groups that its own replaced, which
    /// may still lead elsewhere, and would welcome it.
    async fn heed(&self, answer: &Registered) {
        let coordinators = &self.switchboard.coordinators;
        let writing = match answer {
            Registered::Welcome(welcome) => {
                welcome.roster.clone().and_then(|roster| coordinators.take(roster))
            }
            Registered::Waiting { roster, .. } => roster.clone().and_then(|roster| coordinators.hear(roster)),
        };
        if let Some(writing) = writing {
            // How it ended shows in what counts.
            let _ = writing.await;
        }
    }

    /// Everything after registration, for ever: reports, goals and leases on every line.
    pub async fn keep(self, watch: WatchRequest) {
        let line = |client: SessionClient| {
            let reports = self.clone().report_on(client.clone());
            let goals = self.clone().watch_on(client, watch.clone());
            async move {
                tokio::join!(reports, goals);
            }
        };
        self.open(line).await;
    }

    /// Reports alone, on every line, for ever: of an instance that cannot go on, and so has nothing to be told.
    pub(crate) async fn speak(self) {
        self.open(|client| self.clone().report_on(client)).await;
    }

    /// Keeps a line to each coordinator that there is, for ever.
    async fn open<F>(&self, line: impl Fn(SessionClient) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut changes = self.switchboard.coordinators.follow();
        // Its lines end with this future, however that ends.
        let mut lines = JoinSet::new();
        let mut open: BTreeMap<String, AbortHandle> = BTreeMap::new();
        loop {
            changes.mark_unchanged();
            let wanted = self.switchboard.coordinators.addresses();
            open.retain(|address, line| {
                let stays = wanted.contains(address);
                if !stays {
                    line.abort();
                }
                stays
            });
            for address in
                wanted.into_iter().filter(|address| !open.contains_key(address)).collect::<Vec<_>>()
            {
                match self.client(&address) {
                    Ok(client) => drop(open.insert(address, lines.spawn(line(client)))),
                    Err(error) => tracing::warn!("coordinator {address} cannot be reported to: {error}"),
                }
            }
            tokio::select! {
                _ = changes.changed() => {}
                Some(ended) = lines.join_next() => {
                    // A line never ends by itself, unless the instance is gone, and then this goes with it.
                    if let Some(panic) = ended.err().filter(JoinError::is_panic) {
                        std::panic::resume_unwind(panic.into_panic());
                    }
                }
            }
        }
    }

    async fn report_on(mut self, client: SessionClient) {
        let mut talks = Talk::new(client.address());
        let Switchboard { coordinators, serials, heartbeat, .. } = self.switchboard.clone();
        loop {
            let outgoing = self.report.borrow_and_update().clone();
            let mut due = Due::at_first(heartbeat);
            if let Some(Outgoing { report, wants_lease, seen }) = outgoing {
                // The lease counts from before the request left.
                let sent = self.switchboard.now();
                let (cluster, serial, age) = (self.cluster.clone(), serials.next(), sent.since(seen));
                let knows = coordinators.knows();
                let request = ReportRequest { cluster, report, wants_lease, serial, age, knows };
                match client.report(&request).await {
                    Ok(reported) => {
                        talks.well();
                        let leads = !reported.another_leads;
                        due = Due::after(heartbeat, &request.report, leads, request.wants_lease.is_some());
                        // A disk that stalls holds up no report and no lease.
                        match reported.roster {
                            Some(roster) => drop(coordinators.take(roster)),
                            None => drop(coordinators.settle()),
                        }
                        let counts = coordinators.counts(reported.group);
                        if let Some(lease) = reported.lease.filter(|_| counts) {
                            let _ = self.grants.send(Granted { lease, sent }).await;
                        }
                    }
                    Err(error) => {
                        talks.badly(&error);
                        let _ = timeout(AGAIN_AFTER, self.report.changed()).await;
                        continue;
                    }
                }
            }
            let news = timeout(due.within, due.news(&mut self.report)).await;
            if let Ok(Err(_)) = news {
                return; // the instance is gone
            }
        }
    }

    async fn watch_on(self, client: SessionClient, request: WatchRequest) {
        let mut changes = self.switchboard.coordinators.follow();
        let mut replaced = None;
        loop {
            changes.mark_unchanged();
            // The report's line logs what is wrong with this coordinator; one voice is enough.
            if let Some(group) = self.goals_of(&client, &request).await {
                if self.switchboard.coordinators.left(Some(group)) && replaced.replace(group) != Some(group) {
                    tracing::warn!(
                        address = client.address(),
                        "group {group:016x} was replaced: its goals and leases count for nothing; empty the directory \
                         'raft' of that coordinator, and add it to the present group (docs/coordinators.md)"
                    );
                }
                // Its leader's list is news to the report's line; then what it says is asked for once more.
                let _ = timeout(OTHERS_AGAIN_AFTER, changes.changed()).await;
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    /// Takes a coordinator's goals for as long as they come; gives the group that they came from, where it is not the one
    /// that this agent knows.
    async fn goals_of(&self, client: &SessionClient, request: &WatchRequest) -> Option<u64> {
        let mut updates = client.watch(request).await.ok()?;
        while let Ok(Some(update)) = updates.next().await {
            if !self.switchboard.coordinators.counts(update.group) {
                return update.group;
            }
            self.told.send_if_modified(|told| told.take(update));
        }
        None
    }
}

/// Now, on this machine's boot clock.
pub(crate) fn now() -> Instant {
    Instant(crate::process::boottime_now().as_ns() / 1_000_000)
}

/// Logs changes of a line, not attempts.
struct Talk {
    address: String,
    broken: Option<String>,
    /// The last refusal, by either side.
    refused: Option<String>,
}

impl Talk {
    fn new(address: &str) -> Self {
        Self { address: address.to_owned(), broken: None, refused: None }
    }

    fn well(&mut self) {
        self.refused = None;
        if self.broken.take().is_some() {
            tracing::info!(address = %self.address, "reports reach the coordinator again");
        }
    }

    fn badly(&mut self, error: &ClientError) {
        // A coordinator that is gone is one piece of news, however differently it shows; each refusal is another one.
        let refusal = matches!(error, ClientError::Refused { .. } | ClientError::Insecure { .. });
        let line = error.to_string();
        if self.broken.is_none() || (refusal && self.refused.as_ref() != Some(&line)) {
            tracing::warn!(address = %self.address, "a report did not reach the coordinator: {line}");
        }
        if refusal {
            self.refused = Some(line.clone());
        }
        self.broken = Some(line);
    }
}

#[cfg(test)]
mod scenes;
