//! The receipt: before a copy is rewound or cloned over, what it holds past the line is read, named and kept. Nothing of
//! it stands in the way of healing: what cannot be found out is a gap that the receipt names. Only a receipt that cannot
//! be written holds the rebuild up.

use super::{Done, StepError};
use crate::instance::{Instance, lock};
use crate::postgres::{self, ControlState, DataDir, FileNode, Losses, Stretch};
use crate::receipts::{Listed, Receipts, Whole};
use interrex_cluster::goal::StandbyGoal;
use interrex_cluster::instance::rejoin::{Local, Plan, plan};
use interrex_cluster::receipt::Receipt;
use interrex_cluster::report::Rebuild;
use interrex_cluster::wal::{History, Lsn, Position};
use std::collections::{BTreeMap, BTreeSet};

/// So much of it is told to the coordinators.
const TOLD_TABLES: usize = 20;
const TOLD_GAPS: usize = 8;
const TOLD_LENGTH: usize = 240;

impl Instance {
    /// Keeps what the present copy holds and the upstream's line does not, if there is anything.
    pub(super) async fn keep_receipt(&self, goal: &StandbyGoal, how: Rebuild) -> Done {
        // A rebuild that was begun before has made it then, or had nothing to keep.
        let (Some(line), None) = (&goal.line, self.memory().sentinel) else { return Ok(()) };
        let ours = match self.server.has_data().await? {
            DataDir::Postgres { .. } => self.server.control_data().await.ok(),
            DataDir::Missing | DataDir::Empty | DataDir::Foreign { .. } => None,
        };
        let Some(control) = ours.filter(|control| control.system == goal.system) else { return Ok(()) };
        let Some((mut receipt, stretches)) = self.past_the_line(goal, how, line, control.state).await else {
            return Ok(());
        };
        let asked = receipt.clone();
        if let Some(known) = self.with_receipts(move |receipts| receipts.like(&asked)).await? {
            self.known().receipt = Some(known);
            return Ok(());
        }
        self.doing(Some("reading what this copy holds and nobody else".to_owned()));
        let mut losses = Losses::default();
        let read = self.server.read_losses(&stretches, &mut losses).await;
        let all_read = read.is_ok() && !stretches.is_empty();
        receipt.transactions = all_read.then_some(u64::try_from(losses.committed.len()).unwrap_or(u64::MAX));
        if let Err(error) = read {
            receipt.gaps.push(format!("its WAL could not be read to the end: {error}"));
        }
        let (first, last) = (losses.committed.first(), losses.committed.last());
        receipt.commits = first.zip(last).map(|(first, last)| (first.at.clone(), last.at.clone()));
        let tables = self.name(&losses, goal, &mut receipt.gaps).await;
        let files = self.server.files_of(&stretches, control.segment_size).await.unwrap_or_default();
        let whole = Whole {
            format: 1,
            summary: shortened(receipt, &tables),
            tables,
            transactions: Listed::of(&losses.committed),
        };
        // An earlier try may have been given up only by those who waited for it.
        let keep = move |all: &Receipts| all.like(&whole.summary).map_or_else(|| all.keep(whole, &files), Ok);
        let kept = self.with_receipts(keep).await??;
        tracing::warn!(cluster = %self.config.cluster, "this copy is given up with {kept}; kept in {}", kept.kept);
        self.known().receipt = Some(kept);
        Ok(())
    }

