//! The commit rule: into the configuration, into force, proved. And what standbys need of their primary.

use super::Done;
use crate::instance::Instance;
use crate::postgres::{HistoryFile, Role, Rule, SyncText};
use interrex_cluster::goal::{PrimaryGoal, SyncSetting};
use interrex_cluster::ids::Stamp;
use interrex_cluster::report;
use interrex_cluster::wal::{History, TimelineId};
use std::time::Duration;

/// A proof that takes longer begins anew: the rule may be another by then.
const PROVED_WITHIN: Duration = Duration::from_secs(10);

impl Instance {
    /// `synchronous_standby_names` as the goal has it; shown by a fresh connection when this returns.
    pub(super) async fn configure(&self, stamp: Stamp, goal: &PrimaryGoal) -> Done {
        let sync = text(&goal.sync);
        if goal.sync.k == 0 {
            // The deadline falls back to what coordinators granted before any commit may go unacknowledged.
            self.keeper.asynchronous().await?;
        }
        let before = self.server.shown("synchronous_standby_names").await?;
        if before.is_empty() && goal.sync.k > 0 {
            self.run().from_async = true;
        }
        let role = Role::Primary { sync: sync.clone() };
        self.run().role = None;
        self.still(stamp)?;
        if self.write_role(&role).await? || !sync.is_shown_by(&before) {
            self.server.reload().await?;
        }
        self.shown("synchronous_standby_names", |shown| sync.is_shown_by(shown)).await?;
        self.run().role = Some(role);
        Ok(())
    }

    /// The three-part barrier (PROTOCOL.md). Only after it may coordinators retire older rules, and beats renew.
    pub(super) async fn prove(&self, goal: &PrimaryGoal) -> Done {
        let from_async = self.run().from_async;
        let rule = Rule { sync: text(&goal.sync), from_async };
        self.server.barrier(&rule, PROVED_WITHIN).await?;
        if goal.sync.k > 0 {
            self.keeper.synchronous().await;
        }
        self.run().from_async = false;
        self.known().proofs.rule = Some((goal.epoch, goal.sync.rule));
        tracing::info!(
            cluster = %self.config.cluster, epoch = %goal.epoch, rule = %goal.sync.rule, k = goal.sync.k,
            "the commit rule is in force"
        );
        Ok(())
    }

    /// Every number below the epoch gets its history: the real ones of the line, placeholders for the others, so that
    /// the promotion lands exactly on timeline = epoch (F20).
    pub(super) async fn write_histories(&self, goal: &PrimaryGoal) -> Done {
        let there = self.server.histories().await?;
        for number in (2..goal.epoch.0).map(TimelineId) {
            match there.get(&number) {
                Some(HistoryFile::Real(_) | HistoryFile::Placeholder) => {}
                Some(HistoryFile::Damaged(_)) | None => {
                    match goal.line.as_ref().and_then(|line| ancestor(line, number)) {
                        Some(history) => self.server.write_history(&history).await?,
                        None => self.server.write_placeholder(number).await?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Slots, already before the promotion; roles, which only a primary can make.
    pub(super) async fn serve_standbys(&self, goal: &PrimaryGoal) -> Done {
        self.server.ensure_slots(&goal.slots).await?;
        self.run().slots = goal.slots.iter().cloned().collect();
        let ready = self.run().roles_ready;
        let recovers = matches!(
            self.report.borrow().as_ref().map(|outgoing| &outgoing.report.server),
            Some(report::Server::Standby(_))
        );
        if !ready && !recovers {
            self.server.ensure_roles(&self.config.cluster).await?;
            self.run().roles_ready = true;
        }
        Ok(())
    }
}

pub(super) fn text(sync: &SyncSetting) -> SyncText {
    SyncText { k: sync.k, names: sync.names.clone() }
}

/// Ancestry of one of the timelines that `line` is made of; none when that timeline is not on it.
fn ancestor(line: &History, timeline: TimelineId) -> Option<History> {
    if line.timeline == timeline {
        return Some(line.clone());
    }
    let at = line.ancestors.iter().position(|ancestor| ancestor.timeline == timeline)?;
    Some(History { timeline, ancestors: line.ancestors[..at].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_back_to_one_of_its_timelines() {
        let line = History::parse(TimelineId(7), "1\t0/300\tx\n4\t0/500\tx\n").unwrap();
        assert_eq!(ancestor(&line, TimelineId(4)).unwrap().render(), "1\t0/300\tinterrex\n");
        assert_eq!(ancestor(&line, TimelineId(7)), Some(line.clone()));
        assert_eq!(ancestor(&line, TimelineId(1)).unwrap().ancestors, []);
        assert_eq!(ancestor(&line, TimelineId(5)), None);
    }
}
