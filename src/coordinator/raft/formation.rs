//! From an empty directory to a member: the group's first start, and the return of a directory that lost its log.
//!
//! A group is formed only when *every* machine listed answers that it is pristine, by the one whose name sorts first.
//! So a machine whose log was lost can never form a second group beside the first: somebody remembers, or nobody
//! answers, and then it waits. Whom it waits for is said in one line, when that changes.

use std::collections::BTreeMap;
use std::time::Duration;

use interrex_api::pb;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::time::{sleep, timeout};

use super::RaftNode;
use super::machine::Machine;
use super::network::why;
use super::types::Peer;
use super::wire;

/// Between two rounds of questions while something is missing.
const PAUSE: Duration = Duration::from_millis(200);
/// The leader answers once this machine votes.
const JOIN: Duration = Duration::from_secs(60);

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
}

/// Works until this node votes.
pub(crate) async fn form<M: Machine>(node: RaftNode<M>) {
    let me = node.raft_id();
    let mut asked = None;
    loop {
        if node.membership().voter_ids().any(|id| id == me) {
            node.inner.waiting.send_replace(None);
            return;
        }
        let answers = ask(&node).await;
        let outcome = match judge(&node, &answers) {
            Next::Initialise => initialise(&node, &answers).await,
            Next::Join(leader) => {
                // Told once for each leader: its refusals follow one another quickly, and are told as they change.
                if asked.as_ref() != Some(&leader) {
                    say(
                        &node,
                        format!("asking {leader} to count this directory's raft log among the voters"),
                    );
                }
                let outcome = join(&node, &leader).await;
                asked = Some(leader);
                if outcome.is_err() {
                    sleep(PAUSE).await;
                }
                outcome
            }
            Next::Wait(line) => Err(line),
        };
        if let Err(line) = outcome {
            say(&node, line);
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
    futures::future::join_all(asked).await.into_iter().collect()
}

fn judge<M: Machine>(node: &RaftNode<M>, answers: &Answers) -> Next {
    let config = &node.inner.config;
    let (me, pristine) = (&config.machine_name, node.inner.log.look(|c| c.pristine()));
    let heard: BTreeMap<&String, &pb::RaftIdentifyResponse> =
        answers.iter().filter_map(|(machine, a)| Some((machine, a.as_ref().ok()?))).collect();
    // Whoever has members knows a group; one that knows its leader knows best.
    if let Some(group) = heard.values().filter(|a| !a.members.is_empty()).max_by_key(|a| a.leader != 0) {
        return rejoin(me, node.raft_id(), group, &heard);
    }
    let missing: Vec<&str> = answers.values().filter_map(|a| Some(a.as_ref().err()?.as_str())).collect();
    if !missing.is_empty() {
        return Next::Wait(format!(
            "the group forms once all its machines answer; missing: {}",
            missing.join("; ")
        ));
    }
    let configured: Vec<&String> = config.group_members.keys().collect();
    if let Some((other, found)) =
        heard.iter().find(|(_, a)| !a.configured.iter().eq(configured.iter().copied()))
    {
        return Next::Wait(format!(
            "coordinator.members lists {configured:?} here and {:?} on {other}: make them equal",
            found.configured
        ));
    }
    if !pristine || heard.values().any(|a| !a.pristine) {
        return Next::Wait("the group is being formed; waiting for its first leader".to_owned());
    }
    match configured.first() {
        Some(first) if *first == me => Next::Initialise,
        Some(first) => Next::Wait(format!("every machine answers; waiting for {first} to form the group")),
        None => Next::Wait("coordinator.members lists no machine".to_owned()),
    }
}

/// `group` knows a group: is this machine one of it, and who could take it back?
fn rejoin(
    me: &str,
    my_id: u64,
    group: &pb::RaftIdentifyResponse,
    heard: &BTreeMap<&String, &pb::RaftIdentifyResponse>,
) -> Next {
    let members: Vec<(u64, Peer)> =
        group.members.iter().cloned().filter_map(|n| wire::node_in(n).ok()).collect();
    let machines: std::collections::BTreeSet<&str> =
        members.iter().map(|(_, p)| p.machine.as_str()).collect();
    if !machines.contains(me) {
        return Next::Wait(format!(
            "the group of {} does not list this machine: `interrex coordinator add {me} ADDRESS`",
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
        let group_id = getrandom::u64().map_err(|e| format!("draw a group id: {e}"))?.max(1);
        node.inner.log.save_group(group_id).await.map_err(|e| e.to_string())?;
    }
    let machines: Vec<&str> = config.group_members.keys().map(String::as_str).collect();
    tracing::info!(members = machines.join(", "), "raft: forming the group");
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
