//! Positions and ancestries.

use super::{BadMessage, Wire, each, maybe};
use crate::pb;
use interrex_cluster::wal::{Ancestor, History, Lsn, Position, TimelineId};

impl Wire for Position {
    type Pb = pb::Position;

    fn to_pb(&self) -> pb::Position {
        pb::Position { timeline: self.timeline.0, lsn: self.lsn.0 }
    }

    fn from_pb(pb: pb::Position) -> Result<Self, BadMessage> {
        Ok(Position { timeline: TimelineId(pb.timeline), lsn: Lsn(pb.lsn) })
    }
}

impl Wire for Ancestor {
    type Pb = pb::Ancestor;

    fn to_pb(&self) -> pb::Ancestor {
        pb::Ancestor { timeline: self.timeline.0, end: self.end.0 }
    }

    fn from_pb(pb: pb::Ancestor) -> Result<Self, BadMessage> {
        Ok(Ancestor { timeline: TimelineId(pb.timeline), end: Lsn(pb.end) })
    }
}

impl Wire for History {
    type Pb = pb::History;

    fn to_pb(&self) -> pb::History {
        pb::History { timeline: self.timeline.0, ancestors: super::all(&self.ancestors) }
    }

    /// As it stands: what is in the log is read back whatever it is. Testimony and goals go through [`sound_line`].
    fn from_pb(pb: pb::History) -> Result<Self, BadMessage> {
        Ok(History { timeline: TimelineId(pb.timeline), ancestors: each(pb.ancestors, "ancestors")? })
    }
}

/// A history that may be absent, from somebody's report or in a goal. It steers what is written into pg_wal and who
/// counts as diverged: one whose numbers or ends fall is refused.
pub(crate) fn sound_line(pb: Option<pb::History>, field: &str) -> Result<Option<History>, BadMessage> {
    let line: Option<History> = maybe(pb, field)?;
    let sound = |line: &History| {
        let rises = |pair: &[Ancestor]| pair[0].timeline < pair[1].timeline && pair[0].end <= pair[1].end;
        line.ancestors.windows(2).all(rises)
            && line.ancestors.last().is_none_or(|last| last.timeline < line.timeline)
    };
    if line.as_ref().is_none_or(sound) {
        Ok(line)
    } else {
        let why = "timelines must rise up to the one described, and ends must not fall";
        Err(BadMessage::new(&format!("{field}.ancestors"), why))
    }
}
