//! What must be so before the first commit of an epoch, in as few round trips as it takes: writes wait meanwhile.

use super::configure::text;
use super::{Done, StepError};
use crate::instance::Instance;
use crate::postgres::{Clients, HistoryFile, Role};
use interrex_cluster::goal::PrimaryGoal;
use interrex_cluster::ids::Stamp;
use interrex_cluster::wal::{History, TimelineId};

impl Instance {
    /// Histories, slots, clients out, the rule configured and shown. The server is in recovery and receives nothing.
    pub(super) async fn prepare(&self, stamp: Stamp, goal: &PrimaryGoal) -> Done {
        let sync = text(&goal.sync);
        let role = Role::Primary { sync: sync.clone() };
        self.run().role = None;
        let files = async {
            self.write_histories(goal).await?;
            let hba = self.server.write_hba(Clients::Out).await?;
            let settings = self.write_role(&role).await?;
            self.still(stamp)?;
            if hba || settings || !sync.is_shown_by(&self.server.shown("synchronous_standby_names").await?) {
                self.server.reload().await?;
            }
            Ok::<_, StepError>(())
        };
        let slots = async { Ok::<_, StepError>(self.server.ensure_slots(&goal.slots).await?) };
        tokio::try_join!(files, slots)?;
        // A fresh connection that shows the rule was made by a postmaster that had read pg_hba.conf, too: whoever is
        // there now came before, and nobody comes after.
        self.shown("synchronous_standby_names", |shown| sync.is_shown_by(shown)).await?;
        self.server.cut_clients().await?;
        let mut run = self.run();
        run.role = Some(role);
        run.upstream = None;
        run.clients = Some(Clients::Out);
        run.slots = goal.slots.iter().cloned().collect();
        Ok(())
    }

    /// Every number below the epoch gets its history: the real ones of the line, placeholders for the others, so that
    /// the promotion lands exactly on timeline = epoch (F20).
    async fn write_histories(&self, goal: &PrimaryGoal) -> Done {
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
