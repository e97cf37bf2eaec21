//! One run from beginning to end, on ground that was made: up, write, strike, last, prove, heal, get well, compare, judge.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::identity;
use std::time::Duration;

use anyhow::{Context, anyhow};
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_cluster::status::ClusterStatus;
use interrex_ledger::{Outcome, monotonic_ms, verify};
use interrex_rig::{Cluster, Moment, Phases, Voice, load};
use interrex_sim::Rng;
use tokio::time::sleep;

use crate::bank;
use crate::catalogue::{Lasts, Row, WHOLE_WITHIN_MS};
use crate::clients::{Clients, Ledgers};
use crate::evidence::{self, Evidence};
use crate::film::{Film, Frame};
use crate::ground::{Ground, Volume};
use crate::nemesis::Proof;
use crate::report::Report;
use crate::scene::Scene;
use crate::story::{Story, Told, answers};
use crate::tools::Tools;
use crate::verdict::judge;

/// After the fault; somewhat longer than it may take, so that one that is late is told how late.
const GETTING_WELL: Duration = Duration::from_millis(WHOLE_WITHIN_MS + 30_000);
/// For each connect and statement of the comparison, and for each standby's replay.
const COMPARING: Duration = Duration::from_secs(20);
/// Written in the new epoch before the fault ends, so that whoever returns has something to miss; and at the very end.
const WRITING_ON_MS: u64 = 1_000;
/// The strike comes at any moment of a heartbeat.
const PHASE_MS: u64 = 700;

/// What is to be run.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) row: &'static Row,
    pub(crate) seed: u64,
    pub(crate) machines: u8,
}

impl Plan {
    /// With as many machines as the fault needs, if that is more.
    pub(crate) fn new(row: &'static Row, seed: u64, machines: u8) -> Plan {
        Plan { row, seed, machines: machines.max(row.machines) }
    }
}

/// What happened, in milliseconds of `CLOCK_MONOTONIC` where it is a moment.
struct Run {
    /// When all was well, just before.
    before: ClusterStatus,
    struck: Moment,
    healed_ms: u64,
    stuck: Option<String>,
    proof: Proof,
    amiss: Vec<String>,
    whole: Result<u64, String>,
}

/// Plays it. Everything that this starts is for the ground to clear away.
pub(crate) async fn play(
    ground: &Ground,
    tools: &Tools,
    plan: Plan,
    voice: &Voice,
) -> anyhow::Result<Report> {
    // Each fault draws for itself, whichever others there are.
    let stream =
        plan.row.name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut rng = Rng::new(plan.seed, stream);
    let mut cluster = Cluster::make(ground.dir(), &tools.interrex, ground.sites(), tools.account)?;
    let volumes = if plan.row.volumes { ground.volumes(&cluster, tools.account)? } else { BTreeMap::new() };
    cluster.up(voice).await?;
    let mut clients = Clients::start(&cluster, ground).await?;
    let own = Rng::new(plan.seed, !stream);
    let (mut scene, before) = set(cluster, ground, volumes, &mut rng, own).await?;
    if plan.row.side_door {
        clients.open_side_door(&mut scene.cluster, ground, &scene.primary).await?;
    }
    let film = Film::begin(&scene.cluster)?;
    let run = strike(&mut scene, &mut clients, plan.row, &mut rng, before, voice).await?;
    let ledgers = clients.stop().await?;
    conclude(&mut scene, plan, run, &ledgers, film.end()).await
}

/// Who is what, with the coordinators' leader beside the primary or elsewhere, as drawn.
async fn set(
    cluster: Cluster,
    ground: &Ground,
    volumes: BTreeMap<String, Volume>,
    rng: &mut Rng,
    own: Rng,
) -> anyhow::Result<(Scene, ClusterStatus)> {
    let mut scene = Scene {
        cluster,
        network: ground.network.clone(),
        groups: ground.groups.clone(),
        volumes,
        primary: String::new(),
        standby: String::new(),
        leader: String::new(),
        order: Vec::new(),
        rng: own,
    };
    let (_, primary) = scene.well().await?;
    scene.primary.clone_from(&primary);
    let standbys = scene.others(&primary);
    scene.standby.clone_from(&standbys[rng.index(standbys.len())]);
    scene.order = scene.others("");
    for last in (1..scene.order.len()).rev() {
        scene.order.swap(last, rng.index(last + 1));
    }
    let (elsewhere, voters) = (scene.other_voters(&primary), scene.voters());
    let drawn = rng.index(elsewhere.len() * 2);
    let beside = elsewhere.get(drawn).is_none() && voters.contains(&primary);
    let chosen = if beside { &primary } else { &elsewhere[drawn % elsewhere.len()] };
    scene.leader = scene.cluster.place_leader(chosen, |leader| leader == chosen).await?;
    let (before, _) = scene.well().await?;
    Ok((scene, before))
}

