//! A change of the commit rule, held at each of its steps in turn, and struck there: the primary's agent dies, its
//! postmaster, the leading coordinator, its whole machine. Each time the step is proved to be the one that is meant;
//! afterwards the rule moves on, and nothing that was acknowledged is lost. It changes to more and to fewer who must
//! acknowledge, to nobody and back, and, with every standby dead, between writes that wait and writes that go on alone.
//!
//! What holds a step is a process that is stopped: the postmaster, a walsender, the checkpointer, every coordinator. The
//! coordinators are apart, so that a machine of PostgreSQL may die without taking a vote along.

use crate::set_rule::a_write_waits;
use crate::support::{CLUSTER, Machine, Process, Town, Writer, asynchronous, changing, healthy, primary};
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;

const COORDINATORS: [&str; 3] = ["n4", "n5", "n6"];
const STEPS: [Step; 5] = [Step::Recorded, Step::Reloaded, Step::Walsender, Step::Checkpointer, Step::Proved];
const STRIKES: [Strike; 4] = [Strike::Agent, Strike::Postmaster, Strike::Leader, Strike::Machine];
const SHOW: &str = "show synchronous_standby_names";

/// How far the change has come.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The record lists the joint rule, and PostgreSQL has heard of nothing.
    Recorded,
    /// A fresh connection shows the new setting, and a walsender has not come by it.
    Reloaded,
    /// The agent waits for the checkpointer, which is what lets commits wait at all.
    Checkpointer,
    /// The agent's patience with a walsender is over: it was told to end, and has not.
    Walsender,
    /// The primary proved the rule, and no coordinator has heard of it.
    Proved,
}

/// Who dies there.
#[derive(Debug, Clone, Copy)]
enum Strike {
    Agent,
    Postmaster,
    Leader,
    Machine,
}

