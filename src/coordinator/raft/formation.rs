//! From an empty directory to a member: the group's first start, an operator's newcomer, and the return of a directory
//! that lost its log; and out again, for a member that was removed.
//!
//! A group is formed only when *every* machine listed answers that it is pristine, by the one whose name sorts first.
//! So a machine whose log was lost can never form a second group beside the first: somebody remembers, or nobody
//! answers, and then it waits. Whom it waits for is said in one line, when that changes. One that is to join never forms
//! a group. A voter that no leader calls any more asks the others whether it still belongs to them; one that does not
//! stands for no election and says what to do.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use interrex_api::pb;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::time::{Instant, sleep, timeout};

use super::RaftNode;
use super::machine::Machine;
use super::network::why;
use super::types::Peer;
use super::wire;

/// Between two rounds of questions while something is missing.
const PAUSE: Duration = Duration::from_millis(200);
/// Machines that are started together hear of one another within this; until then nobody is said to be missing.
const TOGETHER: Duration = Duration::from_secs(1);
/// The leader answers once this machine votes.
const JOIN: Duration = Duration::from_secs(60);

/// Between two looks of a voter at that, and of a removed one at whether it was taken in again.
const LOOK: Duration = Duration::from_secs(1);

type Answers = BTreeMap<String, Result<pb::RaftIdentifyResponse, String>>;

/// What one round of questions amounts to.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Every machine is pristine, and it is this one's part.
    Initialise,
    /// Ask this leader to be taken back.
    Join(Peer),
    /// Not yet, or not at all, in words.
    Wait(String),
    /// There is no group, and somebody has to do something about it, in words.
    Unformed(String),
    /// This machine has to be added to the group that there is first, in words.
    Outside(String),
}

/// Works until the node ends: into the group, and, once it was removed, quietly beside it.
pub(crate) async fn form<M: Machine>(node: RaftNode<M>) {
    let stopped = || node.inner.stopped.borrow().is_some();
    while !stopped() {
        come_to_vote(&node).await;
        let Some(line) = until_removed(&node).await else { return };
        let removed_at = index(&node);
        node.inner.raft.runtime_config().elect(false);
        tracing::warn!("raft: {line}");
        node.inner.outside.store(true, Relaxed);
        node.inner.waiting.send_replace(Some(line));
        while !(stopped() || (index(&node) > removed_at && listed(&node))) {
            sleep(LOOK).await;
        }
        node.inner.outside.store(false, Relaxed);
        node.inner.raft.runtime_config().elect(true);
    }
}

/// Where the present membership stands in the log.
fn index<M: Machine>(node: &RaftNode<M>) -> u64 {
    node.membership_at().map_or(0, |id| id.index())
}

fn listed<M: Machine>(node: &RaftNode<M>) -> bool {
    node.membership().get_node(&node.raft_id()).is_some()
}

/// Waits until this voter does not belong to the group any more, and says so in words; `None`: the node has stopped.
async fn until_removed<M: Machine>(node: &RaftNode<M>) -> Option<String> {
    loop {
        sleep(LOOK).await;
        if node.inner.stopped.borrow().is_some() {
            return None;
        }
        if node.in_touch() {
            continue;
        }
        if let Some(line) = node.removed().await {
            return Some(line);
        }
    }
}

impl<M: Machine> RaftNode<M> {
    /// Asks the others whether this node still belongs to them; why not, in words. `None`: nobody who answers knows
    /// better.
    pub async fn removed(&self) -> Option<String> {
        let me = &self.inner.config.machine_name;
        let (group, own) = (self.group_id(), index(self));
        let answers = ask(self).await;
        // Who knows a newer membership than this log, or the very one that this log ends with, and is led.
        let knows_better = |a: &&pb::RaftIdentifyResponse| {
            let lists_me = a.members.iter().any(|member| member.raft_id == self.raft_id());
            a.group_id == group
                && a.leader != 0
                && !lists_me
                && (a.membership_index > own || (a.membership_index == own && !listed(self)))
        };
        let witness = answers.values().filter_map(|answer| answer.as_ref().ok()).find(knows_better)?;
        Some(format!(
            "{me} was removed from the group of {}: it votes no more and stands for no election; stop this node, or \
             take [coordinator] out of its file; to take it in again: `interrex coordinator add {me}={}`",
            witness.machine, self.inner.config.advertise
        ))
    }
}

