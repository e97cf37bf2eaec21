//! Following a planned change of primary to its end: what happens is told as it happens, and the end is either what was
//! asked for or the reason why not.

use crate::{CtlError, Output, Session};
use interrex_api::admin::EventsRequest;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName};

/// How a planned change ended.
pub(crate) struct Outcome {
    /// Who takes writes now.
    pub(crate) primary: InstanceName,
    /// In which epoch.
    pub(crate) epoch: Epoch,
    /// Why it is not who was asked for; absent: it is.
    pub(crate) missed: Option<String>,
}

/// The newest log entry that left an event: what happens from now on comes after it.
pub(crate) async fn newest(session: &Session<'_>, cluster: &ClusterName) -> Result<u64, CtlError> {
    let all = EventsRequest { cluster: Some(cluster.clone()), after: 0, follow: false };
    let mut events = session.client.events(all).await?;
    let mut newest = 0;
    while let Some(event) = events.next().await? {
        newest = event.index;
    }
    Ok(newest)
}

/// Follows the change that begins `epoch` until somebody takes writes again. As a table, each event is a line.
///
/// # Errors
/// Nobody answers any more, or the change was given up before it began: the primary stays.
pub(crate) async fn follow(
    session: &mut Session<'_>,
    cluster: &ClusterName,
    after: u64,
    epoch: Epoch,
    to: &InstanceName,
) -> Result<Outcome, CtlError> {
    let request = EventsRequest { cluster: Some(cluster.clone()), after, follow: true };
    let mut events = session.client.events(request).await?;
    let mut missed = None;
    while let Some(event) = events.next().await? {
        if session.output == Output::Table {
            writeln!(session.out, "{}", event.text)?;
            session.out.flush()?;
        }
        match event.kind.as_str() {
            "switchover-abandoned" if event.epoch < epoch => return Err(CtlError::Refused(event.text)),
            "switchover-abandoned" | "switchover-missed" => missed = Some(event.text),
            "opened" if event.epoch >= epoch => break,
            _ => {}
        }
    }
    let now = session.client.get_cluster(cluster).await?;
    let primary = now.primary.ok_or_else(|| {
        CtlError::Refused(format!("{cluster} has no primary at the moment; see: interrex explain {cluster}"))
    })?;
    let missed = if primary == *to { None } else { missed.or_else(|| Some(format!("{primary} is primary"))) };
    Ok(Outcome { primary, epoch: now.epoch, missed })
}
