//! The settings that Interrex owns, in an include file of its own.

use interrex_cluster::record::Address;

/// What the server is to be configured as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its part in the cluster.
    pub role: Role,
}

/// A server's part, as its settings know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The commit rule is in force: written before the promotion, too.
    Primary {
        /// `synchronous_standby_names`.
        sync: SyncText,
    },
    /// Follows an upstream.
    Standby {
        /// Which.
        upstream: Upstream,
    },
    /// Refuses older epochs: no upstream, no `restore_command`.
    Sealed,
    /// Nothing is decided: no upstream either.
    Idle,
}

/// Whom a standby follows, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where it listens.
    pub address: Address,
    /// `application_name`, the name in commit rules.
    pub name: String,
    /// The physical slot that holds WAL for this instance there.
    pub slot: Option<String>,
}

/// `synchronous_standby_names` of a primary: `ANY k (names)`, `''` only for `k = 0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncText {
    /// How many standbys have to flush a commit.
    pub k: u32,
    /// Which.
    pub names: Vec<String>,
}

/// What writing the settings did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The file is another than before: a reload is due, or a start.
    pub changed: bool,
    /// Keys of ours that were found in `postgresql.auto.conf` and taken out: somebody used ALTER SYSTEM. To be told.
    pub stray: Vec<String>,
}