/// Works until this node votes.
async fn come_to_vote<M: Machine>(node: &RaftNode<M>) {
    let (me, since) = (node.raft_id(), Instant::now());
    let mut asked = None;
    loop {
        if node.membership().voter_ids().any(|id| id == me) {
            node.inner.outside.store(false, Relaxed);
            node.inner.unformed.store(false, Relaxed);
            node.inner.waiting.send_replace(None);
            return;
        }
        let answers = ask(node).await;
        let next = judge(node, &answers);
        node.inner.outside.store(matches!(next, Next::Outside(_)), Relaxed);
        let unformed = matches!(next, Next::Unformed(_)) && since.elapsed() >= TOGETHER;
        node.inner.unformed.store(unformed, Relaxed);
        let outcome = match next {
            Next::Initialise => initialise(node, &answers).await,
            Next::Join(leader) => {
                // Told once for each leader: its refusals follow one another quickly, and are told as they change.
                if asked.as_ref() != Some(&leader) {
                    say(node, format!("asking {leader} to count this directory's raft log among the voters"));
                }
                let outcome = join(node, &leader).await;
                asked = Some(leader);
                if outcome.is_err() {
                    sleep(PAUSE).await;
                }
                outcome
            }
            Next::Wait(line) | Next::Unformed(line) | Next::Outside(line) => Err(line),
        };
        if let Err(line) = outcome {
            say(node, line);
        }
        let mut metrics = node.inner.raft.metrics();
        // Either somebody called (a leader, a candidate), or it is time to ask again.
        drop(timeout(PAUSE, metrics.changed()).await);
        if node.inner.stopped.borrow().is_some() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn say<M: Machine>(node: &RaftNode<M>, line: String) {
    node.inner.waiting.send_if_modified(|before| {
        let new = before.as_ref() != Some(&line);
        if new {
            tracing::info!("raft: {line}");
            *before = Some(line);
        }
        new
    });
}

async fn ask<M: Machine>(node: &RaftNode<M>) -> Answers {
    let config = &node.inner.config;
    let mut peers: BTreeMap<String, String> = config.group_members.clone();
    peers.extend(node.members().into_iter().map(|m| (m.machine, m.addr)));
    peers.remove(&config.machine_name);
    let asked = peers.into_iter().map(|(machine, addr)| async move {
        let answer = node.identify(&Peer { machine: machine.clone(), addr: addr.clone() }).await;
        let answer =
            answer.map_err(|why| format!("{machine} at {addr}: {why}")).and_then(|found| {
                match found.machine == machine {
                    true => Ok(found),
                    false => Err(format!("{machine} at {addr}: {} answers there", found.machine)),
                }
            });
        (machine, answer)
    });
    let answers: Answers = futures::future::join_all(asked).await.into_iter().collect();
    // Whoever answered proved its name; whom it names as a member is believed on its word.
    let named = answers.values().filter_map(|a| a.as_ref().ok()).flat_map(|a| &a.members);
    let named = named.filter_map(|member| Some(member.peer.as_ref()?.machine.clone()));
    node.inner.vouched.lock().unwrap_or_else(PoisonError::into_inner).extend(named);
    answers
}

fn judge<M: Machine>(node: &RaftNode<M>, answers: &Answers) -> Next {
    let config = &node.inner.config;
    let (me, pristine) = (&config.machine_name, node.inner.log.look(|c| c.pristine()));
    let heard: BTreeMap<&String, &pb::RaftIdentifyResponse> =
        answers.iter().filter_map(|(machine, a)| Some((machine, a.as_ref().ok()?))).collect();
    // Whoever has members knows a group; one that knows its leader knows best.
    if let Some(group) = heard.values().filter(|a| !a.members.is_empty()).max_by_key(|a| a.leader != 0) {
        return rejoin((me, &config.advertise), node.raft_id(), group, &heard);
    }
    if config.join && pristine {
        let unheard: Vec<&str> = answers.values().filter_map(|a| Some(a.as_ref().err()?.as_str())).collect();
        let unheard =
            if unheard.is_empty() { "none of them belongs to one".to_owned() } else { unheard.join("; ") };
        return Next::Outside(format!(
            "join = true, but no member of a group answers: {unheard}; start its members, or correct {}",
            config.members_key
        ));
    }
    let missing: Vec<&str> = answers.values().filter_map(|a| Some(a.as_ref().err()?.as_str())).collect();
    if !missing.is_empty() {
        return Next::Unformed(format!(
            "the group forms once all its machines answer; missing: {}; start them, or correct {}",
            missing.join("; "),
            config.members_key
        ));
    }
    let configured: Vec<&String> = config.group_members.keys().collect();
    if let Some((other, found)) =
        heard.iter().find(|(_, a)| !a.configured.iter().eq(configured.iter().copied()))
    {
        return Next::Unformed(format!(
            "{} lists {configured:?} here and {:?} on {other}: make them equal",
            config.members_key, found.configured
        ));
    }
    if !pristine || heard.values().any(|a| !a.pristine) {
        return Next::Wait("the group is being formed; waiting for its first leader".to_owned());
    }
    match configured.first() {
        Some(first) if *first == me => Next::Initialise,
        Some(first) => Next::Wait(format!("every machine answers; waiting for {first} to form the group")),
        None => Next::Unformed(format!("{} lists no machine", config.members_key)),
    }
}

/// `group` knows a group: is this machine one of it, and who could take it back?
fn rejoin(
    (me, at): (&str, &str),
    my_id: u64,
    group: &pb::RaftIdentifyResponse,
    heard: &BTreeMap<&String, &pb::RaftIdentifyResponse>,
) -> Next {
    let members: Vec<(u64, Peer)> =
        group.members.iter().cloned().filter_map(|n| wire::node_in(n).ok()).collect();
    let machines: std::collections::BTreeSet<&str> =
        members.iter().map(|(_, p)| p.machine.as_str()).collect();
    if !machines.contains(me) {
        return Next::Outside(format!(
            "the group of {} does not list this machine, {me}: `interrex coordinator add {me}={at}`",
            group.machine
        ));
    }
    let listed = |machine: &str, id: u64| members.iter().any(|(i, p)| *i == id && p.machine == machine);
    let mut lost: Vec<&str> = heard
        .iter()
        .filter(|(machine, a)| machines.contains(machine.as_str()) && !listed(machine, a.raft_id))
        .map(|(machine, _)| machine.as_str())
        .collect();
    if !listed(me, my_id) {
        lost.push(me);
    }
    if 2 * lost.len() >= machines.len() && machines.len() > 1 {
        lost.sort_unstable();
        return Next::Wait(format!(
            "the raft logs of {} are gone, which is no minority of {}: no quorum is left to take them back; bring \
             one of the old directories back, or see `interrex coordinator recover`",
            lost.join(", "),
            machines.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    match members.iter().find(|(id, _)| *id == group.leader) {
        Some((_, leader)) if leader.machine != me => Next::Join(leader.clone()),
        _ => Next::Wait(format!("the group of {} has no leader at the moment", group.machine)),
    }
}

async fn initialise<M: Machine>(node: &RaftNode<M>, answers: &Answers) -> Result<(), String> {
    let config = &node.inner.config;
    let mut members: BTreeMap<u64, Peer> = BTreeMap::new();
    for (machine, addr) in &config.group_members {
        let id = match answers.get(machine) {
            Some(Ok(found)) => found.raft_id,
            Some(Err(why)) => return Err(why.clone()),
            None => node.raft_id(),
        };
        members.insert(id, Peer { machine: machine.clone(), addr: addr.clone() });
    }
    if node.inner.log.look(|c| c.start.group_id) == 0 {
        let group_id = config.rng.number().map_err(|e| format!("draw a group id: {e}"))?.max(1);
        node.inner.log.save_group(group_id, Vec::new()).await.map_err(|e| e.to_string())?;
    }
    let machines: Vec<&str> = config.group_members.keys().map(String::as_str).collect();
    tracing::info!(machines = machines.join(", "), "raft: forming the group");
    node.inner.raft.initialize(members).await.map_err(|e| format!("form the group: {e}"))
}

async fn join<M: Machine>(node: &RaftNode<M>, leader: &Peer) -> Result<(), String> {
    let config = &node.inner.config;
    let mut client = node.inner.peers.client(leader).map_err(|e| e.to_string())?;
    let request = pb::RaftJoinRequest {
        machine: config.machine_name.clone(),
        addr: config.advertise.clone(),
        raft_id: node.raft_id(),
    };
    match timeout(JOIN, client.join(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(format!("{leader} does not take this raft log in yet: {}", why(&status))),
        Err(_) => Err(format!("{leader} has not taken this raft log in within {} s", JOIN.as_secs())),
    }
}
