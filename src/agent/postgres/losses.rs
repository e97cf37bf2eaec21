//! What a stretch of WAL did, as pg_waldump tells it: which transactions committed, and which relations they wrote to.
//! Pure; [`super::lost`] runs the tool and finds the names.

use interrex_cluster::wal::Lsn;
use std::collections::{BTreeMap, BTreeSet};

/// A relation by its place: tablespace, database, file.
pub type FileNode = (u32, u32, u32);

/// What committed transactions did to one relation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows.
    pub inserted: u64,
    /// Rows.
    pub updated: u64,
    /// Rows.
    pub deleted: u64,
}

/// A transaction that committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub xid: u32,
    /// When, as PostgreSQL's clock had it: "2026-11-22 20:19:26.660 UTC".
    pub at: String,
    /// Where its commit record begins.
    pub lsn: Lsn,
}

/// What was read so far.
#[derive(Debug, Default)]
pub struct Losses {
    /// In the order of their commits; the agents' own left out.
    pub committed: Vec<Committed>,
    /// What those did.
    pub relations: BTreeMap<FileNode, Changes>,
    /// Relations whose file was made in this stretch.
    pub created: BTreeSet<FileNode>,
    /// Tables that were truncated, by number of records.
    pub truncations: u64,
    /// Transactions under way that did not commit in this stretch.
    under_way: BTreeMap<u32, Doing>,
}

#[derive(Debug, Default)]
struct Doing {
    relations: BTreeMap<FileNode, Changes>,
    truncations: u64,
    /// Nothing but the agents' own messages.
    beat: bool,
}

/// `prefix` of the agents' own messages.
const BEAT: &str = "prefix \"interrex\"";

impl Losses {
    /// Takes in a line of pg_waldump; one that is not understood changes nothing.
    pub fn hear(&mut self, line: &str) {
        let Some(record) = Record::read(line) else { return };
        match (record.manager, record.deed) {
            ("Storage", "CREATE") => {
                self.created.extend(record.desc.split_whitespace().nth(1).and_then(place))
            }
            ("Transaction", "COMMIT" | "COMMIT_PREPARED") => self.commit(&record),
            ("Transaction", "ABORT" | "ABORT_PREPARED") => {
                for xid in record.family() {
                    self.under_way.remove(&xid);
                }
            }
            _ if record.xid == 0 => {}
            ("LogicalMessage", _) if record.desc.contains(BEAT) => {
                self.under_way.entry(record.xid).or_insert(Doing { beat: true, ..Doing::default() });
            }
            (manager, deed) => {
                let doing = self.under_way.entry(record.xid).or_default();
                doing.beat = false;
                if manager == "Heap" && deed == "TRUNCATE" {
                    doing.truncations += 1;
                }
                if let Some((relation, changes)) = record.changes() {
                    doing.relations.entry(relation).or_default().add(changes);
                }
            }
        }
    }

    fn commit(&mut self, record: &Record<'_>) {
        let family = record.family();
        let known: Vec<Doing> = family.iter().filter_map(|xid| self.under_way.remove(xid)).collect();
        // All of a beat lies in one place: of a transaction that began before the stretch nothing may be known.
        let ours = !known.is_empty() && known.iter().all(|doing| doing.beat);
        for doing in known {
            self.truncations += doing.truncations;
            for (relation, changes) in doing.relations {
                self.relations.entry(relation).or_default().add(changes);
            }
        }
        if let (false, Some(xid)) = (ours, family.first()) {
            self.committed.push(Committed { xid: *xid, at: record.committed_at(), lsn: record.lsn });
        }
    }
}

impl Changes {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// Takes in what else was done.
    pub fn add(&mut self, more: Changes) {
        self.inserted += more.inserted;
        self.updated += more.updated;
        self.deleted += more.deleted;
    }
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let deeds = [(self.inserted, "inserted"), (self.updated, "updated"), (self.deleted, "deleted")];
        let done: Vec<String> = deeds
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, deed)| format!("{count} {deed}"))
            .collect();
        f.write_str(if done.is_empty() { "written to" } else { "" })?;
        f.write_str(&done.join(", "))
    }
}

