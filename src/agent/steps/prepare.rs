//! What must be so before the first commit of an epoch, in as few round trips as it takes: writes wait meanwhile.

use super::configure::text;
use super::{Done, StepError};
use crate::instance::Instance;
use crate::postgres::{Clients, HistoryFile, Role, cut_to};
use crate::session::now;
use interrex_cluster::goal::PrimaryGoal;
use interrex_cluster::ids::Stamp;
use interrex_cluster::instance::next_step::Stop;
use interrex_cluster::wal::{History, TimelineId};

impl Instance {
    /// Histories, slots, clients out, the rule configured and shown. The server is in recovery and receives nothing.
    pub(super) async fn prepare(&self, stamp: Stamp, goal: &PrimaryGoal) -> Done {
        let own = self.own_history(goal.line.as_ref()).await?;
        if self.removed_abandoned(own.timeline, None).await? {
            return self.stop(Stop::Fast, "it knew of a timeline that it is not on").await;
        }
        let sync = text(&goal.sync);
        let role = Role::Primary { sync: sync.clone() };
        self.run().role = None;
        // Also when an epoch prepared it and was superseded: the checkpointer may not have heard of anything since (F7).
        if goal.sync.k == 0 || self.server.shown("synchronous_standby_names").await?.is_empty() {
            self.run().from_async = true;
        }
        let files = async {
            self.write_histories(goal, &own).await?;
            let hba = self.server.write_hba(Clients::Out).await?;
            let settings = self.write_role(&role).await?;
            self.still(stamp)?;
            if hba || settings || !sync.is_shown_by(&self.server.shown("synchronous_standby_names").await?) {
                self.server.reload().await?;
            }
            Ok::<_, StepError>(())
        };
        let slots = async { Ok::<_, StepError>(self.server.ensure_slots(&goal.slots).await?) };
        let ((), left) = tokio::try_join!(files, slots)?;
        // A fresh connection that shows the rule was made by a postmaster that had read pg_hba.conf, too: whoever is
        // there now came before, and nobody comes after.
        self.shown("synchronous_standby_names", |shown| sync.is_shown_by(shown)).await?;
        self.server.cut_clients().await?;
        let mut run = self.run();
        run.role = Some(role);
        run.upstream = None;
        run.clients = Some(Clients::Out);
        run.made_slots(&goal.slots, left, now());
        Ok(())
    }

    /// Every number below the epoch gets a history, so that the promotion lands exactly on timeline = epoch (F20): the
    /// real ones of the line that this copy is on, placeholders for all others. Never the real history of a timeline
    /// that this copy is not on, confirmed or not: the startup process looks for a newer one all the time, would take
    /// it for its target, and the promotion would name an ancestor that this copy holds nothing of.
    async fn write_histories(&self, goal: &PrimaryGoal, own: &History) -> Done {
        let there = self.server.histories().await?;
        for number in (2..goal.epoch.0).map(TimelineId) {
            match due(own, number, there.get(&number)) {
                Due::Nothing => {}
                Due::Real(history) => self.server.write_history(&history).await?,
                Due::Placeholder => self.server.write_placeholder(number).await?,
            }
        }
        Ok(())
    }

    /// Ancestry of the timeline that this copy's newest record is on.
    async fn own_history(&self, line: Option<&History>) -> Result<History, StepError> {
        let kept = self.run().replaying;
        let timeline = match kept {
            Some(timeline) => timeline,
            None => {
                let replayed = self.server.replayed().await?;
                self.server.wal_end(replayed, line).await?.timeline
            }
        };
        self.run().replaying = Some(timeline);
        self.history(timeline, line).await
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Real(History),
    Placeholder,
}

/// What is to be written for a number, given the copy's own line and the file that is there.
fn due(own: &History, number: TimelineId, there: Option<&HistoryFile>) -> Due {
    match (there, cut_to(own, number)) {
        (Some(HistoryFile::Real(_) | HistoryFile::Placeholder), _) => Due::Nothing,
        (Some(HistoryFile::Damaged(_)) | None, Some(history)) => Due::Real(history),
        (Some(HistoryFile::Damaged(_)) | None, None) => Due::Placeholder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ancestors_of_the_winner_s_own_end_get_a_real_history() {
        // Timeline 7 was confirmed, and the winner (an operator accepted the loss) ends on timeline 4.
        let own = History::parse(TimelineId(4), "1\t0/300\tx\n2\t0/400\tx\n").unwrap();
        let parent = History::parse(TimelineId(2), "1\t0/300\tx\n").unwrap();
        let due = |number| due(&own, TimelineId(number), None);
        assert_eq!(due(2), Due::Real(parent));
        assert_eq!(due(3), Due::Placeholder);
        assert_eq!(due(4), Due::Real(own.clone()));
        for foreign in [5, 6, 7] {
            assert_eq!(due(foreign), Due::Placeholder, "{foreign}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let own = History::parse(TimelineId(4), "1\t0/300\tx\n").unwrap();
        let there = Some(HistoryFile::Real(own.clone()));
        assert_eq!(due(&own, TimelineId(4), there.as_ref()), Due::Nothing);
        assert_eq!(due(&own, TimelineId(3), Some(&HistoryFile::Placeholder)), Due::Nothing);
    }
}
