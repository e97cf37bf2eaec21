//! What scenes need: layouts in temporary directories, and real servers that end with their test.

use super::layout::{Credentials, Layout};
use super::server::Server;
use interrex_cluster::record::Address;
use std::fs;
use tempfile::TempDir;

/// An empty data directory and its neighbours, owned by whoever runs the test.
pub(super) fn bare_layout() -> (TempDir, Layout) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let at = |name: &str| dir.path().join(name);
    for name in ["data/pg_wal", "private"] {
        fs::create_dir_all(at(name)).expect("it is our own directory");
    }
    let layout = Layout {
        bin_dir: at("bin"),
        pgdata: at("data"),
        socket_dir: at("private"),
        listen: Address { host: "127.0.0.1".to_owned(), port: 1 },
        run_as: None,
        log: at("postgres.log"),
        private_dir: at("private"),
        archive_command: None,
        restore_command: None,
        aside: at("aside"),
    };
    (dir, layout)
}

/// A handle with passwords that need care when quoted.
pub(super) fn server(layout: Layout) -> Server {
    let owner = Some(("app".to_owned(), "it's".to_owned()));
    Server::new(
        layout,
        Credentials { superuser: "su\\p'er".to_owned(), replication: "re:pl".to_owned(), owner },
    )
}