/// One line, taken apart.
struct Record<'a> {
    manager: &'a str,
    xid: u32,
    lsn: Lsn,
    /// Everything from the description on, references to blocks included.
    desc: &'a str,
    /// Its first word, without what follows a `+`.
    deed: &'a str,
}

impl<'a> Record<'a> {
    /// `rmgr: Heap  len (rec/tot): 54/ 150, tx: 736, lsn: 0/01A3B0C0, prev 0/01A3B088, desc: INSERT off 1 …, blkref #0: …`
    fn read(line: &'a str) -> Option<Self> {
        let rest = line.trim_start().strip_prefix("rmgr:")?;
        let manager = rest.split_whitespace().next()?;
        let after = |key: &str| rest.split_once(key).map(|(_, after)| after.trim_start());
        let number = |text: &'a str| text.split(',').next().map(str::trim);
        let xid = after(" tx:").and_then(number)?.parse().ok()?;
        let lsn = after(" lsn:").and_then(number)?.parse().ok()?;
        let desc = after(" desc:")?;
        let deed = desc.split([' ', '+']).next().unwrap_or_default();
        Some(Self { manager, xid, lsn, desc, deed })
    }

    /// The transaction and its subtransactions. A prepared one is named by the description alone.
    fn family(&self) -> Vec<u32> {
        let prepared =
            self.deed.ends_with("_PREPARED").then(|| self.desc.split_whitespace().nth(1)).flatten();
        let own = prepared.and_then(|xid| xid.trim_end_matches(':').parse().ok()).unwrap_or(self.xid);
        let below = self.desc.split(';').find_map(|part| part.trim().strip_prefix("subxacts:"));
        let below = below.into_iter().flat_map(str::split_whitespace).filter_map(|xid| xid.parse().ok());
        std::iter::once(own).chain(below).filter(|xid| *xid != 0).collect()
    }

    fn committed_at(&self) -> String {
        let mut words = self.desc.split(';').next().unwrap_or_default().split_whitespace().skip(1).peekable();
        if self.deed.ends_with("_PREPARED") {
            words.next_if(|word| word.ends_with(':'));
        }
        words.collect::<Vec<_>>().join(" ")
    }

    /// What the record did to the rows of which relation.
    fn changes(&self) -> Option<(FileNode, Changes)> {
        let mut changes = Changes::default();
        match (self.manager, self.deed) {
            ("Heap", "INSERT") => changes.inserted = 1,
            ("Heap2", "MULTI_INSERT") => changes.inserted = self.tuples(),
            ("Heap", "UPDATE" | "HOT_UPDATE") => changes.updated = 1,
            ("Heap", "DELETE") => changes.deleted = 1,
            _ => return None,
        }
        Some((self.relation()?, changes))
    }

    /// `MULTI_INSERT 5 tuples flags …` up to 15, `MULTI_INSERT ntuples: 5, flags: …` from 16 on.
    fn tuples(&self) -> u64 {
        let words = self.desc.split([' ', ',']).filter(|word| !word.is_empty());
        words.skip(1).find_map(|word| word.parse().ok()).unwrap_or(1)
    }

    /// `blkref #0: rel 1663/16384/16391 blk 0`, or `rel … fork main blk 0`.
    fn relation(&self) -> Option<FileNode> {
        let (_, place) = self.desc.split_once(" rel ")?;
        let mut parts = place.split_whitespace().next()?.split('/').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??, parts.next()??))
    }
}

/// Tablespace of what all databases share.
pub(super) const GLOBAL: u32 = 1664;

