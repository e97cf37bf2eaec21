//! A change of the commit rule, held at each of its steps in turn, and struck there: the primary's agent dies, its
//! postmaster, the leading coordinator, its whole machine. Each time the step is proved to be the one that is meant;
//! afterwards the rule moves on, and nothing that was acknowledged is lost.
//!
//! What holds a step is a process that is stopped: the postmaster, a walsender, the checkpointer, every coordinator. The
//! coordinators are apart, so that a machine of PostgreSQL may die without taking a vote along.

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

/// Each step is struck twice, and each strike falls two or three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_change_is_struck_at_each_of_its_steps() {
    struck_at(&[
        (Step::Recorded, Strike::Agent),
        (Step::Reloaded, Strike::Machine),
        (Step::Walsender, Strike::Postmaster),
        (Step::Checkpointer, Strike::Leader),
        (Step::Proved, Strike::Agent),
        (Step::Recorded, Strike::Machine),
        (Step::Reloaded, Strike::Leader),
        (Step::Walsender, Strike::Agent),
        (Step::Checkpointer, Strike::Postmaster),
        (Step::Proved, Strike::Machine),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes: cargo test --test it -- --ignored by_everything"]
async fn a_rule_change_is_struck_at_each_of_its_steps_by_everything_that_can_die() {
    let all: Vec<_> = STEPS.into_iter().flat_map(|step| STRIKES.map(|strike| (step, strike))).collect();
    struck_at(&all).await;
}

async fn struck_at(rounds: &[(Step, Strike)]) {
    let mut town = Town::of_agents_and_coordinators(&["n1", "n2", "n3"], &COORDINATORS).await;
    town.machines.iter_mut().for_each(Machine::start);
    town.healthy("a cluster from nothing").await;
    // Whoever is stopped is held there: neither failed over as hung, nor taken out of the rule.
    set(&town, &["hung_after=60s", "leaves_after=30s"]).await;
    let writer = Writer::start(&town).await;
    let mut acks = 1;
    for (step, strike) in rounds {
        // The checkpointer matters where commits waited for nobody before; elsewhere the rule changes both ways.
        acks = match step {
            Step::Checkpointer => {
                set(&town, &["acks=0"]).await;
                in_force(&town, 0).await;
                1
            }
            _ if acks == 1 => 2,
            _ => 1,
        };
        Round { step: *step, acks }.play(&mut town, *strike).await;
        in_force(&town, acks).await;
        writer.acknowledged(&town, 20).await;
    }
    writer.verdict(&town).await;
}

async fn set(town: &Town, changes: &[&str]) {
    let answer = town.ctl(&[&["set", CLUSTER], changes].concat()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// Waits until commits wait for so many, by the one rule that is left; where they wait for anybody, until all is well.
async fn in_force(town: &Town, acks: u32) {
    let text = format!("waits for {acks} of ");
    let waits = |s: &ClusterStatus| healthy(s) && s.rules.iter().all(|rule| rule.contains(&text));
    let nobody = |s: &ClusterStatus| s.open && asynchronous(s) && !changing(s);
    let holds = |s: &ClusterStatus| if acks == 0 { nobody(s) } else { waits(s) };
    let status = town.until(&format!("the rule with acks = {acks} to be the only one"), holds).await;
    if acks == 0 {
        // The record has it first, and PostgreSQL under a lease that was asked for after that.
        let p = primary(&status);
        town.eventually("PostgreSQL to wait for nobody", async || {
            town.sql(&p, SHOW).await.ok().filter(|shown| shown.concat().is_empty())
        })
        .await;
    }
}

/// One change, held at one step.
struct Round {
    step: Step,
    /// What it changes to.
    acks: u32,
}

impl Round {
    async fn play(&self, town: &mut Town, strike: Strike) {
        eprintln!("acks = {}, {:?}: {strike:?}", self.acks, self.step);
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
        set(town, &[&format!("acks={}", self.acks)]).await;
        town.until("the changed rule to be in the record, beside the old one", changing).await;
        let new = format!("ANY {} (", self.acks);
        if let Step::Recorded = self.step {
            let shown: String = sqlx::query_scalar(SHOW).fetch_one(&mut witness).await.unwrap();
            assert!(!shown.starts_with(&new), "PostgreSQL has not heard: {shown}");
            return held;
        }
        town.eventually("a fresh connection to show the new setting", async || {
            town.sql(p, SHOW).await.ok().filter(|shown| shown.concat().starts_with(&new))
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
