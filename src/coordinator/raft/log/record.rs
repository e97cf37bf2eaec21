//! Records: what the log remembers, one after the other, and how each is written down.
//!
//! A frame's payload is a sequence of `kind u8 | length u32 | body`, the body being a prost message. Numbers of kinds
//! are never used again. A kind that this build does not know belongs to a newer format and stops the start.

use interrex_api::pb;
use prost::Message;

use super::super::types::{Entry, LogId, Vote};
use super::super::wire;

/// One thing to remember.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// Opens each segment: everything that older segments said, entries excepted. So they can go.
    Start(Start),
    Vote(Vote),
    Entry(Entry),
    /// Entries after this one are void; `None`: all of them.
    TruncateAfter(Option<LogId>),
    /// Known to be committed. A hint for the next start, written without a flush of its own.
    Committed(Option<LogId>),
    /// Entries up to this one are in a snapshot.
    Purged(LogId),
    /// The group that this directory belongs to, and those that it was made anew out of.
    Group {
        id: u64,
        replaced: Vec<u64>,
    },
}

/// What holds at the beginning of a segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Start {
    /// Drawn when the directory was empty; never changes.
    pub(crate) raft_id: u64,
    /// 0: no group yet.
    pub(crate) group_id: u64,
    /// Groups that this one took the place of, oldest first.
    pub(crate) replaced: Vec<u64>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
}

#[derive(Clone, PartialEq, Message)]
struct StartBody {
    #[prost(fixed64, tag = "1")]
    raft_id: u64,
    #[prost(fixed64, tag = "2")]
    group_id: u64,
    #[prost(message, optional, tag = "3")]
    vote: Option<pb::RaftVote>,
    #[prost(message, optional, tag = "4")]
    committed: Option<pb::RaftLogId>,
    #[prost(message, optional, tag = "5")]
    purged: Option<pb::RaftLogId>,
    #[prost(fixed64, repeated, tag = "6")]
    replaced: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct PointBody {
    #[prost(message, optional, tag = "1")]
    log_id: Option<pb::RaftLogId>,
}

#[derive(Clone, PartialEq, Message)]
struct GroupBody {
    #[prost(fixed64, tag = "1")]
    group_id: u64,
    #[prost(fixed64, repeated, tag = "2")]
    replaced: Vec<u64>,
}

impl Record {
    /// Its name in a dump.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Vote(_) => "vote",
            Self::Entry(_) => "entry",
            Self::TruncateAfter(_) => "truncate_after",
            Self::Committed(_) => "committed",
            Self::Purged(_) => "purged",
            Self::Group { .. } => "group",
        }
    }

    /// Appends the written form to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let point = |id: Option<&LogId>| PointBody { log_id: id.map(wire::log_id_out) }.encode_to_vec();
        let (kind, body) = match self {
            Self::Start(start) => (1, StartBody::from(start).encode_to_vec()),
            Self::Vote(vote) => (2, wire::vote_out(vote).encode_to_vec()),
            Self::Entry(entry) => (3, wire::entry_out(entry).encode_to_vec()),
            Self::TruncateAfter(id) => (4, point(id.as_ref())),
            Self::Committed(id) => (5, point(id.as_ref())),
            Self::Purged(id) => (6, point(Some(id))),
            Self::Group { id, replaced } => {
                (7, GroupBody { group_id: *id, replaced: replaced.clone() }.encode_to_vec())
            }
        };
        out.push(kind);
        let len =
            u32::try_from(body.len()).expect("entries are bounded far below 4 GiB where they are proposed");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&body);
    }

    /// Reads all records of one frame. The frame's checksum held, so an error here means another format or a bug.
    pub(crate) fn decode_all(mut payload: &[u8]) -> Result<Vec<Self>, String> {
        let mut records = Vec::new();
        while let Some((kind, rest)) = payload.split_first() {
            let (len, rest) = rest.split_first_chunk::<4>().ok_or("a record without its length")?;
            let len = u32::from_le_bytes(*len) as usize;
            let (body, rest) = rest.split_at_checked(len).ok_or("a record longer than its frame")?;
            records.push(Self::decode(*kind, body)?);
            payload = rest;
        }
        Ok(records)
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, String> {
        let bad = |e: prost::DecodeError| format!("a record of kind {kind} does not decode: {e}");
        let point = || PointBody::decode(body).map(|p| p.log_id.as_ref().map(wire::log_id_in)).map_err(bad);
        Ok(match kind {
            1 => Self::Start(StartBody::decode(body).map_err(bad)?.into()),
            2 => Self::Vote(wire::vote_in(&pb::RaftVote::decode(body).map_err(bad)?)),
            3 => {
                let entry = pb::RaftEntry::decode(body).map_err(bad)?;
                Self::Entry(wire::entry_in(entry).map_err(|e| e.to_string())?)
            }
            4 => Self::TruncateAfter(point()?),
            5 => Self::Committed(point()?),
            6 => Self::Purged(point()?.ok_or("a purge without its place")?),
            7 => {
                let GroupBody { group_id: id, replaced } = GroupBody::decode(body).map_err(bad)?;
                Self::Group { id, replaced }
            }
            newer => {
                return Err(format!(
                    "a record of kind {newer}, which only a newer version of interrex knows"
                ));
            }
        })
    }
}

impl From<&Start> for StartBody {
    fn from(start: &Start) -> Self {
        Self {
            raft_id: start.raft_id,
            group_id: start.group_id,
            vote: start.vote.as_ref().map(wire::vote_out),
            committed: start.committed.as_ref().map(wire::log_id_out),
            purged: start.purged.as_ref().map(wire::log_id_out),
            replaced: start.replaced.clone(),
        }
    }
}

impl From<StartBody> for Start {
    fn from(body: StartBody) -> Self {
        Self {
            raft_id: body.raft_id,
            group_id: body.group_id,
            replaced: body.replaced,
            vote: body.vote.as_ref().map(wire::vote_in),
            committed: body.committed.as_ref().map(wire::log_id_in),
            purged: body.purged.as_ref().map(wire::log_id_in),
        }
    }
}
