//! Every setting of ours, for every role. docs/settings.md has the reasons, and a test holds the two together.
//! Names and values are those that PostgreSQL 14 to 18 share.

use super::error::{Error, Result};
use super::layout::Layout;
use super::settings::Role;

/// Keys that belong to us: found in postgresql.auto.conf, they are taken out.
pub(super) const KEYS: [&str; 37] = [
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
    "hot_standby",
    "hot_standby_feedback",
    "wal_level",
    "wal_log_hints",
    "full_page_writes",
    "fsync",
    "data_sync_retry",
    "restart_after_crash",
    "max_wal_senders",
    "max_replication_slots",
    "wal_keep_size",
    "max_slot_wal_keep_size",
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
];

/// How long a startup process waits before it looks for WAL again. A seal watches for twice as long.
pub(super) const RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

/// Key and value, in the order of [`KEYS`]. `main` is postgresql.conf as the operator has it.
pub(super) fn table(
    layout: &Layout,
    role: &Role,
    restoring: bool,
    main: &str,
    nobody: &str,
    conninfo: Option<&str>,
) -> Result<Vec<(&'static str, String)>> {
    let archive = layout.archive_command.as_deref();
    let (sync, slot, restore) = match role {
        Role::Primary { sync } => (sync.render(nobody), None, true),
        Role::Standby { upstream } => (unsatisfiable(nobody), upstream.slot.as_deref(), true),
        Role::Sealed | Role::Idle => (unsatisfiable(nobody), None, restoring),
    };
    let restore = layout.restore_command.as_deref().filter(|_| restore);
    let on_off = |on: bool| if on { "on" } else { "off" };
    let values: [&str; KEYS.len()] = [
        &layout.listen.host,
        &layout.listen.port.to_string(),
        &layout.socket_dir.display().to_string(),
        "6",
        "scram-sha-256",
        &sync,
        "on",
        conninfo.unwrap_or_default(),
        slot.unwrap_or_default(),
        restore.unwrap_or_default(),
        on_off(archive.is_some()),
        archive.unwrap_or_default(),
        "latest",
        "on",
        "on",
        if wants_logical(main) { "logical" } else { "replica" },
        "on",
        "on",
        "on",
        "off",
        "off",
        "20",
        "20",
        "256MB",
        &format!("{}MB", slot_keep_mb(layout)?),
        "5s",
        "5s",
        "1s",
        &format!("{}ms", RETRY_INTERVAL.as_millis()),
        "off",
        "5s",
        "5",
        "1",
        "3",
        "stderr",
        "off",
        "%m [%p] %q%u@%d ",
    ];
    Ok(KEYS.into_iter().zip(values.map(str::to_owned)).collect())
}

/// Nobody may acknowledge: a promotion by hand then acknowledges no synchronous commit (PROTOCOL.md clause 6).
fn unsatisfiable(nobody: &str) -> String {
    format!("ANY 1 (\"{nobody}\")")
}

/// `wal_level = logical` holds all that `replica` does; an operator who asked for it keeps it.
fn wants_logical(main: &str) -> bool {
    let level = main.lines().rfind(|line| line.trim_start().starts_with("wal_level"));
    level.is_some_and(|line| line.split('#').next().unwrap_or_default().contains("logical"))
}

/// What slots may hold back: a quarter of the volume, at most 16 GB (F35), and never less than every standby gets.
fn slot_keep_mb(layout: &Layout) -> Result<u64> {
    const MB: u64 = 1 << 20;
    let place = layout.pgdata.ancestors().find(|dir| dir.exists()).unwrap_or(&layout.pgdata);
    let volume = rustix::fs::statvfs(place).map_err(|e| Error::io("measure", place, &e.into()))?;
    let quarter = volume.f_blocks.saturating_mul(volume.f_frsize) / 4 / MB;
    Ok(quarter.clamp(512, 16 * 1024))
}

#[cfg(test)]
mod tests {
    use super::wants_logical;

    #[test]
    fn an_operator_s_logical_level_is_kept() {
        assert!(wants_logical("wal_level = minimal\n wal_level = logical # cdc\n"));
        assert!(!wants_logical("#wal_level = logical\nwal_level = replica # not logical\n"));
    }
}
