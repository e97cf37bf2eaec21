//! What the agent knows of its server since that was started, and nothing else could tell: which settings it wrote and
//! saw in force, what it made, when it last answered. Forgotten with the process, found out anew by idempotent steps.

use crate::postgres::{Clients, Existing, Role};
use crate::session::now;
use interrex_cluster::ids::{Epoch, Incarnation, InstanceName};
use interrex_cluster::instance::observed::{Data, EarlyEnds, End};
use interrex_cluster::receipt::Receipt;
use interrex_cluster::report::{Found, Need, Proofs, Unfit};
use interrex_cluster::time::Instant;
use interrex_cluster::wal::{Lsn, Position, TimelineId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// So much of the end of a log is searched for a server's last words.
const LAST_WORDS: u64 = 64 << 10;
/// So much of a log is shown for a server that does not start.
const SHOWN_LINES: usize = 6;
const SHOWN_LENGTH: usize = 300;
/// Before a copy is asked for after one that was made in vain; doubled with each further one. A clone reads and writes
/// everything there is.
const FIRST_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(3_600);
/// FATAL lines of connections and receivers, which end while their server goes on.
const OF_OTHERS: [&str; 6] = [
    "the database system is",
    "terminating",
    "authentication",
    "pg_hba.conf entry",
    "the primary server",
    "WAL stream",
];

/// Knowledge in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// Settings written and in force.
    pub(crate) role: Option<Role>,
    /// The upstream's name behind those settings.
    pub(crate) upstream: Option<InstanceName>,
    /// What pg_hba.conf says, and is in force.
    pub(crate) clients: Option<Clients>,
    /// Slots that were made.
    pub(crate) slots: BTreeSet<String>,
    /// Slots that nobody is to have and somebody used, and when to look at them again.
    pub(crate) slots_left: Option<(Instant, Vec<String>)>,
    /// The cluster's parameters, written and reloaded.
    pub(crate) parameters: Option<BTreeMap<String, String>>,
    /// They were written, and the server has not read its files since: what to compare with.
    pub(crate) unread: Option<String>,
    /// Parameters whose new values wait for a restart.
    pub(crate) pending_restart: Vec<String>,
    /// Roles were made.
    pub(crate) roles_ready: bool,
    /// The primary that stopped last, in good order, and it is configured with less of what replay checks than it runs
    /// with: it is promoted with what is configured, and nobody else may have less before.
    pub(crate) lowers: bool,
    /// It was started to be promoted at once, and answers nobody before that.
    pub(crate) answers_nobody: bool,
    /// Timeline that a standby without a receiver replays.
    pub(crate) replaying: Option<TimelineId>,
    /// This process was once told that commits wait for nobody, or may have been, and no CHECKPOINT completed since a
    /// fresh connection showed otherwise: nobody knows whether its commits wait (F7). Unsaid by proof alone.
    pub(crate) from_async: bool,
    /// It is out of recovery: promoted since it was started. There is no way back for this process.
    pub(crate) promoted: bool,
    /// When it last answered; absent before it ever did.
    pub(crate) answered: Option<Instant>,
    /// Since when it has let nobody new in, though it did before.
    pub(crate) deaf_since: Option<Instant>,
    /// What was met instead of an answer when it last gave none.
    pub(crate) unanswered: Option<String>,
    /// When the process was first seen.
    pub(crate) seen_since: Option<Instant>,
    /// When a beat of this epoch last came back.
    pub(crate) beaten: Option<(Epoch, Instant)>,
    /// How far the server's log had come when it was last pointed at an upstream.
    pub(crate) log_from: u64,
    /// Where replay stands while nothing streams, and since when.
    pub(crate) stands: Option<(Lsn, Instant)>,
}

/// Knowledge that outlives the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The data directory; absent: look again.
    pub(crate) data: Option<Data>,
    /// Where the copy ends.
    pub(crate) end: Option<End>,
    /// Why its WAL does not tell where it ends: damaged, or not all there. Void as soon as `end` is.
    pub(crate) endless: Option<String>,
    /// Why the copy of that incarnation counts for nothing: it ends below what was told of it.
    pub(crate) doubt: Option<(Incarnation, String)>,
    /// Highest end of WAL seen of the copy, yet to be written down.
    pub(crate) highest: Option<Position>,
    /// The newest receipt on this machine.
    pub(crate) receipt: Option<Receipt>,
    /// Why the copy cannot be rewound: under this incarnation a clone is asked for instead.
    pub(crate) unrewindable: Option<(Incarnation, String)>,
    /// How often in a row the server ended before it answered anything.
    pub(crate) early_ends: u32,
    /// The same of one copy, with its last words.
    pub(crate) hopeless: Option<EarlyEnds>,
    /// The last lines of its log when it did.
    pub(crate) last_lines: Vec<String>,
    /// When the copy was made, or first seen by this run of the agent.
    pub(crate) copy_since: Option<Instant>,
    /// No further start before this.
    pub(crate) start_after: Option<Instant>,
    /// How the server ended, when it was not stopped on purpose.
    pub(crate) exit: Option<String>,
    /// What was proved.
    pub(crate) proofs: Proofs,
    /// What is asked for at the moment.
    pub(crate) need: Option<Need>,
    /// What the agent is busy with.
    pub(crate) doing: Option<String>,
    /// Parameters that are lower than on the primary.
    pub(crate) too_low: Vec<Unfit>,
    /// Since when the goal has had `k = 0`.
    pub(crate) async_since: Option<Instant>,
    /// What lies in a directory that is to be adopted.
    pub(crate) found: Option<Looked>,
}

