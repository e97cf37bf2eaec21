//! What a build has to know to read an entry or a record: a number that rises with each thing that an older build must
//! not overlook. Here is only which level each thing takes; that no entry is written before every coordinator reads its
//! level is the proposing leader's part (`interrex-coordinator`'s `levels`).

use interrex_cluster::command::Command;
use interrex_cluster::record::{Cluster, Operation};
use interrex_cluster::spec::{Spec, Timeouts};

/// The highest level that this build knows. It writes the lowest that will do ([`level_of`]), so that builds of level 1
/// go on together with this one until somebody asks for what they do not know.
pub const LEVEL: u32 = 4;

/// The level of [`Command::BeginFetch`], which the rules choose by themselves: a leader whose group does not read it
/// tells them that nothing is to be fetched.
pub const FETCH: u32 = 3;

/// What a build has to know to apply the command. Level 2: planned changes of primary, pausing, setting, and what
/// is asked of single instances. Level 3: an existing PostgreSQL that is taken
/// in, and a preferred instance that fetches what it lacks. Level 4: parameters that are taken back, which older builds reject
/// while no primary takes writes.
#[must_use]
pub fn level_of(command: &Command) -> u32 {
    match command {
        Command::Create { adopt: Some(_), .. } | Command::TakeOver { .. } | Command::Adopt(_) => 3,
        Command::BeginFetch { .. } | Command::EndFetch { .. } => FETCH,
        Command::ConfirmPrimary { notes, .. } if !notes.is_empty() => 3,
        Command::SetSpec { before, spec } if spec.takes_parameters_back(before) => 4,
        Command::Create { spec, .. } if wishes(spec) => 2,
        Command::BeginSwitchover { .. }
        | Command::BeginHandOver { .. }
        | Command::AbandonSwitchover { .. }
        | Command::SetPaused { .. }
        | Command::SetSpec { .. }
        | Command::SettleSpec { .. }
        | Command::Ask { .. }
        | Command::EndRestart { .. }
        | Command::RecordReceipt { .. }
        | Command::Remove { .. } => 2,
        _ => 1,
    }
}

/// Wishes that came with level 2.
fn wishes(spec: &Spec) -> bool {
    spec.timeouts != Timeouts::default() || !spec.parameters.is_empty()
}

/// What a build has to know to go on from the record.
pub(super) fn level_of_record(cluster: &Cluster) -> u32 {
    let planned = match &cluster.operation {
        Operation::Adopt(_) => return 3,
        Operation::Failover(failover) if failover.fetch.is_some() => return 3,
        Operation::Switchover(_) => true,
        Operation::Failover(failover) => failover.hand_over.is_some(),
        Operation::Gather | Operation::Bootstrap { .. } | Operation::None => false,
    };
    let asked = cluster.instances.values().any(|member| member.asked.is_some());
    let later = planned
        || asked
        || wishes(&cluster.spec)
        || !cluster.receipts.is_empty()
        || cluster.proposed.is_some()
        || !cluster.removed.is_empty();
    if later { 2 } else { 1 }
}
