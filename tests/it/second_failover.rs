//! Two machines die one after the other, the second one only after the first is back: what the first winner was
//! given by its predecessor must survive it too. And settings stand in everybody's way at once: an application has its own
//! defaults for sessions, for a database or a role as well as for the cluster, none of which may keep an agent from its server.

use crate::support::{self, Town, Writer, healthy};

/// Of the whole cluster, the application's sessions included: a hot standby refuses whoever wants to be serializable.
const CLUSTER_HAS: [&str; 8] = [
    "default_transaction_isolation=serializable",
    "default_transaction_deferrable=on",
    "idle_session_timeout=900",
    "standard_conforming_strings=off",
    "log_statement=all",
    "bytea_output=escape",
    "quote_all_identifiers=on",
    "datestyle=German, DMY",
];
/// Of the database that agents log in to, and of their role: whichever of the two is closer to a session wins, so both have it.
/// An acknowledgement that waits for nobody would prove nothing.
const SESSIONS_HAVE: [(&str, &str); 15] = [
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "'repeatable read'"),
    ("default_transaction_deferrable", "on"),
    ("synchronous_commit", "off"),
    ("lock_timeout", "1"),
    ("idle_session_timeout", "50"),
    ("idle_in_transaction_session_timeout", "50"),
    ("search_path", "nowhere"),
    ("row_security", "off"),
    ("client_encoding", "LATIN1"),
    ("client_min_messages", "error"),
    ("datestyle", "'SQL, DMY'"),
    ("timezone", "'Pacific/Chatham'"),
    ("standard_conforming_strings", "off"),
    ("transform_null_equals", "on"),
];
/// Of the agents' role alone: nobody who is no superuser could override a library that is missing.
const AGENTS_HAVE: [(&str, &str); 3] = [
    ("session_preload_libraries", "no_such"),
    ("local_preload_libraries", "no_such"),
    ("statement_timeout", "1"),
];

/// All of it, as statements.
fn hostile() -> String {
    let set = |of: &str, settings: &[(&str, &str)]| {
        settings.iter().map(|(name, value)| format!("alter {of} set {name} = {value};")).collect::<String>()
    };
    set("database postgres", &SESSIONS_HAVE)
        + &set("role interrex", &SESSIONS_HAVE)
        + &set("role interrex", &AGENTS_HAVE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_primary_dies_too_once_the_old_one_is_back_and_nothing_is_lost() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let set = town.ctl(&["set", "demo"].into_iter().chain(CLUSTER_HAS).collect::<Vec<_>>()).await;
    assert_eq!(set.code, 0, "{set:?}");
    town.machine(&support::primary(&before)).psql(&hostile());
    let writer = Writer::start(&town).await;

    let mut epoch = before.epoch;
    for _ in 0..2 {
        let status = town.until("the cluster is whole", healthy).await;
        let primary = support::primary(&status);
        town.machine(&primary).kill();
        epoch = epoch.next();
        town.until("another primary is open", |s| s.open && s.epoch == epoch).await;
        writer.acknowledged(&town, 100).await;
        town.machine(&primary).start();
    }
    let after = town.healthy("the cluster after two failovers").await;
    assert_eq!(after.epoch.0, before.epoch.0 + 2);
    writer.verdict(&town).await;
}