/// A look at a directory that is to be adopted.
#[derive(Debug, Clone)]
pub(crate) struct Looked {
    /// When.
    pub(crate) at: Instant,
    /// What is told of it, or why nothing can be.
    pub(crate) found: Result<Found, String>,
    /// All that was seen; absent: it could not be looked at.
    pub(crate) existing: Option<Existing>,
}

/// A busy machine may take so long to let somebody in: before this it is not told of.
const DEAF_AFTER: Duration = Duration::from_secs(2);
/// Before a slot is looked at again that was in use and is to go: whoever used it may only have been slow to leave.
const SLOTS_AGAIN: Duration = Duration::from_secs(10);

impl Run {
    /// Of a process that was just started or found.
    pub(crate) fn begun() -> Self {
        Self { seen_since: Some(now()), ..Self::default() }
    }

    /// Takes in one more knock at its door, which began at `began`; true when it lets somebody in again.
    pub(crate) fn knocked(&mut self, answered: bool, began: Instant) -> bool {
        let before = self.deaf_since;
        self.deaf_since = if answered { None } else { before.or(Some(began)) };
        before.is_some() && answered
    }

    /// For how long it has let nobody new in, where that is longer than a busy machine takes for it.
    pub(crate) fn deaf_for(&self, now: Instant) -> Option<Duration> {
        self.deaf_since.map(|since| now.since(since)).filter(|deaf| *deaf >= DEAF_AFTER)
    }

    /// The slots `wanted` are there now, and those `left`, which somebody used.
    pub(crate) fn made_slots(&mut self, wanted: &[String], left: Vec<String>, now: Instant) {
        self.slots = wanted.iter().cloned().collect();
        self.slots_left = (!left.is_empty()).then(|| (now.plus(SLOTS_AGAIN), left));
    }

    /// Those of the slots that were made are there: what was dropped, or has lost its WAL, is made again.
    pub(crate) fn keep_slots(&mut self, there: &[String]) {
        self.slots.retain(|slot| there.contains(slot));
    }

    /// The slots that are there. One that was in use is shown once it is time to look at it again: it holds WAL for
    /// somebody who has left, and no change of the goal may ever come to take it away.
    pub(crate) fn shown_slots(&self, now: Instant) -> BTreeSet<String> {
        let due = self.slots_left.iter().filter(|(again, _)| now >= *again);
        self.slots.iter().chain(due.flat_map(|(_, left)| left)).cloned().collect()
    }

    /// It lets nobody in, and never will, unless it is promoted: that is no start that is to be waited for.
    pub(crate) fn is_silent(&self) -> bool {
        self.answers_nobody && self.answered.is_none()
    }

    /// For how long replay has stood at `replayed` while nothing streams.
    pub(crate) fn stands_for(&mut self, replayed: Lsn, now: Instant) -> Duration {
        let (_, since) = *match &mut self.stands {
            Some(stands) if stands.0 == replayed => stands,
            stands => stands.insert((replayed, now)),
        };
        now.since(since)
    }

    /// Milliseconds since a beat of `epoch` came back.
    pub(crate) fn beat_age_ms(&self, epoch: Epoch) -> Option<u64> {
        let (of, at) = self.beaten?;
        (of == epoch).then(|| u64::try_from(now().since(at).as_millis()).unwrap_or(u64::MAX))
    }
}

impl Known {
    /// The copy ended by itself before it answered anything; or it did answer, or was stopped on purpose.
    pub(crate) fn ended_early(&mut self, early: bool, copy: Incarnation, words: Option<String>) {
        let before = self.hopeless.take().filter(|before| before.incarnation == copy);
        self.hopeless = early.then(|| EarlyEnds {
            incarnation: copy,
            times: before.as_ref().map_or(0, |before| before.times).saturating_add(1),
            words,
        });
    }
}

/// Before another copy is asked for where `in_vain` were made one after the other, and none ever answered.
pub(crate) fn before_another_copy(in_vain: u32) -> Option<Duration> {
    let doublings = in_vain.checked_sub(1)?;
    Some((FIRST_REST * 2u32.saturating_pow(doublings.min(16))).min(LONGEST_REST))
}

/// The last lines of a log, oldest first, each cut to a length that can be shown.
pub(crate) fn last_lines(log: &str) -> Vec<String> {
    let mut lines: Vec<String> = log
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(SHOWN_LINES)
        .map(|line| line.chars().take(SHOWN_LENGTH).collect())
        .collect();
    lines.reverse();
    lines
}

