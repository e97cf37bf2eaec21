//! The server's log, kept to a bounded size: it lies on the volume of the agent's own state and of the coordinator's log, which
//! a talkative PostgreSQL must not fill. PostgreSQL and its guard hold the file open to append, and nobody can make them open
//! another one: so it is copied and emptied. What is written between these two is lost, a few lines at most.

use crate::instance::Instance;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// From this size on it is emptied, bytes.
const FULL: u64 = 64 << 20;
/// So many older ones are kept, `postgres.log.1` the newest.
const OLDER: u32 = 3;
/// Between looks: one system call.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// After it could not be done.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps it short, for ever.
pub(crate) async fn keep_short(instance: Arc<Instance>) {
    loop {
        sleep(LOOK_AGAIN).await;
        if instance.rooms.log_end() < FULL {
            continue;
        }
        let log = instance.rooms.log();
        let turned = tokio::task::spawn_blocking(move || turn_over(&log)).await;
        let why = match turned {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::warn!(
            cluster = %instance.config.cluster,
            "{} grows beyond {} MiB, and cannot be turned over: {why}", instance.rooms.log().display(), FULL >> 20
        );
        sleep(PATIENCE).await;
    }
}

/// Copies it to `.1`, after `.1` became `.2`, and so on; empties it. Where there is no room for a copy, the older ones go.
fn turn_over(log: &Path) -> io::Result<()> {
    for number in (1..OLDER).rev() {
        match fs::rename(older(log, number), older(log, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let newest = older(log, 1);
    let copied = copy(log, &newest);
    if copied.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
        for number in 1..=OLDER {
            // One that is not there is gone already.
            let _ = fs::remove_file(older(log, number));
        }
    } else {
        copied?;
    }
    OpenOptions::new().write(true).truncate(true).open(log).map(drop)
}

fn copy(log: &Path, to: &Path) -> io::Result<()> {
    let mut from = fs::File::open(log)?;
    let mode = from.metadata()?.permissions().mode() & 0o777;
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(to)?;
    io::copy(&mut from, &mut copy).map(drop)
}

fn older(log: &Path, number: u32) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn whoever_has_it_open_writes_on_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("postgres.log");
        let mut server = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        for number in 1..=5 {
            writeln!(server, "line {number}").unwrap();
            turn_over(&log).unwrap();
        }
        writeln!(server, "line 6").unwrap();
        assert_eq!(read(&log), "line 6\n");
        let older: Vec<String> = (1..=4).map(|number| read(&older(&log, number))).collect();
        assert_eq!(older, ["line 5\n", "line 4\n", "line 3\n", ""]);
    }
}
