//! Whether a copy can follow an upstream as it is: judged by the *contents* of timeline histories, never by numbers
//! alone and never by pg_rewind's word (F20, F26).
//!
//! Both histories are walked from the oldest timeline on. As long as both name the same timeline and leave it at the
//! same place they share everything; where they part, the earlier end is the fork. What a copy holds past the fork,
//! the upstream does not have: it has to be rewound. What was only *received* past it and never replayed does no harm
//! (F22): the caller passes the end of replay for a running standby, and the durable end of WAL for a stopped one,
//! which would replay everything it has at its next start.

use crate::ids::SystemId;
use crate::report::Rebuild;
use crate::wal::{History, Lsn, Position, TimelineId};
use std::fmt;

/// A copy on disk, or running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Its system identifier.
    pub system: SystemId,
    /// End of replay of a running standby; durable end of WAL of a stopped server.
    pub position: Position,
    /// Ancestry of `position.timeline`, as the copy's own history file tells it.
    pub history: History,
}

/// How a copy gets back onto the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// On the line, not past a fork: stream.
    Follow,
    /// Past a fork by `past` bytes: keep what will go, rewind to `fork`.
    Rewind {
        /// Where the copy left the line.
        fork: Position,
        /// Bytes of WAL that it holds past it.
        past: u64,
    },
    /// Shares no timeline with the line: nothing to rewind to.
    Clone {
        /// Why, for people.
        why: String,
    },
    /// Another cluster's data: never touched (F38).
    Refuse {
        /// The copy's identifier.
        found: SystemId,
        /// The cluster's.
        expected: SystemId,
    },
}

impl Plan {
    /// The rebuild to ask for, with the reason; none when the copy can follow or must not be touched.
    pub fn need(&self) -> Option<(Rebuild, String)> {
        match self {
            Plan::Follow | Plan::Refuse { .. } => None,
            Plan::Rewind { .. } => Some((Rebuild::Rewind, self.to_string())),
            Plan::Clone { .. } => Some((Rebuild::Clone, self.to_string())),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plan::Follow => f.write_str("it is on the line and can stream"),
            Plan::Rewind { fork, past } => write!(f, "it holds {past} bytes past the fork at {fork}"),
            Plan::Clone { why } => f.write_str(why),
            Plan::Refuse { found, expected } => {
                write!(
                    f,
                    "its system identifier is {found}, the cluster's is {expected}: another cluster's data"
                )
            }
        }
    }
}

/// What brings `local` onto `line`, the ancestry of the upstream's timeline in the cluster `system`.
pub fn plan(local: &Local, line: &History, system: SystemId) -> Plan {
    if local.system != system {
        return Plan::Refuse { found: local.system, expected: system };
    }
    let mine = path(&local.history, local.position.lsn);
    let theirs = path(line, Lsn(u64::MAX));
    let mut fork: Option<Position> = None;
    for ((timeline, my_end), (their_timeline, their_end)) in mine.iter().zip(&theirs) {
        if timeline != their_timeline {
            break;
        }
        fork = Some(Position { timeline: *timeline, lsn: *my_end.min(their_end) });
        let my_last = *timeline == local.position.timeline;
        if my_last && my_end <= their_end {
            return Plan::Follow;
        }
        if my_end != their_end {
            break;
        }
    }
    match fork {
        Some(fork) => Plan::Rewind { fork, past: local.position.lsn.bytes_since(fork.lsn) },
        None => Plan::Clone {
            why: format!(
                "its history begins on timeline {}, the cluster's on timeline {}: nothing in common",
                first(&mine),
                first(&theirs)
            ),
        },
    }
}

/// A history as the stretches it is made of: each timeline with where it was left.
fn path(history: &History, end: Lsn) -> Vec<(TimelineId, Lsn)> {
    let ancestors = history.ancestors.iter().map(|ancestor| (ancestor.timeline, ancestor.end));
    ancestors.chain([(history.timeline, end)]).collect()
}

