//! What in an existing directory's files keeps it from being taken in, with the way out; and what its operator should know
//! before it is. Reading them changes nothing in it, and a server may run on it meanwhile.

use super::configured::Configured;
use super::error::{Error, Result};
use super::history::IDENTITY;
use super::parameters::SESSIONS_LOAD;
use super::server::Server;
use super::settings::{AUTO, Role, SyncText};
use super::settings_table::{KEYS, table};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Of the slots that Interrex configures, so many are left to the operator's own.
const MOST_SLOTS: usize = 12;
/// Longer values of settings are not repeated.
const SHOWN: usize = 80;
/// Where the files lie that Debian keeps elsewhere.
const IN_PLACE: &str = "copy postgresql.conf, pg_hba.conf, pg_ident.conf and conf.d from where they are (Debian: \
                        /etc/postgresql) into it, without the lines data_directory, hba_file and ident_file; see docs/adopt.md";
/// Settings that belong to a role or may hold a password: told without their values.
const WITHOUT_VALUE: [&str; 4] =
    ["primary_conninfo", "primary_slot_name", "restore_command", "synchronous_standby_names"];

impl Server {
    pub(super) fn refusal(
        &self,
        dir: &Path,
        standby: bool,
        configured: &Configured,
    ) -> Result<Option<String>> {
        let shown = dir.display();
        if dir.join(IDENTITY).exists() {
            return Ok(Some(format!(
                "{shown} belongs to a cluster of Interrex ({IDENTITY} is there); name another, or remove that file if its \
                 cluster is gone"
            )));
        }
        for name in ["postgresql.conf", "pg_hba.conf"] {
            match fs::symlink_metadata(dir.join(name)) {
                Ok(found) if found.is_file() => {}
                Ok(_) => {
                    return Ok(Some(format!(
                        "{shown}/{name} is a symbolic link or no file; put the file itself there"
                    )));
                }
                Err(_) => return Ok(Some(format!("there is no {name} in {shown}; {IN_PLACE}"))),
            }
        }
        for name in ["postgresql.conf", "pg_hba.conf", AUTO] {
            let contents = fs::read(dir.join(name)).unwrap_or_default();
            if String::from_utf8(contents).is_err() {
                return Ok(Some(format!(
                    "{shown}/{name} holds bytes that are no UTF-8, which would not survive a line being added; convert it \
                     with iconv"
                )));
            }
        }
        let own = [("data_directory", ""), ("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")];
        for (key, name) in own {
            let here = dir.join(name);
            if let Some(value) = configured.get(key)
                && dir.join(value) != here
                && fs::canonicalize(dir.join(value)).ok() != fs::canonicalize(&here).ok()
            {
                return Ok(Some(format!(
                    "its configuration has {key} = '{value}', outside of {shown}; {IN_PLACE}"
                )));
            }
        }
        if !standby && dir.join("backup_label").exists() {
            return Ok(Some(format!(
                "{shown} is a base backup that was never started (backup_label is there, standby.signal is not); start \
                 it and stop it once to make it the primary, or put standby.signal there"
            )));
        }
        let archives =
            configured.get("archive_mode").is_some_and(|mode| !["off", "false", "no", "0"].contains(&mode));
        if archives && self.layout().archive_command.is_none() {
            return Ok(Some(
                "its configuration archives WAL (archive_mode), and the node file does not, so that archiving would end; \
                 write archive_command into its [[instance]], or set archive_mode = off"
                    .to_owned(),
            ));
        }
        if configured.auto.get("wal_level").is_some_and(|level| level == "logical")
            && !configured.is("wal_level", &["logical"])
        {
            return Ok(Some(
                "wal_level = logical was set by ALTER SYSTEM, where Interrex takes it out; write it into postgresql.conf"
                    .to_owned(),
            ));
        }
        let slots = names_in(&dir.join("pg_replslot"))?.len();
        Ok((slots > MOST_SLOTS).then(|| {
            format!(
                "it has {slots} replication slots, and Interrex needs some of the 20 for its standbys; drop all but \
                 {MOST_SLOTS} with pg_drop_replication_slot"
            )
        }))
    }

