//! What a stopped copy holds past a fork: read by pg_waldump, named by the primary that it is to follow. Files of
//! relations are the same on all copies of one cluster, so that a relation that was there before the fork bears its name
//! on the primary, too; one that was made past the fork has none there, or another one's.

use super::error::{Error, Result};
use super::files::blocking;
use super::history::history_name;
use super::losses::{FileNode, GLOBAL, Losses};
use super::server::Server;
use super::session::literal;
use super::tool::Tool;
use super::wal_reader::segment_name;
use interrex_cluster::record::Address;
use interrex_cluster::wal::{Lsn, TimelineId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Reading takes about as long as writing did; a healing copy waits for it.
const READ_WITHIN: Duration = Duration::from_secs(600);
const NAMED_WITHIN: Duration = Duration::from_secs(5);
/// So many relations of one database are asked for by name.
const NAMED: usize = 500;
/// A stretch of WAL on one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The timeline.
    pub timeline: TimelineId,
    /// Beginning of a record.
    pub from: Lsn,
    /// End of the last one.
    pub to: Lsn,
}

impl Server {
    /// What the stretches did, one after the other.
    ///
    /// # Errors
    /// pg_waldump failed or took too long; `losses` has what was read until then.
    pub async fn read_losses(&self, stretches: &[Stretch], losses: &mut Losses) -> Result<()> {
        for stretch in stretches {
            let tool = Tool::new(self.layout(), "pg_waldump")
                .arg("--path")
                .arg(self.layout().pgdata.join("pg_wal"))
                .args(&["--timeline", &stretch.timeline.to_string()])
                .args(&["--start", &stretch.from.to_string(), "--end", &stretch.to.to_string()]);
            tool.prints(READ_WITHIN, |line| losses.hear(line)).await?;
        }
        Ok(())
    }

    /// The files of `pg_wal` that the stretches lie in, and the history of each timeline; those that are there.
    ///
    /// `segment`: bytes of a segment.
    ///
    /// # Errors
    /// The work was interrupted.
    pub async fn files_of(&self, stretches: &[Stretch], segment: u64) -> Result<Vec<PathBuf>> {
        let (wal, stretches) = (self.layout().pgdata.join("pg_wal"), stretches.to_vec());
        blocking(move || {
            let mut files = Vec::new();
            for Stretch { timeline, from, to } in stretches {
                files.push(wal.join(history_name(timeline)));
                let numbers = from.0 / segment..=to.0.saturating_sub(1) / segment;
                files.extend(numbers.map(|number| wal.join(segment_name(timeline, number, segment))));
            }
            Ok(files.into_iter().filter(|file| file.is_file()).collect())
        })
        .await
    }

    /// The relations' names, "database.schema.table", as the primary at `address` has them: toast is named by its
    /// table, catalogs by their database. What has no name there is left out.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn names_of(
        &self,
        relations: &BTreeSet<FileNode>,
        address: &Address,
    ) -> Result<BTreeMap<FileNode, String>> {
        let mut by_database: BTreeMap<u32, Vec<FileNode>> = BTreeMap::new();
        let mut names = BTreeMap::new();
        for relation in relations {
            if relation.0 == GLOBAL {
                names.insert(*relation, "shared system catalogs".to_owned());
            } else {
                by_database.entry(relation.1).or_default().push(*relation);
            }
        }
        if by_database.is_empty() {
            return Ok(names);
        }
        let mut session = self.connect_remote(address, NAMED_WITHIN).await?;
        let databases = session.rows("select oid::text, datname from pg_database", NAMED_WITHIN).await?;
        session.close().await;
        for row in databases {
            let [Some(oid), Some(database)] = row.as_slice() else { continue };
            let Some(relations) = oid.parse().ok().and_then(|oid: u32| by_database.get(&oid)) else {
                continue;
            };
            // A database that lets nobody in keeps its names to itself.
            match self.names_in(database, relations, address).await {
                Ok(found) => names.extend(found),
                Err(Error::Silent { what, within }) => return Err(Error::Silent { what, within }),
                Err(_) => {}
            }
        }
        Ok(names)
    }

    async fn names_in(
        &self,
        database: &str,
        relations: &[FileNode],
        address: &Address,
    ) -> Result<Vec<(FileNode, String)>> {
        let mut values = String::new();
        for (space, _, file) in relations.iter().take(NAMED) {
            let comma = if values.is_empty() { "" } else { ", " };
            let _ = write!(values, "{comma}({space}::oid, {file}::oid)"); // writing to a String cannot fail
        }
        let sql = format!(
            "select x.space::text, x.file::text, n.nspname, c.relname
             from (values {values}) x(space, file)
             join pg_database d on d.datname = {}
             join pg_class own on own.oid =
                 pg_filenode_relation(case when x.space = d.dattablespace then 0 else x.space end, x.file)
             left join pg_class main on main.reltoastrelid = own.oid
             join pg_class c on c.oid = coalesce(main.oid, own.oid)
             join pg_namespace n on n.oid = c.relnamespace",
            literal(database)
        );
        let mut session = self.connect_remote_to(database, address, NAMED_WITHIN).await?;
        let rows = session.rows(&sql, NAMED_WITHIN).await?;
        session.close().await;
        let named = rows.into_iter().filter_map(|row| {
            let [Some(space), Some(file), Some(schema), Some(table)] = row.as_slice() else { return None };
            let (space, file) = (space.parse().ok()?, file.parse().ok()?);
            let relation = *relations.iter().find(|(s, _, f)| (*s, *f) == (space, file))?;
            let name = match schema.as_str() {
                "pg_catalog" | "pg_toast" => format!("system catalogs of {database}"),
                schema => format!("{database}.{schema}.{table}"),
            };
            Some((relation, name))
        });
        Ok(named.collect())
    }
}
