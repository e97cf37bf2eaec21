//! Timeline history files and `standby.signal`: the small files that decide where a recovery goes.

use super::error::{Error, Result};
use super::files::{blocking, remove_file, replace, sync, sync_parent, text};
use super::server::Server;
use interrex_cluster::wal::{History, TimelineId};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What `pg_wal` has as the history of one timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryFile {
    /// A real one.
    Real(History),
    /// Ours: the number was never promoted, or not on this line, and must not be chosen again (F20).
    Placeholder,
    /// Neither, and why; PostgreSQL would stumble over it, too.
    Damaged(String),
}

/// A comment alone: PostgreSQL counts the file when it looks for a free number, and finds no ancestor in it, so that
/// nobody takes it for a child of his timeline.
const PLACEHOLDER: &str = "# interrex: never promoted on this line; the number is taken\n";

/// `0000000N.history`
pub(super) fn history_name(timeline: TimelineId) -> String {
    format!("{:08X}.history", timeline.0)
}

/// All history files of a `pg_wal`.
pub(super) fn histories_in(wal: &Path) -> Result<BTreeMap<TimelineId, HistoryFile>> {
    let mut found = BTreeMap::new();
    let entries = fs::read_dir(wal).map_err(|e| Error::io("list", wal, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", wal, &e))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".history")).filter(|n| n.len() == 8);
        let Some(timeline) = number.and_then(|n| u32::from_str_radix(n, 16).ok()).map(TimelineId) else {
            continue;
        };
        if let Some(contents) = text(&entry.path())? {
            found.insert(timeline, judge(timeline, &contents));
        }
    }
    Ok(found)
}

fn judge(timeline: TimelineId, contents: &str) -> HistoryFile {
    match History::parse(timeline, contents) {
        Ok(history) if history.ancestors.is_empty() => HistoryFile::Placeholder,
        Ok(history) => HistoryFile::Real(history),
        Err(why) => HistoryFile::Damaged(why.to_string()),
    }
}

/// Ancestry of one of the timelines that `line` is made of; none when that timeline is not on it.
pub(crate) fn cut_to(line: &History, timeline: TimelineId) -> Option<History> {
    if line.timeline == timeline {
        return Some(line.clone());
    }
    let at = line.ancestors.iter().position(|ancestor| ancestor.timeline == timeline)?;
    Some(History { timeline, ancestors: line.ancestors[..at].to_vec() })
}

impl Server {
    fn wal_file(&self, name: &str) -> PathBuf {
        self.layout().pgdata.join("pg_wal").join(name)
    }

    /// Every history in `pg_wal`. Timeline 1 has none.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn histories(&self) -> Result<BTreeMap<TimelineId, HistoryFile>> {
        let wal = self.layout().pgdata.join("pg_wal");
        blocking(move || histories_in(&wal)).await
    }

    /// Ancestry of a timeline that this copy is on: by its own file, or, where that is missing, damaged or only a
    /// placeholder, by the record's `line`; then the file is given what it lacks. (A walreceiver fetches no history
    /// whose number has a file: without the record the copy would be stuck for ever.) None: neither tells.
    ///
    /// # Errors
    /// The directory cannot be read, or the file not be written.
    pub async fn history(&self, timeline: TimelineId, line: Option<&History>) -> Result<Option<History>> {
        match self.histories().await?.remove(&timeline) {
            Some(HistoryFile::Real(history)) => return Ok(Some(history)),
            None if timeline == TimelineId(1) => {
                return Ok(Some(History { timeline, ancestors: Vec::new() }));
            }
            Some(HistoryFile::Placeholder | HistoryFile::Damaged(_)) | None => {}
        }
        let told = line.and_then(|line| cut_to(line, timeline)).filter(|told| !told.ancestors.is_empty());
        if let Some(told) = &told {
            self.write_history(told).await?;
        }
        Ok(told)
    }

    /// Puts a history in place. A placeholder or a damaged file under its number gives way.
    ///
    /// # Errors
    /// Refused when a real history of other contents is there: two promotions chose the same number (F20).
    pub async fn write_history(&self, history: &History) -> Result<()> {
        let (layout, history) = (self.layout().clone(), history.clone());
        let path = self.wal_file(&history_name(history.timeline));
        blocking(move || {
            match text(&path)?.map(|contents| judge(history.timeline, &contents)) {
                Some(HistoryFile::Real(found)) if found == history => return Ok(()),
                Some(HistoryFile::Real(found)) => {
                    return Err(Error::Refused(format!(
                        "{} says {:?}, the record says {:?}: two promotions took one number, so clone this instance",
                        path.display(),
                        found.render(),
                        history.render(),
                    )));
                }
                Some(HistoryFile::Placeholder | HistoryFile::Damaged(_)) | None => {}
            }
            replace(&layout, &path, history.render().as_bytes(), 0o600).map(|_| ())
        })
        .await
    }

    /// Takes a timeline number, so that no promotion here can choose it. Any file that is already there stays.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn write_placeholder(&self, timeline: TimelineId) -> Result<()> {
        let layout = self.layout().clone();
        let path = self.wal_file(&history_name(timeline));
        blocking(move || match text(&path)? {
            Some(_) => Ok(()),
            None => replace(&layout, &path, PLACEHOLDER.as_bytes(), 0o600).map(|_| ()),
        })
        .await
    }

    /// Gives back the numbers above every real history. A server that starts takes the newest number for its target,
    /// and with one that names no ancestor it never comes up: it "is starting up" for ever (tried on 15).
    /// They are taken again before a promotion. For a server that is down.
    ///
    /// # Errors
    /// The directory cannot be read, or a file not be removed.
    pub async fn free_numbers(&self) -> Result<()> {
        let server = self.clone();
        blocking(move || {
            let wal = server.layout().pgdata.join("pg_wal");
            let newest_first = histories_in(&wal)?.into_iter().rev();
            for (timeline, _) in newest_first.take_while(|(_, file)| *file == HistoryFile::Placeholder) {
                remove_file(&wal.join(history_name(timeline)))?;
            }
            sync(&wal)
        })
        .await
    }

    /// Puts `standby.signal` in place: whatever starts this directory next starts a standby.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn put_standby_signal(&self) -> Result<()> {
        let server = self.clone();
        blocking(move || server.put_standby_signal_in(&server.layout().pgdata)).await
    }

    /// Takes `standby.signal` away, for what only a primary's directory can be asked. For a server that is down.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub async fn take_standby_signal_away(&self) -> Result<()> {
        let path = self.layout().pgdata.join("standby.signal");
        blocking(move || {
            remove_file(&path)?;
            sync_parent(&path)
        })
        .await
    }

    pub(super) fn put_standby_signal_in(&self, dir: &Path) -> Result<()> {
        replace(self.layout(), &dir.join("standby.signal"), b"", 0o600).map(|_| ())
    }

    /// Whether `standby.signal` is in place.
    ///
    /// # Errors
    /// The system does not let us look.
    pub async fn has_standby_signal(&self) -> Result<bool> {
        let path = self.layout().pgdata.join("standby.signal");
        blocking(move || Ok(text(&path)?.is_some())).await
    }

    /// What an agent wrote into the data directory to know it again (PROTOCOL.md clause 8); absent when nothing was
    /// written, or the copy came from elsewhere since.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn identity(&self) -> Result<Option<String>> {
        let path = self.layout().pgdata.join(IDENTITY);
        blocking(move || text(&path)).await
    }

    /// Writes the identity, fsynced. Clones and rewinds remove what came from the source.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn write_identity(&self, identity: &str) -> Result<()> {
        let (layout, identity) = (self.layout().clone(), identity.to_owned());
        blocking(move || {
            replace(&layout, &layout.pgdata.join(IDENTITY), identity.as_bytes(), 0o600).map(|_| ())
        })
        .await
    }
}