/// What a server wrote to its log past `from`: the end of it, where that is much. Absent: it cannot be read.
pub(crate) fn tail(log: &Path, from: u64) -> Option<String> {
    let mut log = File::open(log).ok()?;
    let length = log.metadata().ok()?.len();
    // It was emptied since (`server_log`): all that stands in it is newer.
    let from = if length < from { 0 } else { from };
    log.seek(SeekFrom::Start(from.max(length.saturating_sub(LAST_WORDS)))).ok()?;
    let mut text = Vec::new();
    log.take(LAST_WORDS).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The last FATAL or PANIC line of a log, without the time; or what was said before there was a log, of values that do not go
/// together (`postgres: …`).
pub(crate) fn last_words(log: &str) -> Option<String> {
    let said = |line: &str| {
        if OF_OTHERS.iter().any(|words| line.contains(words)) {
            return None;
        }
        let fatal = ["FATAL:", "PANIC:"].iter().find_map(|level| Some(line.split_once(level)?.1));
        Some(fatal.or_else(|| line.strip_prefix("postgres: "))?.trim().to_owned())
    };
    log.lines().rev().find_map(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_ends_are_counted_by_copy_and_an_answer_ends_the_count() {
        let mut known = Known::default();
        let (one, two) = (Incarnation(1), Incarnation(2));
        let times = |known: &Known| known.hopeless.as_ref().map(|ends| (ends.incarnation, ends.times));
        known.ended_early(true, one, None);
        known.ended_early(true, one, None);
        assert_eq!(times(&known), Some((one, 2)));
        known.ended_early(true, two, None);
        assert_eq!(times(&known), Some((two, 1)));
        known.ended_early(false, two, None);
        assert_eq!(times(&known), None);
    }

    #[test]
    fn a_server_is_deaf_once_nobody_was_let_in_for_longer_than_a_busy_one_takes() {
        let mut run = Run::default();
        let deaf = |run: &Run, at| run.deaf_for(Instant(at)).map(|deaf| deaf.as_millis());
        assert!(!run.knocked(true, Instant(1_000)));
        assert!(!run.knocked(false, Instant(2_000)), "nothing is concluded yet");
        run.knocked(false, Instant(3_250));
        assert_eq!((deaf(&run, 3_999), deaf(&run, 4_000)), (None, Some(2_000)), "counted from the first");
        assert!(run.knocked(true, Instant(4_500)), "which is told at once");
        assert_eq!(deaf(&run, 9_000), None);
    }

    #[test]
    fn the_pause_before_another_copy_grows_and_has_an_end() {
        assert_eq!(before_another_copy(0), None);
        let minutes = |in_vain| before_another_copy(in_vain).unwrap().as_secs() / 60;
        assert_eq!([1, 2, 3, 6, 7, 40].map(minutes), [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn the_last_words_are_those_of_the_last_start() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let old = "2026-11-22 UTC [1] FATAL:  could not bind\n";
        let new = "2026-11-22 UTC [7] FATAL:  requested timeline 8 is not a child\n\
                   2026-11-22 UTC [8] FATAL:  the database system is starting up\n\
                   2026-11-22 UTC [6] LOG:  shut down\n";
        std::fs::write(&log, format!("{old}{new}")).unwrap();
        let words = |log: &Path, from| tail(log, from).and_then(|log| last_words(&log));
        let lines = |log: &Path, from| last_lines(&tail(log, from).unwrap());
        assert_eq!(words(&log, old.len() as u64).as_deref(), Some("requested timeline 8 is not a child"));
        assert_eq!(words(&log, (old.len() + new.len()) as u64), None);
        assert!(words(&log, 1 << 30).is_some(), "it was emptied meanwhile, and all of it is newer");
        assert_eq!(lines(&log, old.len() as u64), new.lines().collect::<Vec<_>>());
        assert_eq!(words(&dir.path().join("none"), 0), None);
        let early = "postgres: superuser_reserved_connections (6) must be less than max_connections (3)\n";
        assert_eq!(last_words(early).as_deref(), early.trim().strip_prefix("postgres: "));
    }

    #[test]
    fn a_slot_that_somebody_used_is_looked_at_again_after_a_while() {
        let mut run = Run::default();
        let (mine, gone) = (["ix_a".to_owned()], "ix_gone".to_owned());
        run.made_slots(&mine, vec![gone.clone()], Instant(1_000));
        let shown = |run: &Run, at| run.shown_slots(Instant(at)).into_iter().collect::<Vec<_>>();
        assert_eq!(shown(&run, 10_999), mine);
        assert_eq!(shown(&run, 11_000), [mine[0].clone(), gone]);
        run.made_slots(&mine, Vec::new(), Instant(11_010));
        assert_eq!(shown(&run, 90_000), mine);
    }

    #[test]
    fn replay_stands_still_from_when_nothing_streamed() {
        let mut run = Run::default();
        assert_eq!(run.stands_for(Lsn(5), Instant(1_000)), Duration::ZERO);
        assert_eq!(run.stands_for(Lsn(5), Instant(31_000)), Duration::from_secs(30));
        assert_eq!(run.stands_for(Lsn(6), Instant(32_000)), Duration::ZERO);
        run.stands = None;
        assert_eq!(run.stands_for(Lsn(6), Instant(90_000)), Duration::ZERO);
    }
}
