//! The log as JSON lines, for people: `interrex raft-log DIR`. Reads only, takes no lock, and goes on as far as the
//! files can be read. What an entry says is for the caller to put into words: entries may hold passwords, so their
//! bytes are never printed.

use std::io::{self, Write};
use std::path::Path;

use interrex_api::pb;
use serde_json::{Value, json};

use super::super::types::LogId;
use super::super::wire;
use super::disk::{LogDisk, RealDisk};
use super::frame::{self, Tail};
use super::record::Record;
use super::recover::{LogError, segment_name, segments};

/// Writes one line for each record of the raft log in `dir`, and one for what does not read back. `tell` puts an
/// entry into words, without anything secret.
///
/// # Errors
/// [`LogError::Absent`] when there is no segment, `Io` when one cannot be read at all, or `out` cannot be written.
pub fn dump(dir: &Path, tell: &dyn Fn(&[u8]) -> String, out: &mut dyn Write) -> Result<(), LogError> {
    let disk = RealDisk::look(dir);
    let io_error = |what, place: &str, source| LogError::Io { what, place: place.to_owned(), source };
    let numbers = segments(&disk).unwrap_or_default();
    if numbers.is_empty() {
        return Err(LogError::Absent { dir: dir.display().to_string() });
    }
    for number in numbers {
        let name = segment_name(number);
        let bytes = disk.read(&name).map_err(|e| io_error("read", &name, e))?;
        dump_segment(&name, &bytes, tell, out).map_err(|e| io_error("write the dump of", &name, e))?;
    }
    Ok(())
}

fn dump_segment(
    name: &str,
    bytes: &[u8],
    tell: &dyn Fn(&[u8]) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (frames, tail) = frame::scan(bytes);
    for frame in frames {
        match Record::decode_all(frame.payload) {
            Ok(records) => {
                for record in records {
                    let (kind, value) = (record.name(), value(&record, tell));
                    let line = json!({"file": name, "offset": frame.at, "record": kind, "value": value});
                    writeln!(out, "{line}")?;
                }
            }
            Err(why) => writeln!(out, "{}", json!({"file": name, "offset": frame.at, "damaged": why}))?,
        }
    }
    match tail {
        Tail::Clean => Ok(()),
        Tail::Torn { at } => {
            writeln!(out, "{}", json!({"file": name, "offset": at, "torn": bytes.len() - at}))
        }
        Tail::Damaged { at, why } => writeln!(out, "{}", json!({"file": name, "offset": at, "damaged": why})),
    }
}

fn id(log_id: Option<&LogId>) -> Value {
    log_id.map_or(Value::Null, |id| json!({"term": **id.committed_leader_id(), "index": id.index()}))
}

// Ids are random 64-bit numbers; as JSON numbers, most readers would round them.
fn hex(id: u64) -> String {
    format!("{id:016x}")
}

fn hexes(ids: &[u64]) -> Vec<String> {
    ids.iter().map(|id| hex(*id)).collect()
}

fn value(record: &Record, tell: &dyn Fn(&[u8]) -> String) -> Value {
    let vote = |v: &pb::RaftVote| json!({"term": v.term, "for": hex(v.voted_for), "committed": v.committed});
    match record {
        Record::Start(s) => json!({
            "raft_id": hex(s.raft_id), "group_id": hex(s.group_id), "replaced": hexes(&s.replaced),
            "vote": s.vote.as_ref().map(|v| vote(&wire::vote_out(v))),
            "committed": id(s.committed.as_ref()), "purged": id(s.purged.as_ref()),
        }),
        Record::Vote(v) => vote(&wire::vote_out(v)),
        Record::Entry(entry) => {
            let payload = match wire::entry_out(entry).payload {
                None => json!("blank"),
                Some(pb::raft_entry::Payload::Normal(bytes)) => {
                    json!({"bytes": bytes.len(), "entry": tell(&bytes)})
                }
                Some(pb::raft_entry::Payload::Membership(m)) => membership(&m),
            };
            json!({"id": id(Some(&entry.log_id)), "payload": payload})
        }
        Record::TruncateAfter(at) | Record::Committed(at) => id(at.as_ref()),
        Record::Purged(at) => id(Some(at)),
        Record::Group { id, replaced } => json!({"group_id": hex(*id), "replaced": hexes(replaced)}),
    }
}

fn membership(m: &pb::RaftMembership) -> Value {
    let voters: Vec<Vec<String>> = m.configs.iter().map(|c| hexes(&c.voters)).collect();
    let node = |n: &pb::raft_membership::Node| {
        let peer = n.peer.as_ref();
        json!({"raft_id": hex(n.raft_id), "machine": peer.map(|p| &p.machine), "addr": peer.map(|p| &p.addr)})
    };
    let nodes: Vec<Value> = m.nodes.iter().map(node).collect();
    json!({"voters": voters, "members": nodes})
}
