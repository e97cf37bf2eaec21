//! What is known of a run when it is over: the clients' answers with the instance and the epoch that each came from, the
//! rows that are gone, who was elected when. Gathered here, judged in `verdict`.

use std::collections::{BTreeMap, BTreeSet};

use interrex_cluster::event::Event;
use interrex_cluster::ids::{Epoch, InstanceName};
use interrex_ledger::{LedgerFile, Tally};
use interrex_rig::Moment;

use crate::nemesis::Proof;

/// An acknowledgement without reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    /// When it arrived, `CLOCK_MONOTONIC` milliseconds.
    pub(crate) at_ms: u64,
    /// Whose it is.
    pub(crate) by: InstanceName,
    /// The row's id; writers have ranges apart.
    pub(crate) commit: u64,
}

/// An election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reign {
    pub(crate) epoch: Epoch,
    pub(crate) by: InstanceName,
    /// When it was recorded, `CLOCK_MONOTONIC` milliseconds.
    pub(crate) elected_ms: u64,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// In the order of their arrival.
    pub(crate) acks: Vec<Ack>,
    /// In the order of their epochs.
    pub(crate) reigns: Vec<Reign>,
    /// Acknowledged rows that at least one instance lacks.
    pub(crate) lost: BTreeSet<u64>,
    /// What else is wrong with the rows; or why they could not be compared.
    pub(crate) findings: Vec<String>,
    /// The epoch before the strike, and at the end.
    pub(crate) epochs: (Epoch, Epoch),
    /// The longest time without an acknowledgement since the strike; absent: no two follow each other.
    pub(crate) gap_ms: Option<u64>,
    /// How long it took from the end of the fault until all was well; or what was still missing.
    pub(crate) whole: Result<u64, String>,
    /// What the fault itself waited for in vain.
    pub(crate) stuck: Option<String>,
    /// The fault's.
    pub(crate) proof: Proof,
}

/// The acknowledgements of some ledgers, by arrival. `names`: whose address is whose.
pub(crate) fn acks(ledgers: &[LedgerFile], names: &BTreeMap<String, InstanceName>) -> Vec<Ack> {
    let all = ledgers.iter().flat_map(LedgerFile::acknowledged);
    let known = all.filter_map(|(id, attempt)| {
        // A writer dials nobody but whom it was told of, and all of these have names.
        let by = names.get(&attempt.host)?.clone();
        Some(Ack { at_ms: attempt.at_ms, by, commit: id.unsigned_abs() })
    });
    let mut acks: Vec<Ack> = known.collect();
    acks.sort_by_key(|ack| ack.at_ms);
    acks
}

/// Who was elected, by the log's own story. No fault moves the wall clock, so that one moment by both tells how they differ.
pub(crate) fn reigns(events: &[Event], now: Moment) -> Vec<Reign> {
    let elected = events.iter().filter(|event| event.kind == "elected");
    let reign = |event: &Event| {
        // `n1 is elected primary of epoch 3 at …`
        let by = event.text.split(' ').next()?.parse::<InstanceName>().ok()?;
        Some(Reign { epoch: event.epoch, by, elected_ms: now.monotonic(event) })
    };
    elected.filter_map(reign).collect()
}

/// All outcomes of some ledgers together.
pub(crate) fn tally(ledgers: &[LedgerFile]) -> Tally {
    let attempts = ledgers.iter().flat_map(|ledger| ledger.attempts().values());
    attempts.map(|attempt| attempt.outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::time::WallMs;

    #[test]
    fn elections_are_read_from_the_story_and_nothing_else_is() {
        let event = |kind: &str, text: &str, epoch| Event {
            index: 1,
            at: WallMs(9_000),
            cluster: "demo".parse().unwrap(),
            epoch: Epoch(epoch),
            kind: kind.to_owned(),
            text: text.to_owned(),
        };
        let story = [
            event("elected", "n1 is elected primary of epoch 2", 2),
            event("opened", "n1 takes writes in epoch 2", 2),
            event("elected", "n3 is elected primary of epoch 3 at 0/5", 3),
        ];
        let reigns = reigns(&story, Moment { wall_ms: 10_000, mono_ms: 3_000 });
        assert_eq!(
            reigns.iter().map(|reign| (reign.epoch.0, reign.by.as_str())).collect::<Vec<_>>(),
            [(2, "n1"), (3, "n3")]
        );
        assert_eq!(reigns[0].elected_ms, 2_000);
    }
}
