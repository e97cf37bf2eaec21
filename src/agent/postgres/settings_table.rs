//! Every setting of ours, for every role. docs/settings.md has the reasons, and a test holds the two together.
//! Names and values are those that PostgreSQL 14 to 18 share, but for the keys of some versions named below.

use super::error::{Error, Result};
use super::layout::Layout;
use super::rehearsal::RESERVED;
use super::settings::Role;

/// Keys that belong to us: found in postgresql.auto.conf, they are taken out.
pub(super) const KEYS: [&str; 47] = [
    "listen_addresses",
    "port",
    "unix_socket_directories",
    "superuser_reserved_connections",
    "password_encryption",
    "synchronous_standby_names",
    "synchronous_commit",
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "archive_mode",
    "archive_command",
    "recovery_target_timeline",
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_action",
    "promote_trigger_file",
    "hot_standby",
    "hot_standby_feedback",
    "wal_level",
    "wal_log_hints",
    "full_page_writes",
    "fsync",
    "data_sync_retry",
    "restart_after_crash",
    "recovery_init_sync_method",
    "max_wal_senders",
    "max_replication_slots",
    "wal_keep_size",
    "max_slot_wal_keep_size",
    "idle_replication_slot_timeout",
    "wal_sender_timeout",
    "wal_receiver_timeout",
    "wal_receiver_status_interval",
    "wal_retrieve_retry_interval",
    "wal_receiver_create_temp_slot",
    "tcp_user_timeout",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "log_destination",
    "logging_collector",
    "log_line_prefix",
    "lc_messages",
];

/// How long a startup process waits before it looks for WAL again. A seal watches for twice as long.
pub(super) const RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

/// A key that versions from 16 on refuse to start with.
const UNTIL_15: &str = "promote_trigger_file";
/// A key that versions before 18 refuse to start with.
const SINCE_18: &str = "idle_replication_slot_timeout";