/// Each step is struck twice or three times, and so falls each strike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_change_is_struck_at_each_of_its_steps() {
    let rounds = [
        (2, Step::Recorded, Strike::Agent),
        (1, Step::Reloaded, Strike::Machine),
        (2, Step::Walsender, Strike::Postmaster),
        (0, Step::Reloaded, Strike::Agent),
        (1, Step::Checkpointer, Strike::Leader),
        (2, Step::Proved, Strike::Agent),
        (1, Step::Recorded, Strike::Machine),
        (2, Step::Reloaded, Strike::Leader),
        (1, Step::Walsender, Strike::Agent),
        (0, Step::Recorded, Strike::Postmaster),
        (1, Step::Checkpointer, Strike::Postmaster),
        (2, Step::Proved, Strike::Machine),
    ];
    struck_at(&rounds, &[(Strike::Agent, Strike::Postmaster)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes five minutes: cargo test --test it -- --ignored by_everything"]
async fn a_rule_change_is_struck_at_each_of_its_steps_by_everything_that_can_die() {
    let all = || STEPS.into_iter().flat_map(|step| STRIKES.map(|strike| (step, strike)));
    let mut rounds = Vec::new();
    let mut acks = 1;
    for (step, strike) in all() {
        // The checkpointer matters where commits waited for nobody before.
        acks = if matches!(step, Step::Checkpointer) || acks == 2 { 1 } else { 2 };
        rounds.push((acks, step, strike));
    }
    // To nobody, and back by way of the checkpointer: who is asked for it is dead by then or not.
    for (step, strike) in all().filter(|(step, _)| !matches!(step, Step::Checkpointer)) {
        rounds.extend([(0, step, strike), (1, Step::Checkpointer, strike)]);
    }
    let next = STRIKES.into_iter().cycle().skip(1);
    struck_at(&rounds, &STRIKES.into_iter().zip(next).collect::<Vec<_>>()).await;
}

/// `rounds`: how many must acknowledge from then on, where that is held, and what strikes there. `alone`: what strikes where
/// writes are let go on alone, and where they are to wait again.
async fn struck_at(rounds: &[(u32, Step, Strike)], alone: &[(Strike, Strike)]) {
    let mut town = Town::of_agents_and_coordinators(&["n1", "n2", "n3"], &COORDINATORS).await;
    town.machines.iter_mut().for_each(Machine::start);
    town.healthy("a cluster from nothing").await;
    // Whoever is stopped is held there: neither failed over as hung, nor taken out of the rule.
    set(&town, &["hung_after=60s", "leaves_after=30s"]).await;
    let writer = Writer::start(&town).await;
    let mut acks = 1;
    for (to, step, strike) in rounds {
        if matches!(step, Step::Checkpointer) && acks != 0 {
            set(&town, &["acks=0"]).await;
            in_force(&town, 0).await;
        }
        acks = *to;
        Round { step: *step, change: format!("acks={acks}"), shown: shown(acks) }
            .play(&mut town, *strike)
            .await;
        in_force(&town, acks).await;
        writer.acknowledged(&town, 20).await;
    }
    if !alone.is_empty() {
        // Longer than the last word of a dead machine is believed: or it would pass for one that is only cut off.
        set(&town, &["acks=1", "alone_after=2s", "when_alone=block"]).await;
        in_force(&town, 1).await;
    }
    for (goes_on, waits) in alone {
        alone_and_back(&mut town, &writer, *goes_on, *waits).await;
    }
    writer.verdict(&town).await;
}

/// Every standby dies, and writes wait. They are let go on alone, and are to wait again; each is struck when it is in the
/// record, and PostgreSQL has heard of nothing. The standbys come back.
async fn alone_and_back(town: &mut Town, writer: &Writer, goes_on: Strike, waits: Strike) {
    let p = primary(&town.status().await.expect("a cluster at rest answers"));
    let standbys: Vec<&str> = ["n1", "n2", "n3"].into_iter().filter(|name| *name != p).collect();
    for name in &standbys {
        town.machine(name).kill();
    }
    let says_so = |s: &ClusterStatus| {
        let alone = s.problems.iter().find(|problem| problem.code == "alone");
        alone.is_some_and(|problem| problem.evidence.iter().any(|line| line.contains("writes wait")))
    };
    town.until("the status to say that writes wait", says_so).await;
    a_write_waits(town, &p).await;

    let round = |when_alone: &str, acks| Round {
        step: Step::Recorded,
        change: format!("when_alone={when_alone}"),
        shown: shown(acks),
    };
    round("continue", 0).play(town, goes_on).await;
    in_force(town, 0).await;
    writer.acknowledged(town, 20).await;
    round("block", 1).play(town, waits).await;
    // A server that was ended is elected anew, and lets nobody in before its first commit has come back.
    if matches!(waits, Strike::Agent | Strike::Leader) {
        town.until("the status to say that writes wait again", says_so).await;
        a_write_waits(town, &p).await;
    }
    standbys.iter().for_each(|name| town.machine(name).start());
    in_force(town, 1).await;
    writer.acknowledged(town, 20).await;
}

/// What PostgreSQL shows once so many must acknowledge begins with this.
fn shown(acks: u32) -> String {
    if acks == 0 { String::new() } else { format!("ANY {acks} (") }
}

async fn set(town: &Town, changes: &[&str]) {
    let answer = town.ctl(&[&["set", CLUSTER], changes].concat()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// Waits until commits wait for so many, by the one rule that is left; where they wait for anybody, until all is well.
async fn in_force(town: &Town, acks: u32) {
    if acks == 0 {
        return nobody(town).await;
    }
    let text = format!("waits for {acks} of ");
    let waits = |s: &ClusterStatus| healthy(s) && s.rules.iter().all(|rule| rule.contains(&text));
    town.until(&format!("the rule with acks = {acks} to be the only one"), waits).await;
}

/// Waits until commits wait for nobody: the record has it first, and PostgreSQL under a lease that was asked for after that.
/// Whoever is primary meanwhile may just have died.
async fn nobody(town: &Town) {
    town.eventually("commits to wait for nobody", async || {
        let status = town.status().await.filter(|s| s.open && asynchronous(s) && !changing(s))?;
        town.sql(&primary(&status), SHOW).await.ok().filter(|shown| shown.concat().is_empty())
    })
    .await;
}

/// One change, held at one step.
struct Round {
    step: Step,
    /// What the operator sets.
    change: String,
    /// What PostgreSQL shows then begins with this; empty: it shows nothing.
    shown: String,
}

impl Round {
    async fn play(&self, town: &mut Town, strike: Strike) {
        eprintln!("{}, {:?}: {strike:?}", self.change, self.step);
        let p = primary(&town.status().await.expect("a cluster at rest answers"));
        let leader = town.leader().await;
        let held = self.hold(town, &p).await;
        match strike {
            Strike::Agent => town.machine(&p).kill_node(),
            Strike::Postmaster => town.machine(&p).postmaster().expect("it runs").signal(Signal::KILL),
            Strike::Leader => town.machine(&leader).kill_node(),
            Strike::Machine => drop(town.machine(&p).kill()),
        }
        match strike {
            // Whoever cleans up after a postmaster ends the others, stopped or not.
            Strike::Postmaster => held.iter().filter(|one| one.command.contains(" node ")).for_each(go_on),
            Strike::Agent | Strike::Leader | Strike::Machine => held.iter().for_each(go_on),
        }
        match strike {
            Strike::Agent | Strike::Machine => town.machine(&p).start(),
            Strike::Leader => town.machine(&leader).start(),
            Strike::Postmaster => {}
        }
    }

    /// Brings the change to its step, and gives what is stopped to hold it there.
    async fn hold(&self, town: &Town, p: &str) -> Vec<Process> {
        let mut witness = town.connect(p).await.expect("the primary lets the application in");
        let proved = proofs(town, p);
        let held = match self.step {
            Step::Recorded => vec![of(town, p).postmaster().expect("PostgreSQL runs")],
            Step::Checkpointer => of(town, p).backends("checkpointer"),
            Step::Reloaded | Step::Walsender | Step::Proved => of(town, p).backends("walsender").split_off(1),
        };
        assert_eq!(held.len(), 1, "{held:#?}");
        held.iter().for_each(|process| process.signal(Signal::STOP));
        set(town, &[&self.change]).await;
        town.until("the changed rule to be in the record, beside the old one", changing).await;
        let new = |shown: &str| shown.starts_with(&self.shown) && shown.is_empty() == self.shown.is_empty();
        if let Step::Recorded = self.step {
            let shown: String = sqlx::query_scalar(SHOW).fetch_one(&mut witness).await.unwrap();
            assert!(!new(&shown), "PostgreSQL has not heard: {shown}");
            return held;
        }
        town.eventually("a fresh connection to show the new setting", async || {
            town.sql(p, SHOW).await.ok().filter(|shown| new(&shown.concat()))
        })
        .await;
        match self.step {
            Step::Recorded | Step::Reloaded => {}
            Step::Checkpointer => {
                let asks = async || (!of(town, p).backends("CHECKPOINT").is_empty()).then_some(());
                town.eventually("the agent to wait for a checkpoint", asks).await;
            }
            Step::Walsender => {
                let told = async || held[0].is_told_to_end().then_some(());
                town.eventually("the walsender to be told to end", told).await;
            }
            Step::Proved => {
                let coordinators: Vec<Process> =
                    COORDINATORS.iter().map(|name| of(town, name).node()).collect();
                coordinators.iter().for_each(|one| one.signal(Signal::STOP));
                held.iter().for_each(go_on);
                let told = async || (proofs(town, p) > proved).then_some(());
                town.eventually("the primary to prove the rule", told).await;
                return coordinators;
            }
        }
        assert_eq!(proofs(town, p), proved, "nothing is proved yet");
        held
    }
}

fn of<'a>(town: &'a Town, machine: &str) -> &'a Machine {
    town.machines.iter().find(|one| one.name == machine).expect("a machine of the town")
}

fn go_on(process: &Process) {
    process.signal(Signal::CONT);
}

/// How often the machine's agent said that it had proved a rule.
fn proofs(town: &Town, machine: &str) -> usize {
    of(town, machine).log().matches("the commit rule is in force").count()
}
