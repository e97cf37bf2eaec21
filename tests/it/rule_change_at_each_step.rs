//! A change of the commit rule, held at each of its steps in turn, and struck there: the primary's agent dies, its
//! postmaster, the leading coordinator, its whole machine. Each time the step is proved to be the one that is meant;
//! afterwards the rule moves on, and nothing that was acknowledged is lost. It changes to more and to fewer who must
//! acknowledge, to nobody and back, and, with every standby dead, between writes that wait and writes that go on alone; and
//! by an instance that comes, and one that leaves for good.
//!
//! `make test-strikes` strikes each step of each change by everything that can die, which takes ten minutes.
//!
//! What holds a step is a process that is stopped: the postmaster, a walsender, the checkpointer, every coordinator. The
//! coordinators are apart, so that a machine of PostgreSQL may die without taking a vote along.

use crate::set_rule::a_write_waits;
use crate::support::{CLUSTER, Machine, Process, Town, Writer, asynchronous, changing, healthy, primary};
use interrex_cluster::ids::InstanceName;
use interrex_cluster::status::ClusterStatus;
use rustix::process::Signal;
use std::fmt;

const MACHINES: [&str; 3] = ["n1", "n2", "n3"];
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
#[ignore = "takes five minutes: make test-strikes"]
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

/// An instance that comes is not held where the record lists it and PostgreSQL has heard of nothing: what holds that, a
/// stopped postmaster, would hold up its copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes five minutes: make test-strikes"]
async fn the_coming_and_the_going_of_an_instance_is_struck_at_each_of_its_steps_by_everything_that_can_die() {
    let mut town = up().await;
    let writer = Writer::start(&town).await;
    let steps = STEPS.into_iter().filter(|step| !matches!(step, Step::Checkpointer));
    let rounds = steps.flat_map(|step| STRIKES.map(|strike| (step, strike)));
    for (number, (step, strike)) in rounds.enumerate() {
        let comes = Some((step, strike)).filter(|(step, _)| !matches!(step, Step::Recorded));
        comes_and_goes(&mut town, &writer, &format!("n{}", number + 7), comes, Some((step, strike))).await;
    }
    let stay: Vec<_> = town.machines.iter().filter(|m| MACHINES.contains(&m.name.as_str())).collect();
    let stay: Vec<_> = stay.into_iter().map(Machine::host).collect();
    writer.verdict_over(&town, &stay).await;
}

/// Three agents, and three coordinators apart from them.
async fn up() -> Town {
    let mut town = Town::of_agents_and_coordinators(&MACHINES, &COORDINATORS).await;
    town.machines.iter_mut().for_each(Machine::start);
    town.healthy("a cluster from nothing").await;
    // Whoever is stopped is held there: neither failed over as hung, nor taken out of the rule.
    set(&town, &["hung_after=60s", "leaves_after=30s"]).await;
    town
}

