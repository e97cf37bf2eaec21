//! The verdict over a run, from its evidence alone: the properties of `chaos/check` as far as clients and the log can
//! tell, and what the fault's row of the catalogue expected. Pure, so that every way to fail is a scene below.

use interrex_check::{Checks, Fact};
use interrex_cluster::ids::Epoch;
use interrex_cluster::wal::TimelineId;

use crate::catalogue::{Row, WHOLE_WITHIN_MS, expected};
use crate::evidence::{Ack, Evidence, Reign};

/// So many violations tell the story; what is broken is often broken a thousand times.
const MOST: usize = 20;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What does not hold, a line each.
    pub(crate) violations: Vec<String>,
    /// The fault showed no effect: why the run says nothing.
    pub(crate) void: Option<String>,
}

impl Verdict {
    /// It held, and that says something.
    pub(crate) fn is_sound(&self) -> bool {
        self.violations.is_empty() && self.void.is_none()
    }
}

/// Judges.
pub(crate) fn judge(evidence: &Evidence, row: &Row) -> Verdict {
    let mut violations = properties(evidence);
    violations.extend(evidence.findings.iter().cloned());
    violations.extend(evidence.stuck.clone());
    violations.extend(against_the_row(evidence, row));
    let more = violations.len().saturating_sub(MOST);
    if more > 0 {
        violations.truncate(MOST);
        violations.push(format!("and {more} more"));
    }
    Verdict { violations, void: evidence.proof.as_ref().err().cloned() }
}

/// Those of `chaos/check`. A timeline bears the number of its epoch, so an acknowledgement's timeline is the epoch in
/// which its instance was elected last before it.
fn properties(evidence: &Evidence) -> Vec<String> {
    let mut checks = Checks::default();
    let mut violations = Vec::new();
    let holds = |commit: u64| !evidence.lost.contains(&commit);
    if evidence.reigns.is_empty() {
        violations
            .push("no coordinator told who was elected, so nobody can say who may acknowledge".to_owned());
    }
    for ack in evidence.acks.iter().filter(|_| !evidence.reigns.is_empty()) {
        let Some(epoch) = epoch_of(ack, &evidence.reigns) else {
            violations.push(format!("{} acknowledged commit {} and was never elected", ack.by, ack.commit));
            continue;
        };
        checks.see(&Fact::Acknowledged {
            by: &ack.by,
            timeline: TimelineId(epoch.0),
            commit: ack.commit,
            // What is there in the end was there when each later epoch began: nothing comes back.
            held: holds(ack.commit),
            // Stricter than the simulation, which excuses the moment that a kill takes past a lease.
            alone: None,
        });
    }
    if let Some(last) = evidence.reigns.last() {
        checks.see(&Fact::Serves { by: &last.by, epoch: last.epoch, holds: &holds });
    }
    if let Err(missing) = &evidence.whole {
        checks.see(&Fact::NotHealed { missing });
    }
    violations.extend(checks.violations().iter().map(ToString::to_string));
    violations
}

fn epoch_of(ack: &Ack, reigns: &[Reign]) -> Option<Epoch> {
    let own = || reigns.iter().filter(|reign| reign.by == ack.by);
    // The log writes an election down before anybody can obey it; two clocks of one machine may differ by a moment.
    own().rev().find(|reign| reign.elected_ms <= ack.at_ms).or_else(|| own().next()).map(|reign| reign.epoch)
}

fn against_the_row(evidence: &Evidence, row: &Row) -> Vec<String> {
    let mut violations = Vec::new();
    let begun = evidence.begun();
    if begun < row.promotions.0 || begun > row.promotions.1 {
        violations.push(format!("{begun} epochs were begun, expected were {}", expected(row.promotions)));
    }
    match evidence.gap_ms {
        Some(gap) if gap > row.gap_ms => {
            violations.push(format!("writes stood still for {gap} ms, and may for {} ms", row.gap_ms));
        }
        None => violations.push("no two acknowledged writes surround the fault".to_owned()),
        Some(_) => {}
    }
    if let Ok(ms) = evidence.whole
        && ms > WHOLE_WITHIN_MS
    {
        violations
            .push(format!("all was well {ms} ms after the fault, and has to be within {WHOLE_WITHIN_MS} ms"));
    }
    violations
}