/// The fault, from before its beginning until all is well after it.
async fn strike(
    scene: &mut Scene,
    clients: &mut Clients,
    row: &Row,
    rng: &mut Rng,
    before: ClusterStatus,
    voice: &Voice,
) -> anyhow::Result<Run> {
    let mut fault = (row.make)();
    fault.prepare(scene).await.context("prepare the fault")?;
    let (primary, leader) = (&scene.primary, &scene.leader);
    voice
        .tell(&format!("{primary} is the primary, {leader} leads the coordinators; writes are acknowledged"));
    sleep(Duration::from_millis(rng.below(PHASE_MS))).await;
    let struck = Moment::now();
    fault.inject(scene).await.context("inject the fault")?;
    voice.tell(row.story);
    let stuck = last(scene, clients, before.epoch, row.lasts, rng).await.err().map(|why| format!("{why:#}"));
    let proof = fault.proof(scene).await.context("ask for the fault's effect")?;
    let amiss = fault.amiss(scene).await.context("ask for what is amiss")?;
    let healed_ms = monotonic_ms();
    fault.heal(scene).await.context("heal the fault")?;
    voice.tell("the fault is over");
    let whole = scene.cluster.whole(GETTING_WELL).await;
    let whole = whole.map(|_| monotonic_ms().saturating_sub(healed_ms)).map_err(|why| format!("{why:#}"));
    let stuck = match (&whole, stuck) {
        (Ok(_), None) => clients.go_on(WRITING_ON_MS).await.err().map(|why| format!("{why:#}")),
        (_, stuck) => stuck,
    };
    voice.tell(if whole.is_ok() { "all is well again" } else { "the cluster does not get well" });
    Ok(Run { before, struck, healed_ms, stuck, proof, amiss, whole })
}

/// Until the fault is to end.
async fn last(
    scene: &mut Scene,
    clients: &mut Clients,
    before: Epoch,
    lasts: Lasts,
    rng: &mut Rng,
) -> anyhow::Result<()> {
    match lasts {
        Lasts::Ms(least, most) => {
            sleep(Duration::from_millis(rng.range(least, most))).await;
            Ok(())
        }
        Lasts::UntilFailover => {
            scene.failed_over(before).await?;
            clients.go_on(WRITING_ON_MS).await
        }
    }
}

/// Compares every instance with every ledger, and judges.
async fn conclude(
    scene: &mut Scene,
    plan: Plan,
    run: Run,
    ledgers: &Ledgers,
    frames: Vec<Frame>,
) -> anyhow::Result<Report> {
    let now = Moment::now();
    let (hosts, login) = (scene.cluster.hosts(), &scene.cluster.login);
    let (mut lost, mut findings) = (BTreeSet::new(), run.amiss);
    for ledger in &ledgers.all {
        match verify(ledger, &hosts, login, COMPARING).await {
            Ok(verdict) => {
                lost.extend(verdict.lost.iter().map(|id| id.unsigned_abs()));
                findings.extend(verdict.findings());
            }
            Err(why) => findings.push(format!("the ledger could not be compared with every instance: {why}")),
        }
    }
    match bank::compare(&ledgers.books, &hosts, login, COMPARING).await {
        Ok(found) => findings.extend(found),
        Err(why) => findings.push(format!("the bank could not be compared with every instance: {why:#}")),
    }
    let events = scene.cluster.events().await.unwrap_or_default();
    let status = scene.cluster.status().await.ok().flatten();
    let (gap, ended) = (ledgers.gap_since(run.struck.mono_ms), status.as_ref().unwrap_or(&run.before).epoch);
    let evidence = Evidence {
        acks: evidence::acks(&ledgers.all, &names(scene)?),
        reigns: evidence::reigns(&events, now),
        lost,
        findings,
        epochs: (run.before.epoch, ended),
        gap_ms: gap.map(|gap| gap.ms),
        whole: run.whole,
        stuck: run.stuck,
        proof: run.proof,
    };
    let verdict = judge(&evidence, plan.row);
    let phases = match gap {
        Some(gap) if ended > run.before.epoch => {
            Phases::read(&events, run.before.epoch, ended, run.struck, gap.to_ms)
        }
        _ => Phases::default(),
    };
    let (acks, troubled) = answers(&ledgers.all);
    let story = Story {
        what: plan.row.story,
        began_ms: frames.first().map_or(run.struck.mono_ms, |frame| frame.at_ms),
        struck_ms: run.struck.mono_ms,
        healed_ms: run.healed_ms,
        ended_ms: now.mono_ms,
        frames,
        acks,
        troubled,
        told: Told::all(&events, now),
    };
    let tally = evidence::tally(&ledgers.all);
    Ok(Report {
        fault: plan.row.name,
        seed: plan.seed,
        machines: plan.machines,
        sound: verdict.is_sound(),
        void: verdict.void.is_some(),
        violations: verdict.violations,
        primary: scene.primary.clone(),
        new_primary: status.and_then(|status| status.primary).map(|primary| primary.to_string()),
        leader: scene.leader.clone(),
        lasted_ms: run.healed_ms.saturating_sub(run.struck.mono_ms),
        promotions: evidence.begun(),
        promotions_at_least: plan.row.promotions.0,
        promotions_at_most: plan.row.promotions.1,
        gap_ms: evidence.gap_ms,
        gap_ms_at_most: plan.row.gap_ms,
        phases,
        whole_ms: evidence.whole.as_ref().ok().copied(),
        whole_ms_at_most: WHOLE_WITHIN_MS,
        acked: tally.ok,
        acked_at_the_side_door: ledgers.side_door(),
        lost: u64::try_from(evidence.lost.len()).unwrap_or(u64::MAX),
        warned: tally.warned,
        unknown: tally.unknown,
        failed: tally.failed,
        transfers: ledgers.books.count(Outcome::Ok),
        transfers_unknown: ledgers.books.count(Outcome::Unknown),
        transfers_refused: ledgers.books.count(Outcome::Failed),
        effect: evidence.proof.unwrap_or_else(identity),
        load: load(),
        story,
    })
}

/// Whose address is whose.
fn names(scene: &Scene) -> anyhow::Result<BTreeMap<String, InstanceName>> {
    let machines = scene.cluster.machines.iter().filter(|machine| machine.duty.serves());
    let named = machines.map(|machine| {
        let name = machine.name.parse::<InstanceName>().map_err(|why| anyhow!("{}: {why}", machine.name))?;
        Ok((machine.host().to_string(), name))
    });
    named.collect()
}
