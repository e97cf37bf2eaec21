//! What a script found: one JSON object for programs, an account for people, and whether it may be called a success.

use std::collections::BTreeMap;

use interrex_rig::Phases;
use serde::Serialize;

use crate::args::Script;
use crate::away::Away;

/// Fewer acknowledgements prove little.
pub(crate) const ENOUGH: u64 = 200;

/// One run of a script. Durations in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) script: &'static str,
    /// Writes acknowledged without reservation.
    pub(crate) acked: u64,
    /// Acknowledged writes that at least one instance does not have.
    pub(crate) lost: u64,
    /// Writes whose answer never came.
    pub(crate) unknown: u64,
    /// Writes acknowledged with a warning: nothing was promised.
    pub(crate) warned: u64,
    /// The longest time without an acknowledgement since the kill.
    pub(crate) outage_ms: u64,
    pub(crate) phases: Phases,
    /// Until the old primary streamed again: since its machine was started again, its postmaster died,
    /// or it was asked to hand over.
    pub(crate) rejoined_ms: u64,
    /// The reign at the end.
    pub(crate) epoch: u32,
    pub(crate) old_primary: String,
    pub(crate) new_primary: String,
    /// The timeline of each instance at the end.
    pub(crate) timelines: BTreeMap<String, Option<u32>>,
    pub(crate) pids_killed: Vec<i32>,
    /// The coordinators' leader died with the primary.
    pub(crate) raft_leader_killed: bool,
    /// Who led the coordinators when the kill came.
    pub(crate) raft_leader: Option<String>,
    /// From nothing to three healthy instances.
    pub(crate) up_ms: u64,
    /// What became of the standby that was stopped before; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) away: Option<Away>,
    /// The machine's load averages at the end, over 1, 5 and 15 minutes.
    pub(crate) load: Vec<f64>,
    /// What else is wrong with the rows, by the ledger's verdict, or with the old primary.
    #[serde(skip)]
    pub(crate) findings: Vec<String>,
}

impl Report {
    /// Why this run is no success; empty when it is one.
    pub(crate) fn failings(&self) -> Vec<String> {
        let mut failings = self.findings.clone();
        if self.lost > 0 {
            failings.push(format!("{} acknowledged writes are lost", self.lost));
        }
        if self.acked < ENOUGH {
            failings.push(format!(
                "only {} writes were acknowledged, at least {ENOUGH} are needed to judge",
                self.acked
            ));
        }
        for (instance, timeline) in self.timelines.iter().filter(|(_, at)| **at != Some(self.epoch)) {
            let at = timeline.map_or_else(|| "none".to_owned(), |at| at.to_string());
            failings
                .push(format!("{instance} does not stream again: its timeline is {at}, not {}", self.epoch));
        }
        if let Some(untold) = self.phases.untold() {
            failings.push(format!("the events do not tell when the outage's phase '{untold}' ended"));
        }
        if self.pids_killed.is_empty() && !self.was(Script::Switchover) {
            failings.push("nothing was killed, so nothing was shown".to_owned());
        }
        if self.new_primary == self.old_primary && !self.was(Script::KillPostmaster) {
            failings.push(format!("{} is still the primary", self.new_primary));
        }
        failings
    }

    fn was(&self, script: Script) -> bool {
        self.script == script.name()
    }

    /// What the return of the old primary is counted from.
    fn since(&self) -> &'static str {
        if self.was(Script::Switchover) {
            "it was asked to hand over"
        } else if self.was(Script::KillPostmaster) {
            "its postmaster was killed"
        } else {
            "its machine was started again"
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), format!("writes stood still for {} ms:", self.outage_ms)];
        lines.extend(self.phases.lines(self.was(Script::Switchover)));
        if let Some(away) = &self.away {
            lines.push(away.line());
        }
        lines.push(format!(
            "{} is primary of epoch {}, {} was before",
            self.new_primary, self.epoch, self.old_primary
        ));
        lines.push(format!(
            "{} {}, {} ms after {}",
            self.old_primary,
            if self.new_primary == self.old_primary { "was elected again" } else { "streams again" },
            self.rejoined_ms,
            self.since()
        ));
        lines.push(format!(
            "{} writes acknowledged, {} lost, {} unknown, {} with a warning, on every one of {} instances",
            self.acked,
            self.lost,
            self.unknown,
            self.warned,
            self.timelines.len()
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            script: "kill-primary",
            acked: 500,
            lost: 0,
            unknown: 1,
            warned: 0,
            outage_ms: 1_200,
            phases: Phases {
                detect_ms: Some(700),
                seal_ms: Some(100),
                elect_ms: Some(1),
                promote_ms: Some(200),
                first_commit_ms: Some(199),
            },
            rejoined_ms: 900,
            epoch: 3,
            old_primary: "n1".to_owned(),
            new_primary: "n2".to_owned(),
            timelines: [("n1".to_owned(), Some(3))].into(),
            pids_killed: vec![7],
            raft_leader_killed: true,
            raft_leader: Some("n1".to_owned()),
            up_ms: 9_000,
            away: None,
            load: vec![0.5],
            findings: Vec::new(),
        }
    }

    #[test]
    fn the_object_has_the_keys_that_programs_read() {
        let json = serde_json::to_value(report()).unwrap();
        for key in [
            "acked",
            "lost",
            "unknown",
            "outage_ms",
            "phases",
            "rejoined_ms",
            "epoch",
            "old_primary",
            "new_primary",
            "timelines",
            "pids_killed",
            "raft_leader_killed",
            "up_ms",
            "warned",
            "script",
            "load",
            "raft_leader",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        for key in ["detect_ms", "seal_ms", "elect_ms", "promote_ms", "first_commit_ms"] {
            assert!(json["phases"].get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn the_return_of_the_old_primary_is_counted_from_what_was_done_to_it() {
        for (script, since) in [
            (Script::KillPrimary, "its machine was started again"),
            (Script::StoppedStandby, "its machine was started again"),
            (Script::KillPostmaster, "its postmaster was killed"),
            (Script::Switchover, "it was asked to hand over"),
        ] {
            let lines = Report { script: script.name(), ..report() }.lines();
            let told = format!("n1 streams again, 900 ms after {since}");
            assert!(lines.contains(&told), "{lines:?}");
            let killed = lines.iter().filter(|line| line.contains("kill")).count();
            assert!(script != Script::Switchover || killed == 0, "{lines:?}");
        }
    }

    #[test]
    fn a_run_that_shows_nothing_or_loses_something_is_no_success() {
        assert_eq!(report().failings(), Vec::<String>::new());
        for (bad, told) in [
            (Report { lost: 2, ..report() }, "2 acknowledged writes are lost"),
            (Report { acked: 199, ..report() }, "only 199 writes"),
            (Report { pids_killed: Vec::new(), ..report() }, "nothing was killed"),
            (Report { new_primary: "n1".to_owned(), ..report() }, "n1 is still the primary"),
            (
                Report { phases: Phases { seal_ms: None, ..report().phases }, ..report() },
                "do not tell when the outage's phase 'seal' ended",
            ),
            (
                Report { timelines: [("n1".to_owned(), Some(2))].into(), ..report() },
                "n1 does not stream again",
            ),
            (Report { timelines: [("n1".to_owned(), None)].into(), ..report() }, "n1 does not stream again"),
            (Report { findings: vec!["row 7 differs".to_owned()], ..report() }, "row 7 differs"),
        ] {
            let failings = bad.failings();
            assert!(failings.len() == 1 && failings[0].contains(told), "{failings:?}");
        }
    }
}