/// Key and value; each of [`KEYS`] once that this major version knows. `logical`: the operator's own files ask for
/// `wal_level = logical`, which holds all that `replica` does.
pub(super) fn table(
    layout: &Layout,
    role: &Role,
    restoring: bool,
    logical: bool,
    nobody: &str,
    conninfo: Option<&str>,
    major: Option<u32>,
) -> Result<Vec<(&'static str, String)>> {
    let archive = layout.archive_command.as_deref();
    let (sync, slot, restore) = match role {
        Role::Primary { sync } => (sync.render(nobody), None, restoring),
        Role::Standby { upstream } => (unsatisfiable(nobody), upstream.slot.as_deref(), true),
        Role::Sealed | Role::Idle => (unsatisfiable(nobody), None, restoring),
    };
    // Written before a promotion, too: an archive that has the history of an abandoned timeline would put it into the
    // new line's ancestry.
    let restore = layout.restore_command.as_deref().filter(|_| restore).map(without_histories);
    let rows: [(&'static str, &str); KEYS.len()] = [
        ("listen_addresses", &layout.listen.host),
        ("port", &layout.listen.port.to_string()),
        ("unix_socket_directories", &layout.socket_dir.display().to_string()),
        ("superuser_reserved_connections", &RESERVED.to_string()),
        ("password_encryption", "scram-sha-256"),
        ("synchronous_standby_names", &sync),
        ("synchronous_commit", "on"),
        ("primary_conninfo", conninfo.unwrap_or_default()),
        ("primary_slot_name", slot.unwrap_or_default()),
        ("restore_command", restore.as_deref().unwrap_or_default()),
        ("archive_mode", if archive.is_some() { "on" } else { "off" }),
        ("archive_command", archive.unwrap_or_default()),
        ("recovery_target_timeline", "latest"),
        // A target of the operator's would end recovery below the sealed end.
        ("recovery_target", ""),
        ("recovery_target_lsn", ""),
        ("recovery_target_name", ""),
        ("recovery_target_time", ""),
        ("recovery_target_xid", ""),
        ("recovery_target_action", "pause"),
        ("promote_trigger_file", ""),
        ("hot_standby", "on"),
        ("hot_standby_feedback", "on"),
        ("wal_level", if logical { "logical" } else { "replica" }),
        ("wal_log_hints", "on"),
        ("full_page_writes", "on"),
        ("fsync", "on"),
        ("data_sync_retry", "off"),
        ("restart_after_crash", "off"),
        ("recovery_init_sync_method", "syncfs"),
        ("max_wal_senders", "20"),
        ("max_replication_slots", "20"),
        ("wal_keep_size", "256MB"),
        ("max_slot_wal_keep_size", &format!("{}MB", slot_keep_mb(layout)?)),
        // The slot of a standby that is away holds WAL by size alone, whatever the operator wrote.
        ("idle_replication_slot_timeout", "0"),
        ("wal_sender_timeout", "5s"),
        ("wal_receiver_timeout", "5s"),
        ("wal_receiver_status_interval", "1s"),
        ("wal_retrieve_retry_interval", &format!("{}ms", RETRY_INTERVAL.as_millis())),
        ("wal_receiver_create_temp_slot", "off"),
        ("tcp_user_timeout", "5s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "3"),
        ("log_destination", "stderr"),
        ("logging_collector", "off"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
        // What a server says before it lets anybody in is read in its log.
        ("lc_messages", "C"),
    ];
    let known = |key: &str| match key {
        UNTIL_15 => major.is_some_and(|major| major <= 15),
        SINCE_18 => major.is_some_and(|major| major >= 18),
        _ => true,
    };
    Ok(rows.into_iter().filter(|(key, _)| known(key)).map(|(key, value)| (key, value.to_owned())).collect())
}

/// Nobody may acknowledge: a promotion by hand then acknowledges no synchronous commit (PROTOCOL.md clause 6).
fn unsatisfiable(nobody: &str) -> String {
    format!("ANY 1 (\"{nobody}\")")
}

/// What slots may hold back: up to a quarter of the volume, at most 16 GB (F35), and never less than every standby
/// gets.
fn slot_keep_mb(layout: &Layout) -> Result<u64> {
    const MB: u64 = 1 << 20;
    let place = layout.pgdata.ancestors().find(|dir| dir.exists()).unwrap_or(&layout.pgdata);
    let volume = rustix::fs::statvfs(place).map_err(|e| Error::io("measure", place, &e.into()))?;
    let quarter = volume.f_blocks.saturating_mul(volume.f_frsize) / 4 / MB;
    // A power of two: some file systems change their size by the minute, and the file should not.
    Ok(1 << quarter.clamp(512, 16 * 1024).ilog2())
}

/// Histories come from the upstream and from the record alone. An archive that several reigns wrote to may have those of
/// abandoned timelines: whoever looks there before his upstream answers would follow them, WAL and all (F21).
fn without_histories(command: &str) -> String {
    format!("case %f in *.history) exit 1;; esac; {command}")
}

#[cfg(test)]
mod tests {
    use super::super::settings::{SyncText, Upstream};
    use super::super::testing::bare_layout;
    use super::*;
    use interrex_cluster::record::Address;

    #[test]
    fn every_key_of_ours_has_a_row() {
        let (_dir, layout) = bare_layout();
        let keys = |major| {
            let rows = table(&layout, &Role::Sealed, false, false, "nobody_1", None, major).unwrap();
            rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        let all_but =
            |none_of: &[&str]| KEYS.into_iter().filter(|key| !none_of.contains(key)).collect::<Vec<_>>();
        // A server refuses to start with a key that it does not know.
        assert_eq!(keys(Some(14)), all_but(&[SINCE_18]));
        assert_eq!(keys(Some(15)), all_but(&[SINCE_18]));
        assert_eq!(keys(Some(16)), all_but(&[UNTIL_15, SINCE_18]));
        assert_eq!(keys(Some(18)), all_but(&[UNTIL_15]));
        assert_eq!(keys(None), all_but(&[UNTIL_15, SINCE_18]));
    }

    #[test]
    fn wal_comes_from_an_archive_only_while_an_upstream_is_followed() {
        let (_dir, mut layout) = bare_layout();
        layout.restore_command = Some("cp /archive/%f %p".to_owned());
        let restores = |role: &Role| {
            let rows = table(&layout, role, false, false, "nobody_1", None, Some(15)).unwrap();
            let mut rows = rows.into_iter();
            let command = rows.find(|(key, _)| *key == "restore_command").map(|(_, value)| value);
            command.filter(|command| !command.is_empty())
        };
        let address = Address { host: "h".to_owned(), port: 5 };
        let upstream = Upstream { address, name: "ix_a".to_owned(), slot: None };
        let sync = SyncText { k: 1, names: vec!["ix_b".to_owned()] };
        let command = restores(&Role::Standby { upstream }).unwrap();
        assert_eq!(command, "case %f in *.history) exit 1;; esac; cp /archive/%f %p");
        for role in [Role::Primary { sync }, Role::Sealed, Role::Idle] {
            assert_eq!(restores(&role), None, "{role:?}");
        }
    }
}