/// `base/16384/16391`, `global/1262`, `pg_tblspc/16400/PG_15_202209061/16384/16391`.
fn place(path: &str) -> Option<FileNode> {
    const DEFAULT: u32 = 1663;
    let parts: Vec<&str> = path.trim_end_matches(',').split('/').collect();
    let number = |text: &&str| text.split(['_', '.']).next().and_then(|text| text.parse().ok());
    match parts.as_slice() {
        ["base", database, file] => Some((DEFAULT, number(database)?, number(file)?)),
        ["global", file] => Some((GLOBAL, 0, number(file)?)),
        ["pg_tblspc", space, _, database, file] => Some((number(space)?, number(database)?, number(file)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(manager: &str, xid: u32, desc: &str) -> String {
        format!(
            "rmgr: {manager:<11} len (rec/tot):     54/   150, tx: {xid:>10}, lsn: 0/01A3B0C0, prev 0/01A3B088, desc: {desc}"
        )
    }

    fn heard(lines: &[String]) -> Losses {
        let mut losses = Losses::default();
        lines.iter().for_each(|line| losses.hear(line));
        losses
    }

    const TABLE: &str = "blkref #0: rel 1663/5/16384 blk 0 FPW";
    const AT: &str = "2026-11-22 20:19:26.660000 UTC";

    #[test]
    fn what_committed_is_counted_by_relation_and_what_did_not_is_left_out() {
        let losses = heard(&[
            record("Heap", 736, &format!("INSERT+INIT off 1 flags 0x00, {TABLE}")),
            record("Heap2", 736, &format!("MULTI_INSERT 3 tuples flags 0x02, {TABLE}")),
            record("Heap2", 737, &format!("MULTI_INSERT ntuples: 4, flags: 0x02, offsets: [1], {TABLE}")),
            record("Heap", 738, &format!("DELETE off 2 flags 0x00 KEYS_UPDATED , {TABLE}")),
            record("Heap", 740, &format!("HOT_UPDATE off 2 xmax 740 flags 0x00 ; new off 3, {TABLE}")),
            record("Btree", 736, "INSERT_LEAF off 1, blkref #0: rel 1663/5/16390 blk 1"),
            record("Transaction", 738, &format!("ABORT {AT}")),
            record("Transaction", 736, &format!("COMMIT {AT}; subxacts: 737; inval msgs: catcache 5")),
            record("Transaction", 0, &format!("COMMIT_PREPARED 740: {AT}")),
        ]);
        let xids: Vec<(u32, &str)> = losses.committed.iter().map(|c| (c.xid, c.at.as_str())).collect();
        assert_eq!(xids, [(736, AT), (740, AT)]);
        let changes = Changes { inserted: 8, updated: 1, deleted: 0 };
        assert_eq!(losses.relations, BTreeMap::from([((1663, 5, 16384), changes)]));
        assert_eq!(changes.to_string(), "8 inserted, 1 updated");
    }

    #[test]
    fn beats_are_nobody_s_transactions() {
        let beat = "transactional, prefix \"interrex\"; payload (4 bytes): 62 65 61 74";
        let theirs = "transactional, prefix \"outbox\"; payload (4 bytes): 62 65 61 74";
        let losses = heard(&[
            record("LogicalMessage", 741, beat),
            record("Transaction", 741, &format!("COMMIT {AT}")),
            record("LogicalMessage", 742, theirs),
            record("Transaction", 742, &format!("COMMIT {AT}")),
            record("Transaction", 743, &format!("COMMIT {AT}")),
        ]);
        let xids: Vec<u32> = losses.committed.iter().map(|committed| committed.xid).collect();
        assert_eq!(xids, [742, 743], "of the last one everything else lies before the stretch");
    }

    #[test]
    fn a_file_that_was_made_here_is_noted_and_noise_changes_nothing() {
        let losses = heard(&[
            record("Storage", 744, "CREATE base/5/16400"),
            record("Storage", 744, "CREATE pg_tblspc/16390/PG_15_202209061/5/16401_fsm"),
            "pg_waldump: first record is after 0/1".to_owned(),
            "rmgr: Heap tx: x, lsn: y, desc: INSERT".to_owned(),
            String::new(),
        ]);
        assert_eq!(losses.created, BTreeSet::from([(1663, 5, 16400), (16390, 5, 16401)]));
        assert!(losses.committed.is_empty() && losses.relations.is_empty());
    }
}
