//! For scenes: a cluster of three that lacks nothing, as its coordinators tell it.
//!
//! One file for several crates' tests, which take it in with `#[path]`.

use interrex_cluster::ids::{ClusterId, Epoch, Incarnation, Revision};
use interrex_cluster::record::Address;
use interrex_cluster::spec::Spec;
use interrex_cluster::status::{ClusterStatus, InstanceStatus};

pub(crate) fn instance(name: &str, role: &str, server: &str) -> InstanceStatus {
    InstanceStatus {
        name: name.parse().unwrap(),
        machine: name.parse().unwrap(),
        zone: String::new(),
        address: Address { host: "127.0.0.1".to_owned(), port: 1 },
        role: role.to_owned(),
        server: server.to_owned(),
        priority: Some(1),
        timeline: None,
        lsn: None,
        lag_bytes: None,
        lag_ms: None,
        in_sync_set: true,
        incarnation: Incarnation(1),
        report_age_ms: Some(1),
        lease_left_ms: None,
        doing: None,
        pending_restart: Vec::new(),
        parameters_read: true,
    }
}

pub(crate) fn whole() -> ClusterStatus {
    ClusterStatus {
        name: "demo".parse().unwrap(),
        id: ClusterId(1),
        spec: Spec::default(),
        system: None,
        epoch: Epoch(2),
        revision: Revision(1),
        operation: "steady".to_owned(),
        primary: Some("n1".parse().unwrap()),
        open: true,
        rule: String::new(),
        rules: Vec::new(),
        instances: vec![
            instance("n1", "primary", "open"),
            instance("n2", "standby", "streaming"),
            instance("n3", "standby", "streaming"),
        ],
        problems: Vec::new(),
        waits: Vec::new(),
        paused: false,
    }
}