fn first(path: &[(TimelineId, Lsn)]) -> TimelineId {
    path.first().map_or(TimelineId(0), |(timeline, _)| *timeline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Ancestor;

    const SYSTEM: SystemId = SystemId(77);

    fn history(timeline: u32, ancestors: &[(u32, u64)]) -> History {
        let ancestors =
            ancestors.iter().map(|(t, end)| Ancestor { timeline: TimelineId(*t), end: Lsn(*end) }).collect();
        History { timeline: TimelineId(timeline), ancestors }
    }

    /// The cluster's line: 1 until 100, 2 until 300, then 5.
    fn line() -> History {
        history(5, &[(1, 100), (2, 300)])
    }

    fn local(timeline: u32, lsn: u64, ancestors: &[(u32, u64)]) -> Local {
        Local {
            system: SYSTEM,
            position: Position { timeline: TimelineId(timeline), lsn: Lsn(lsn) },
            history: history(timeline, ancestors),
        }
    }

    fn rewind(timeline: u32, lsn: u64, past: u64) -> Plan {
        Plan::Rewind { fork: Position { timeline: TimelineId(timeline), lsn: Lsn(lsn) }, past }
    }

    #[test]
    fn a_copy_that_ends_before_the_fork_follows() {
        assert_eq!(plan(&local(2, 250, &[(1, 100)]), &line(), SYSTEM), Plan::Follow);
    }

    #[test]
    fn a_copy_that_ends_exactly_at_the_fork_follows() {
        assert_eq!(plan(&local(2, 300, &[(1, 100)]), &line(), SYSTEM), Plan::Follow);
    }

    #[test]
    fn a_copy_past_the_fork_is_rewound_to_it() {
        assert_eq!(plan(&local(2, 348, &[(1, 100)]), &line(), SYSTEM), rewind(2, 300, 48));
    }

    #[test]
    fn a_copy_two_forks_back_follows() {
        assert_eq!(plan(&local(1, 90, &[]), &line(), SYSTEM), Plan::Follow);
    }

    #[test]
    fn a_copy_on_the_upstream_s_own_timeline_follows_wherever_it_is() {
        assert_eq!(plan(&local(5, 9_000, &[(1, 100), (2, 300)]), &line(), SYSTEM), Plan::Follow);
    }

    #[test]
    fn a_promotion_that_never_was_recorded_is_rewound_to_where_it_branched_off() {
        assert_eq!(plan(&local(4, 320, &[(1, 100), (2, 280)]), &line(), SYSTEM), rewind(2, 280, 40));
        assert_eq!(plan(&local(4, 320, &[(1, 100), (2, 310)]), &line(), SYSTEM), rewind(2, 300, 20));
    }

    #[test]
    fn the_same_number_with_other_contents_is_another_timeline() {
        // F20: both on timeline 2, branched off 1 at different places.
        assert_eq!(plan(&local(2, 250, &[(1, 80)]), &line(), SYSTEM), rewind(1, 80, 170));
        assert_eq!(plan(&local(2, 250, &[(1, 120)]), &line(), SYSTEM), rewind(1, 100, 150));
    }

    #[test]
    fn a_copy_that_shares_no_timeline_is_cloned_anew() {
        let Plan::Clone { why } = plan(&local(3, 250, &[]), &line(), SYSTEM) else { panic!("not a clone") };
        assert_eq!(why, "its history begins on timeline 3, the cluster's on timeline 1: nothing in common");
    }

    #[test]
    fn another_cluster_s_copy_is_refused_whatever_its_history() {
        let stranger = Local { system: SystemId(78), ..local(2, 250, &[(1, 100)]) };
        let refused = plan(&stranger, &line(), SYSTEM);
        assert_eq!(refused, Plan::Refuse { found: SystemId(78), expected: SYSTEM });
        assert_eq!(refused.need(), None);
    }

    #[test]
    fn a_need_says_how_far_past_the_fork() {
        let need = plan(&local(2, 348, &[(1, 100)]), &line(), SYSTEM).need();
        assert_eq!(
            need,
            Some((Rebuild::Rewind, "it holds 48 bytes past the fork at 0/12C on timeline 2".to_owned()))
        );
    }
}
