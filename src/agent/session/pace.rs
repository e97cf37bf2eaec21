//! How often a line is spoken on: at each piece of news, and as seldom as what is told may be late.
//!
//! Nothing here waits by a clock of its own: a line asks what is due, and waits.

use crate::told::Outgoing;
use interrex_cluster::report::{Report, Server};
use std::time::Duration;
use tokio::sync::watch;

/// Each look brings news, and looks are a heartbeat apart: only where one takes longer than this part of a heartbeat
/// more is what the last one found told once more.
const LATE_BY: u32 = 5;
/// A coordinator that does not lead is told what moves all the time at every third heartbeat: half of a policy's
/// `fresh`, and half of what an agent's lines cost.
const BEATS_OF_OTHERS: u32 = 3;
/// The one that leads is told at every second one how far a standby at rest is.
const BEATS_AT_REST: u32 = 2;

/// When the next report goes out on a line.
pub(super) struct Due {
    /// At the latest.
    pub(super) within: Duration,
    /// What lasts of the report that the line's end knows, where only news of that goes out sooner.
    told: Option<Report>,
}

impl Due {
    /// To a coordinator that knows nothing yet.
    pub(super) fn at_first(heartbeat: Duration) -> Self {
        Self { within: heartbeat + heartbeat / LATE_BY, told: None }
    }

    /// To one that knows this `report`. `leads`: as far as it knows. `reigns`: it is a primary's; where that is, and that it is
    /// there, nobody may know late.
    pub(super) fn after(heartbeat: Duration, report: &Report, leads: bool, reigns: bool) -> Self {
        if reigns || (leads && !at_rest(report)) {
            return Self::at_first(heartbeat);
        }
        let beats = if leads { BEATS_AT_REST } else { BEATS_OF_OTHERS };
        Self { within: heartbeat * beats, told: Some(report.lasting()) }
    }

    /// Waits for what has to be told at once.
    ///
    /// # Errors
    /// Whoever reports is gone.
    pub(super) async fn news(
        &self,
        reports: &mut watch::Receiver<Option<Outgoing>>,
    ) -> Result<(), watch::error::RecvError> {
        loop {
            reports.changed().await?;
            let Some(told) = &self.told else { return Ok(()) };
            let newest = reports.borrow_and_update();
            if newest.as_ref().is_none_or(|outgoing| outgoing.report.lasting() != *told) {
                return Ok(());
            }
        }
    }
}

/// A standby that streams from a primary that answers. Where it does not answer, when WAL last came is testimony of which
/// every moment counts.
fn at_rest(report: &Report) -> bool {
    let streams = match &report.server {
        Server::Standby(standby) => standby.receiver.as_ref().is_some_and(|receiver| receiver.streaming),
        _ => false,
    };
    streams && report.knock.is_some_and(|knock| knock.answered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use interrex_cluster::ids::{DirectoryId, Epoch, SystemId};
    use interrex_cluster::report::{Knock, Receiver, Standby};
    use interrex_cluster::time::Instant;
    use interrex_cluster::wal::{Lsn, TimelineId};

    const HEARTBEAT: Duration = Duration::from_millis(250);

    /// A standby that has replayed so much; `answers`: the primary that it streams from.
    fn outgoing(replayed: u64, answers: bool, doubt: Option<&str>) -> Outgoing {
        let (streaming, timeline, flushed) = (true, TimelineId(1), Lsn(replayed));
        let receiver = Receiver { upstream: None, streaming, timeline, flushed, quiet_ms: 0 };
        let standby = Standby { system: SystemId(7), replayed: Lsn(replayed), receiver: Some(receiver) };
        let directory = DirectoryId("d1".to_owned());
        let report = Report::of("n2".parse().unwrap(), directory, Server::Standby(standby));
        let knock = Some(Knock { epoch: Epoch(7), answered: answers, for_ms: 1 });
        let report = Report { doubt: doubt.map(str::to_owned), knock, ..report };
        Outgoing { report, wants_lease: None, seen: Instant(0) }
    }

    /// Whether it is told at once that more was replayed, and that there is a doubt.
    fn told_at_once(leads: bool, answers: bool) -> (bool, bool) {
        let known = outgoing(5, answers, None);
        let due = Due::after(HEARTBEAT, &known.report, leads, false);
        let (reports, mut line) = watch::channel(Some(known));
        reports.send_replace(Some(outgoing(9, answers, None)));
        let more = due.news(&mut line.clone()).now_or_never().is_some();
        reports.send_replace(Some(outgoing(9, answers, Some("it is shorter than it was"))));
        (more, due.news(&mut line).now_or_never().is_some())
    }

    #[test]
    fn news_goes_out_at_once_and_what_moves_all_the_time_only_to_a_leader_and_not_at_rest() {
        assert_eq!(told_at_once(false, true), (false, true));
        assert_eq!(told_at_once(false, false), (false, true));
        assert_eq!(told_at_once(true, true), (false, true));
        assert_eq!(told_at_once(true, false), (true, true));
    }

    #[test]
    fn a_primary_speaks_to_everybody_at_each_look_and_a_standby_at_rest_more_seldom() {
        let report = outgoing(5, true, None).report;
        let within = |leads, reigns| Due::after(HEARTBEAT, &report, leads, reigns).within.as_millis();
        assert_eq!((within(true, true), within(false, true)), (300, 300));
        assert_eq!((within(true, false), within(false, false)), (500, 750));
    }
}