/// `rounds`: how many must acknowledge from then on, where that is held, and what strikes there. `alone`: what strikes where
/// writes are let go on alone, and where they are to wait again.
async fn struck_at(rounds: &[(u32, Step, Strike)], alone: &[(Strike, Strike)]) {
    let mut town = up().await;
    let writer = Writer::start(&town).await;
    let mut acks = 1;
    for (to, step, strike) in rounds {
        if matches!(step, Step::Checkpointer) && acks != 0 {
            set(&town, &["acks=0"]).await;
            in_force(&town, 0).await;
        }
        acks = *to;
        let change = Change::Set { what: format!("acks={acks}"), acks };
        Round { step: *step, change }.play(&mut town, *strike).await;
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
    let standbys: Vec<&str> = MACHINES.into_iter().filter(|name| *name != p).collect();
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
        change: Change::Set { what: format!("when_alone={when_alone}"), acks },
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

/// A fourth instance is added on a machine of its own, and leaves for good; where each of the two is held, and what strikes
/// there.
async fn comes_and_goes(
    town: &mut Town,
    writer: &Writer,
    name: &str,
    comes: Option<(Step, Strike)>,
    goes: Option<(Step, Strike)>,
) {
    for (change, struck, count) in
        [(Change::Add(name.to_owned()), comes, 4), (Change::Remove(name.to_owned()), goes, 3)]
    {
        match struck {
            Some((step, strike)) => Round { step, change }.play(town, strike).await,
            None => change.begin(town).await,
        }
        if count == 3 {
            gone(town, name).await;
        }
        let all = |s: &ClusterStatus| healthy(s) && s.instances.len() == count;
        let status = town.until(&format!("{count} instances, all well"), all).await;
        // Whoever leaves is no primary.
        if count == 4 && primary(&status) == name {
            let answer = town.ctl(&["switchover", CLUSTER]).await;
            assert_eq!(answer.code, 0, "{answer:?}");
            town.until("another one to be primary", |s| all(s) && primary(s) != name).await;
        }
        writer.acknowledged(town, 20).await;
    }
}

/// Waits until an instance has left, and takes its machine away. Where it was elected meanwhile its removal is void, which is
/// said: then another one is made primary, and it is asked for again.
async fn gone(town: &mut Town, name: &str) {
    let is_there = |s: &ClusterStatus| s.instances.iter().any(|i| i.name.as_str() == name);
    let elected = |s: &ClusterStatus| s.open && s.primary.as_ref().map(InstanceName::as_str) == Some(name);
    let what = format!("{name} to have left, or to be primary");
    if elected(&town.until(&what, |s| !is_there(s) || elected(s)).await) {
        let void = town.told("taken-back", 0).await.into_iter().filter(|text| text.contains(name));
        assert_eq!(void.count(), 1, "of a primary nothing is asked any more");
        town.healthy("a cluster whose fourth instance was elected").await;
        let answer = town.ctl(&["switchover", CLUSTER]).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        Change::Remove(name.to_owned()).begin(town).await;
        town.until(&format!("{name} to have left"), |s| !is_there(s)).await;
    }
    town.machine(name).kill();
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

/// What changes the rule.
enum Change {
    /// An operator's wish, and how many must acknowledge then.
    Set { what: String, acks: u32 },
    /// An instance comes.
    Add(String),
    /// An instance leaves for good.
    Remove(String),
}

impl Change {
    async fn begin(&self, town: &mut Town) {
        match self {
            Change::Set { what, .. } => set(town, &[what]).await,
            Change::Add(name) => {
                set(town, &["instances=4"]).await;
                town.bring(name);
            }
            Change::Remove(name) => {
                let answer = town.ctl(&["instance", "remove", CLUSTER, name, "--no-wait"]).await;
                assert_eq!(answer.code, 0, "{answer:?}");
            }
        }
    }

    /// Whether this is what PostgreSQL shows once it has heard.
    fn is_shown(&self, shown: &str) -> bool {
        // A standby's name in the setting is made of the cluster, the instance, its epoch and its incarnation.
        let names = |name: &str| shown.contains(&format!("_{name}_"));
        match self {
            Change::Set { acks: 0, .. } => shown.is_empty(),
            Change::Set { acks, .. } => shown.starts_with(&format!("ANY {acks} (")),
            Change::Add(name) => names(name),
            Change::Remove(name) => !names(name),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Set { what, .. } => f.write_str(what),
            Change::Add(name) => write!(f, "{name} comes"),
            Change::Remove(name) => write!(f, "{name} leaves"),
        }
    }
}

/// One change, held at one step.
struct Round {
    step: Step,
    change: Change,
}

impl Round {
    async fn play(&self, town: &mut Town, strike: Strike) {
        eprintln!("{}, {:?}: {strike:?}", self.change, self.step);
        let status = town.status().await.expect("a cluster at rest answers");
        let (p, standbys) = (primary(&status), status.instances.len() - 1);
        let leader = town.leader().await;
        let held = self.hold(town, &p, standbys).await;
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
    async fn hold(&self, town: &mut Town, p: &str, standbys: usize) -> Vec<Process> {
        let mut witness = town.connect(p).await.expect("the primary lets the application in");
        let proved = proofs(town, p);
        let held = match self.step {
            Step::Recorded => vec![of(town, p).postmaster().expect("PostgreSQL runs")],
            Step::Checkpointer => of(town, p).backends("checkpointer"),
            Step::Reloaded | Step::Walsender | Step::Proved => {
                let mut all = of(town, p).backends("walsender");
                assert_eq!(all.len(), standbys, "{all:#?}");
                all.split_off(standbys - 1)
            }
        };
        assert_eq!(held.len(), 1, "{held:#?}");
        held.iter().for_each(|process| process.signal(Signal::STOP));
        self.change.begin(town).await;
        town.until("the changed rule to be in the record, beside the old one", changing).await;
        if let Step::Recorded = self.step {
            let shown: String = sqlx::query_scalar(SHOW).fetch_one(&mut witness).await.unwrap();
            assert!(!self.change.is_shown(&shown), "PostgreSQL has not heard: {shown}");
            return held;
        }
        town.eventually("a fresh connection to show the new setting", async || {
            town.sql(p, SHOW).await.ok().filter(|shown| self.change.is_shown(&shown.concat()))
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
