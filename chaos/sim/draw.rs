//! What a plan draws at random: what the cluster is to be like, whom a strike is aimed at, what it is, what an operator
//! asks for. How often each comes is decided here.

use crate::coordinator::Wish;
use crate::faults::{Strike, Target};
use crate::rng::Rng;
use interrex_cluster::spec::{OnCrash, Spec, Timeouts, WhenAlone};

pub(crate) fn spec(instances: usize, rng: &mut Rng) -> Spec {
    let acks = match rng.below(10) {
        0 => 0,
        1..=6 => 1,
        7 | 8 => 2,
        _ => 3,
    }
    .min(instances as u32 - 1);
    let when_alone = if rng.percent(60) { WhenAlone::Continue } else { WhenAlone::Block };
    let min_acks = match when_alone {
        WhenAlone::Block => acks,
        WhenAlone::Continue if rng.percent(20) => acks.min(1),
        WhenAlone::Continue => 0,
    };
    let patience = |rng: &mut Rng, low: u64, high: u64| rng.percent(10).then(|| rng.range(low, high) as u32);
    Spec {
        instances: instances as u32,
        acks,
        min_acks,
        when_alone,
        max_data_loss: if acks == 0 && rng.percent(50) { 1 << 20 } else { 0 },
        on_crash: if rng.percent(25) { OnCrash::Restart } else { OnCrash::Failover },
        timeouts: Timeouts {
            suspect_after_ms: patience(rng, 700, 4_000),
            hung_after_ms: patience(rng, 2_000, 6_000),
            leaves_after_ms: patience(rng, 1_500, 6_000),
            alone_after_ms: patience(rng, 2_000, 9_000),
        },
        ..Spec::default()
    }
}

fn target(rng: &mut Rng) -> Target {
    match rng.below(10) {
        0..=4 => Target::Primary,
        5 | 6 => standby(rng),
        7 => Target::Leader,
        _ => Target::Any(rng.below(8) as usize),
    }
}

pub(crate) fn strike(rng: &mut Rng) -> Strike {
    let target = target(rng);
    let short = rng.tail(50, 8_000);
    let ms = if rng.percent(30) { rng.range(2_000, 15_000) } else { short };
    match rng.below(60) {
        0..=4 => Strike::Power { target, ms },
        5..=8 => Strike::KillServer { target },
        9 => Strike::KillPostmaster { target, orphans_ms: rng.tail(5, 4_000) },
        10..=12 => Strike::KillAgent { target, ms },
        13 | 14 => Strike::PauseMachine { target, ms: rng.tail(100, 9_000) },
        15 => Strike::PauseAgent { target, ms: rng.tail(100, 9_000) },
        16 => Strike::Hang { target, ms: rng.tail(100, 9_000) },
        17 => Strike::Deaf { target, ms: rng.tail(100, 9_000) },
        18..=21 => Strike::Isolate { target, ms },
        22 => Strike::CutOneWay { target, inward: rng.percent(50), ms },
        23 => Strike::CutPair { target, other: rng.below(8) as usize, ms },
        24 => Strike::KillCoordinator { target, ms },
        25 if rng.percent(50) => Strike::LoseLog { target, ms: rng.range(100, 4_000) },
        25 => Strike::PauseCoordinator { target, ms: rng.tail(100, 6_000) },
        26 | 27 => Strike::Dispute,
        28 => Strike::SlowDisk { target, times: rng.range(10, 200), ms },
        29 => Strike::SlowMachine { target, times: rng.range(5, 60), ms },
        30 => Strike::PromoteByHand { target },
        31..=34 => Strike::Asks(Wish::Switchover { to: rng.percent(50).then(|| rng.below(8) as usize) }),
        35 => Strike::Asks(Wish::Restart),
        36 => Strike::Asks(Wish::Failover { to: rng.below(8) as usize }),
        37 if rng.percent(40) => Strike::Asks(Wish::Pause),
        37 => Strike::Asks(Wish::AcceptLoss),
        38..=45 => Strike::Coup { to: rng.below(8) as usize, ms: rng.tail(50, 6_000) },
        46 => Strike::FullDisk { target, ms },
        47 => Strike::StalledDisk { target, ms: rng.tail(100, 9_000) },
        48 | 49 => Strike::LoseSlot { target: standby(rng) },
        50 => Strike::CancelWaits { target: Target::Primary },
        51 => Strike::Echo { target },
        52..=58 => Strike::Asks(wish(rng)),
        59 if rng.percent(40) => {
            Strike::Recover { target, back: rng.tail(0, 12) as usize, ms: rng.range(300, 3_000) }
        }
        _ => Strike::Everything { ms: rng.range(100, 5_000) },
    }
}

pub(crate) fn standby(rng: &mut Rng) -> Target {
    Target::Standby(rng.below(8) as usize)
}

/// What is asked of one instance, or of the whole cluster while it runs.
fn wish(rng: &mut Rng) -> Wish {
    let of = standby(rng);
    match rng.below(8) {
        0 | 1 => Wish::Reinit { of },
        2 | 3 => Wish::RestartStandby { of },
        4 if rng.percent(30) => Wish::Leave { of },
        4 => Wish::Keep { of },
        5 | 6 => Wish::Set { acks: rng.below(4) as u32 },
        _ => Wish::Block { block: rng.percent(50) },
    }
}