impl Evidence {
    /// How many epochs were begun since the strike.
    pub(crate) fn begun(&self) -> u32 {
        self.epochs.1.0.saturating_sub(self.epochs.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::row;

    fn ack(at_ms: u64, by: &str, commit: u64) -> Ack {
        Ack { at_ms, by: by.parse().unwrap(), commit }
    }

    fn reign(epoch: u32, by: &str, elected_ms: u64) -> Reign {
        Reign { epoch: Epoch(epoch), by: by.parse().unwrap(), elected_ms }
    }

    /// n1 is killed at 1000 and n2 takes over.
    fn sound() -> Evidence {
        Evidence {
            acks: vec![ack(500, "n1", 1), ack(990, "n1", 2), ack(2_400, "n2", 3), ack(2_410, "n2", 4)],
            reigns: vec![reign(2, "n1", 100), reign(3, "n2", 2_200)],
            lost: [].into(),
            findings: Vec::new(),
            epochs: (Epoch(2), Epoch(3)),
            gap_ms: Some(1_410),
            whole: Ok(4_000),
            stuck: None,
            proof: Ok("12 processes died".to_owned()),
        }
    }

    fn violations(evidence: &Evidence) -> String {
        judge(evidence, row("kill-machine").unwrap()).violations.join("\n")
    }

    #[test]
    fn a_failover_that_lost_nothing_is_sound() {
        let verdict = judge(&sound(), row("kill-machine").unwrap());
        assert!(verdict.is_sound(), "{verdict:?}");
    }

    #[test]
    fn a_ledger_that_names_a_row_nobody_has_is_believed() {
        // The lying ledger: it says that commit 2 was acknowledged, and no instance has it.
        let told = violations(&Evidence { lost: [2].into(), ..sound() });
        assert!(
            told.contains("no-acknowledged-commit-lost")
                && told.contains("lacks 1 acknowledged commit(s), 2"),
            "{told}"
        );
    }

    #[test]
    fn an_old_primary_that_acknowledges_after_the_new_one_is_caught_unless_the_new_one_holds_it() {
        let mut two = sound();
        two.acks.push(ack(2_500, "n1", 1_000_000_000));
        assert_eq!(violations(&two), "", "the answer was late, the row is there");
        two.lost.insert(1_000_000_000);
        let told = violations(&two);
        assert!(
            told.contains("one-acknowledging-primary: n1 acknowledged commit 1000000000 on timeline 2"),
            "{told}"
        );
    }

    #[test]
    fn a_primary_that_is_elected_again_acknowledges_on_its_newer_timeline() {
        let mut again = sound();
        again.reigns.push(reign(4, "n1", 3_000));
        again.epochs.1 = Epoch(4);
        again.acks.push(ack(3_100, "n1", 5));
        assert_eq!(violations(&again), "2 epochs were begun, expected were 1");
    }

    #[test]
    fn who_was_never_elected_acknowledges_nothing() {
        let mut impostor = sound();
        impostor.acks.push(ack(2_500, "n3", 5));
        assert_eq!(violations(&impostor), "n3 acknowledged commit 5 and was never elected");
    }

    #[test]
    fn without_the_story_nobody_is_judged_and_the_run_is_not_sound() {
        let told = violations(&Evidence { reigns: Vec::new(), ..sound() });
        assert!(told.starts_with("no coordinator told who was elected"), "{told}");
    }

    #[test]
    fn what_is_broken_a_thousand_times_is_told_in_a_few_lines() {
        let mut impostor = sound();
        impostor.acks.extend((0..1_000).map(|at| ack(3_000 + at, "n3", at)));
        let told = violations(&impostor);
        assert!(told.lines().count() == MOST + 1 && told.ends_with("and 980 more"), "{told}");
    }

    #[test]
    fn a_fault_without_an_effect_voids_a_run_that_looks_sound() {
        let verdict = judge(
            &Evidence { proof: Err("nothing died".to_owned()), ..sound() },
            row("kill-machine").unwrap(),
        );
        assert_eq!((verdict.violations.len(), verdict.void.as_deref()), (0, Some("nothing died")));
        assert!(!verdict.is_sound());
    }

    #[test]
    fn what_the_row_expected_is_held_against_the_run() {
        for (evidence, told) in [
            (Evidence { epochs: (Epoch(2), Epoch(2)), ..sound() }, "0 epochs were begun, expected were 1"),
            (
                Evidence { gap_ms: Some(10_001), ..sound() },
                "writes stood still for 10001 ms, and may for 10000 ms",
            ),
            (Evidence { gap_ms: None, ..sound() }, "no two acknowledged writes surround the fault"),
            (Evidence { whole: Err("n1: joining".to_owned()), ..sound() }, "heals: n1: joining"),
            (Evidence { whole: Ok(60_001), ..sound() }, "all was well 60001 ms after the fault"),
            (Evidence { stuck: Some("no new primary".to_owned()), ..sound() }, "no new primary"),
            (Evidence { findings: vec!["1 rows are odd".to_owned()], ..sound() }, "1 rows are odd"),
        ] {
            let found = violations(&evidence);
            assert!(found.contains(told), "{told}: {found}");
        }
    }
}