/// Name of the identity file in a data directory.
pub(super) const IDENTITY: &str = "interrex.identity";

#[cfg(test)]
mod tests {
    use super::super::testing::{bare_layout, server};
    use super::*;

    #[tokio::test]
    async fn a_placeholder_takes_a_number_and_gives_way_to_the_real_history_only() {
        let (_dir, layout) = bare_layout();
        let server = server(layout);
        server.write_placeholder(TimelineId(3)).await.unwrap();
        assert_eq!(
            server.histories().await.unwrap(),
            BTreeMap::from([(TimelineId(3), HistoryFile::Placeholder)])
        );

        let real = History::parse(TimelineId(3), "1\t0/3000060\tx\n").unwrap();
        server.write_history(&real).await.unwrap();
        server.write_history(&real).await.unwrap();
        server.write_placeholder(TimelineId(3)).await.unwrap();
        let found = server.histories().await.unwrap();
        assert_eq!(found, BTreeMap::from([(TimelineId(3), HistoryFile::Real(real))]));

        for taken in [2, 4, 5] {
            server.write_placeholder(TimelineId(taken)).await.unwrap();
        }
        server.free_numbers().await.unwrap();
        let left: Vec<u32> = server.histories().await.unwrap().keys().map(|timeline| timeline.0).collect();
        assert_eq!(left, [2, 3]);

        let other = History::parse(TimelineId(3), "2\t0/3000060\tx\n").unwrap();
        assert!(matches!(server.write_history(&other).await, Err(Error::Refused(_))));
    }

    #[tokio::test]
    async fn a_placeholder_under_the_copy_s_own_timeline_is_filled_in_from_the_record() {
        let (_dir, layout) = bare_layout();
        let server = server(layout);
        let of = |timeline| server.history(TimelineId(timeline), None);
        assert_eq!(of(1).await.unwrap().unwrap().ancestors, [], "the first timeline needs no history");
        assert_eq!(of(4).await.unwrap(), None);
        server.write_placeholder(TimelineId(4)).await.unwrap();
        assert_eq!(of(4).await.unwrap(), None);

        let line = History::parse(TimelineId(7), "1\t0/300\tx\n4\t0/500\tx\n").unwrap();
        let four = server.history(TimelineId(4), Some(&line)).await.unwrap();
        assert_eq!(four, cut_to(&line, TimelineId(4)));
        assert_eq!(of(4).await.unwrap(), four, "it stands in the file now");
        assert_eq!(server.history(TimelineId(5), Some(&line)).await.unwrap(), None, "not on the line");
    }

    #[test]
    fn a_line_is_cut_back_to_one_of_its_timelines() {
        let line = History::parse(TimelineId(7), "1\t0/300\tx\n4\t0/500\tx\n").unwrap();
        assert_eq!(cut_to(&line, TimelineId(4)).unwrap().render(), "1\t0/300\tinterrex\n");
        assert_eq!(cut_to(&line, TimelineId(7)), Some(line.clone()));
        assert_eq!(cut_to(&line, TimelineId(1)).unwrap().ancestors, []);
        assert_eq!(cut_to(&line, TimelineId(5)), None);
    }
}
