//! SIGHUP: what can be read again without a restart is read again, and what cannot is named.
//!
//! In force at once: the certificate, key and CA of `[tls]` (also looked at every ten seconds without a signal) and the
//! operators' token. Whatever does not fit leaves the former in use. Every other key of the node file says who a node is
//! or what it runs: it is compared with what runs, and one that differs is said to wait for a restart.

use interrex_config::{Node, World};
use tokio::task::spawn_blocking;

/// Reads again and says what came of it, a line a matter.
pub(crate) async fn reload(node: &Node, world: &World) {
    let (tls, token, file) = (world.tls.clone(), world.admin_token.clone(), node.file.clone());
    let read = spawn_blocking(move || {
        // It tells its own story: what changed, or what does not fit.
        let tls = tls.is_some_and(|tls| tls.refresh());
        (tls, token.map(|token| token.refresh()), interrex_config::load(&file))
    });
    // It fails only when the runtime ends, and then nobody waits for it.
    let Ok((tls, token, file)) = read.await else { return };
    let token = match token {
        None | Some(Ok(false)) => false,
        Some(Ok(true)) => {
            tracing::info!("a renewed admin token is in use from now on");
            true
        }
        Some(Err(fault)) => {
            tracing::warn!("key 'coordinator.admin_token_file': {fault}; the former token stays in use");
            false
        }
    };
    match file {
        Ok(now) => {
            let waiting = waiting(node, &now);
            for key in &waiting {
                tracing::warn!(
                    "SIGHUP: key '{key}' of {} is not what this node runs with: restart the node to put it in force",
                    node.file.display()
                );
            }
            if !tls && !token && waiting.is_empty() {
                tracing::info!("SIGHUP: everything is in force as the files say");
            }
        }
        Err(why) => {
            for line in why.to_string().lines() {
                tracing::warn!("SIGHUP: {line}; the node goes on as it was started");
            }
        }
    }
}

/// The keys at the top of the file, and the sections, that differ from what runs.
fn waiting(runs: &Node, now: &Node) -> Vec<&'static str> {
    let differs = [
        ("name", runs.name != now.name),
        ("zone", runs.zone != now.zone),
        ("data_dir", runs.data_dir != now.data_dir),
        ("http", runs.http != now.http),
        ("log_format", runs.log_format != now.log_format),
        ("tls", runs.tls != now.tls),
        ("coordinator", runs.coordinator != now.coordinator),
        ("agent", runs.agent != now.agent),
        ("instance", runs.instances != now.instances),
        ("cluster", runs.clusters != now.clusters),
    ];
    differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}