    /// What PostgreSQL itself complains of when it is to start with the configuration, `ours` over it; and whether what new
    /// sessions load is there: nobody could log in without.
    pub(super) async fn unstartable(
        &self,
        configured: &Configured,
        ours: &[(String, String)],
    ) -> Result<Option<String>> {
        if let Some(why) = self.rehearse(None, ours).await? {
            return Ok(Some(format!("PostgreSQL does not start with its configuration: {why}; correct it")));
        }
        for name in SESSIONS_LOAD {
            let Some(libraries) = configured.get(name).filter(|libraries| !libraries.trim().is_empty())
            else {
                continue;
            };
            // A session loads them when there is one; a start loads the same files.
            let plugins = |one: &str| match name == SESSIONS_LOAD[1] && !one.contains('/') {
                true => format!("$libdir/plugins/{one}"),
                false => one.to_owned(),
            };
            let files: Vec<String> = libraries.split(',').map(|one| plugins(one.trim())).collect();
            let loads = ("shared_preload_libraries".to_owned(), files.join(","));
            let over: Vec<_> = ours.iter().cloned().chain([loads]).collect();
            let complaint = self.rehearse(None, &over).await?;
            // Of what may not be loaded at a start, for whatever reason, a session may think otherwise.
            if let Some(why) = complaint.filter(|why| why.contains("could not access file")) {
                let refusal =
                    format!("with its {name} = '{libraries}' nobody could log in: {why}; correct it");
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }

    pub(super) fn notes(&self, dir: &Path, crashed: bool, configured: &Configured) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if crashed {
            notes.push("it did not end in good order: it recovers before it is taken in".to_owned());
        }
        notes.extend(self.overridden(configured)?);
        let slots = names_in(&dir.join("pg_replslot"))?;
        if !slots.is_empty() {
            notes.push(format!(
                "its replication slots stay: {}; one that nobody uses any more holds WAL back, drop it",
                slots.join(", ")
            ));
        }
        let spaces = names_in(&dir.join("pg_tblspc"))?.len();
        if spaces > 0 {
            notes.push(format!(
                "it has {spaces} tablespaces of its own: a clone puts each at the very same path, which has to be empty there"
            ));
        }
        Ok(notes)
    }

    /// What our settings will be, as far as that is known before there is a cluster to speak of.
    pub(super) fn ours(&self, configured: &Configured) -> Result<Vec<(&'static str, String)>> {
        let nobody = Role::Primary { sync: SyncText { k: 0, names: Vec::new() } };
        let logical = configured.is("wal_level", &["logical"]);
        table(self.layout(), &nobody, false, logical, "", None, None)
    }

    /// Settings of the operator's that ours override.
    fn overridden(&self, configured: &Configured) -> Result<Vec<String>> {
        let ours: BTreeMap<&str, String> = self.ours(configured)?.into_iter().collect();
        let told = KEYS.iter().filter_map(|key| {
            let theirs = configured.get(key)?;
            let ours = ours.get(key).map_or("", String::as_str);
            if same(theirs, ours) {
                return None;
            }
            let short = theirs.chars().count() <= SHOWN && !WITHOUT_VALUE.contains(key);
            Some(match short {
                true => format!("its {key} = '{theirs}' gives way to '{ours}'"),
                false => format!("its {key} gives way: Interrex sets it"),
            })
        });
        Ok(told.collect())
    }
}

/// The same value, written otherwise.
fn same(theirs: &str, ours: &str) -> bool {
    let plain = |value: &str| match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => "on".to_owned(),
        "false" | "no" | "0" => "off".to_owned(),
        other => other.to_owned(),
    };
    plain(theirs) == plain(ours)
}

/// Names in a directory, sorted.
fn names_in(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("list", dir, &e))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bare_layout, server};
    use super::*;

    fn directory(contents: &[(&str, &str)]) -> (tempfile::TempDir, Server) {
        let (dir, layout) = bare_layout();
        for name in ["pg_replslot", "pg_tblspc"] {
            fs::create_dir(layout.pgdata.join(name)).unwrap();
        }
        for (name, text) in [("postgresql.conf", ""), ("pg_hba.conf", "")].iter().chain(contents) {
            fs::write(layout.pgdata.join(name), text).unwrap();
        }
        (dir, server(layout))
    }

    fn judged(contents: &[(&str, &str)], standby: bool) -> Option<String> {
        let (_dir, server) = directory(contents);
        let pgdata = server.layout().pgdata.clone();
        server.refusal(&pgdata, standby, &Configured::read(&pgdata).unwrap()).unwrap()
    }

    #[test]
    fn what_cannot_be_taken_in_is_refused_with_the_way_out() {
        assert_eq!(judged(&[], false), None);
        for (contents, says) in [
            (vec![("interrex.identity", "")], "belongs to a cluster of Interrex"),
            (
                vec![("postgresql.conf", "hba_file = '/etc/postgresql/15/main/pg_hba.conf'")],
                "hba_file = '/etc/",
            ),
            (vec![("backup_label", "")], "was never started"),
            (vec![("postgresql.conf", "archive_mode = on")], "write archive_command into its [[instance]]"),
            (vec![("postgresql.auto.conf", "wal_level = 'logical'")], "write it into postgresql.conf"),
        ] {
            let refused = judged(&contents, false).unwrap_or_default();
            assert!(refused.contains(says) && refused.lines().count() == 1, "{contents:?}: {refused}");
        }
        assert_eq!(judged(&[("backup_label", "")], true), None, "a standby begins so");
        assert_eq!(judged(&[("postgresql.conf", "hba_file = 'pg_hba.conf'")], false), None);
        let (_dir, server) = directory(&[]);
        let pgdata = server.layout().pgdata.clone();
        fs::write(pgdata.join("postgresql.conf"), b"# gr\xfcn\n").unwrap();
        let refused = server.refusal(&pgdata, false, &Configured::default()).unwrap().unwrap();
        assert!(refused.contains("no UTF-8"), "{refused}");
        fs::write(pgdata.join("postgresql.conf"), "").unwrap();
        fs::remove_file(pgdata.join("pg_hba.conf")).unwrap();
        let refused = server.refusal(&pgdata, false, &Configured::default()).unwrap().unwrap();
        assert!(refused.contains("no pg_hba.conf") && refused.contains("/etc/postgresql"), "{refused}");
    }

    #[test]
    fn settings_that_give_way_are_named_and_a_password_never_is() {
        let (_dir, server) = directory(&[
            ("postgresql.conf", "port = 5433\nwork_mem = 1MB\nhot_standby = yes\n"),
            ("postgresql.auto.conf", "primary_conninfo = 'password=s3cret'\n"),
        ]);
        let configured = Configured::read(&server.layout().pgdata).unwrap();
        let told = server.overridden(&configured).unwrap();
        assert_eq!(
            told,
            ["its port = '5433' gives way to '1'", "its primary_conninfo gives way: Interrex sets it"]
        );
    }
}