    /// Away from the event loop: an earlier try may still be copying WAL under the lock.
    async fn with_receipts<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Receipts) -> T + Send + 'static,
    ) -> Result<T, StepError> {
        let receipts = self.receipts.clone();
        let done = tokio::task::spawn_blocking(move || work(&lock(&receipts))).await;
        done.map_err(|stopped| StepError::NotYet(format!("the receipt was interrupted: {stopped}")))
    }

    /// Where the copy left the line and where it ends, with the stretches between; none when all of it is on the line.
    async fn past_the_line(
        &self,
        goal: &StandbyGoal,
        how: Rebuild,
        line: &History,
        state: ControlState,
    ) -> Option<(Receipt, Vec<Stretch>)> {
        let memory = self.memory();
        let blank = Receipt::about(goal.epoch, memory.incarnation, how);
        let rebuilt = memory.rebuilt == Some(memory.incarnation);
        let found = async {
            let end = self.server.data_end(Some(line), rebuilt, memory.told).await?;
            Ok::<_, StepError>((end, self.history(end.timeline, Some(line)).await?))
        };
        let (end, history) = match found.await {
            Ok(found) => found,
            Err(why) => {
                // A standby whose WAL is damaged held what its upstream held; what it told last says whether.
                let may_hold = !state.is_standby() || memory.told.is_some_and(|told| !line.contains(told));
                let gap = format!("where it ends and what it held past the line: {why}");
                return may_hold.then(|| (Receipt { gaps: vec![gap], ..blank }, Vec::new()));
            }
        };
        let local = Local { system: goal.system, position: end, history: history.clone() };
        match plan(&local, line, goal.system) {
            Plan::Follow | Plan::Refuse { .. } => None,
            Plan::Rewind { fork, past } => {
                let receipt = Receipt { from: Some(fork), to: Some(end), bytes: past, ..blank };
                Some((receipt, stretches(&history, fork, end)))
            }
            Plan::Clone { why } => Some((Receipt { to: Some(end), gaps: vec![why], ..blank }, Vec::new())),
        }
    }

    /// A phrase for each relation, the busiest first.
    async fn name(&self, losses: &Losses, goal: &StandbyGoal, gaps: &mut Vec<String>) -> Vec<String> {
        let old: BTreeSet<FileNode> =
            losses.relations.keys().filter(|relation| !losses.created.contains(relation)).copied().collect();
        let names = match self.server.names_of(&old, &goal.address).await {
            Ok(names) => names,
            Err(error) => {
                gaps.push(format!(
                    "the names of what was written to, which {} would know: {error}",
                    goal.upstream
                ));
                BTreeMap::new()
            }
        };
        let mut by_name: BTreeMap<String, postgres::Changes> = BTreeMap::new();
        for (relation, changes) in &losses.relations {
            let (space, database, file) = relation;
            let place = || match losses.created.contains(relation) {
                true => format!("a relation made there ({space}/{database}/{file})"),
                false => {
                    format!("a relation without a name on {} ({space}/{database}/{file})", goal.upstream)
                }
            };
            let name = names.get(relation).cloned().unwrap_or_else(place);
            by_name.entry(name).or_default().add(*changes);
        }
        let mut tables: Vec<(u64, String)> = by_name
            .into_iter()
            .map(|(name, changes)| (changes.rows(), format!("{name}: {changes}")))
            .collect();
        tables.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
        let truncated = (losses.truncations > 0).then(|| format!("{} TRUNCATE", losses.truncations));
        tables.into_iter().map(|(_, table)| table).chain(truncated).collect()
    }
}

/// The copy's own stretches past the fork, a timeline each.
fn stretches(history: &History, fork: Position, end: Position) -> Vec<Stretch> {
    let ends = history.ancestors.iter().map(|ancestor| (ancestor.timeline, ancestor.end));
    let mut from = Lsn(0);
    let mut found = Vec::new();
    for (timeline, to) in ends.chain([(history.timeline, end.lsn)]) {
        let begin = from.max(fork.lsn);
        from = to;
        if timeline >= fork.timeline && begin < to {
            found.push(Stretch { timeline, from: begin, to });
        }
    }
    found
}

/// What fits into a report and into the record.
fn shortened(receipt: Receipt, tables: &[String]) -> Receipt {
    let short = |text: &String| {
        let plain = text.chars().map(|c| if c.is_control() { '?' } else { c });
        plain.take(TOLD_LENGTH).collect::<String>()
    };
    let mut told: Vec<String> = tables.iter().take(TOLD_TABLES).map(short).collect();
    if tables.len() > TOLD_TABLES {
        told.push(format!("and {} more", tables.len() - TOLD_TABLES));
    }
    let gaps = receipt.gaps.iter().take(TOLD_GAPS).map(short).collect();
    Receipt { tables: told, gaps, ..receipt }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::wal::TimelineId;

    #[test]
    fn the_stretches_past_a_fork_are_those_of_the_copy_s_own_timelines() {
        let history = History::parse(TimelineId(8), "1\t0/100\tx\n4\t0/300\tx\n7\t0/500\tx\n").unwrap();
        let at = |timeline, lsn| Position { timeline: TimelineId(timeline), lsn: Lsn(lsn) };
        let stretch =
            |timeline, from, to| Stretch { timeline: TimelineId(timeline), from: Lsn(from), to: Lsn(to) };
        let end = at(8, 0x600);
        assert_eq!(stretches(&history, at(8, 0x510), end), [stretch(8, 0x510, 0x600)]);
        assert_eq!(
            stretches(&history, at(7, 0x400), end),
            [stretch(7, 0x400, 0x500), stretch(8, 0x500, 0x600)]
        );
        assert_eq!(stretches(&history, at(7, 0x500), end), [stretch(8, 0x500, 0x600)]);
    }

    #[test]
    fn what_is_told_is_short_and_has_no_control_characters() {
        let tables: Vec<String> = (0..25).map(|n| format!("t{n}\n{}", "x".repeat(500))).collect();
        let receipt = Receipt {
            gaps: vec!["g\r".to_owned()],
            ..Receipt::about(Default::default(), Default::default(), Rebuild::Rewind)
        };
        let told = shortened(receipt, &tables);
        assert_eq!(told.tables.len(), TOLD_TABLES + 1);
        assert!(told.tables.iter().all(|table| table.len() <= TOLD_LENGTH && !table.contains('\n')));
        assert_eq!(told.gaps, ["g?"]);
    }
}
