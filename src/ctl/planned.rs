//! Following what was asked for to its end: what happens is told as it happens, and the end is either what was asked for
//! or the reason why not.

use crate::{CtlError, Output, Session};
use interrex_api::admin::EventsRequest;
use interrex_api::client::EventStream;
use interrex_cluster::event::Event;
use interrex_cluster::explain::without_figures;
use interrex_cluster::ids::{ClusterName, Epoch, InstanceName};
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use tokio::time::sleep;

/// After so long without an event it is told what is waited for.
const QUIET: Duration = Duration::from_secs(3);

/// How a planned change ended.
pub(crate) struct Outcome {
    /// Who takes writes now.
    pub(crate) primary: InstanceName,
    /// In which epoch.
    pub(crate) epoch: Epoch,
    /// Why it is not who was asked for; absent: it is.
    pub(crate) missed: Option<String>,
    /// What may be lost; absent: no acknowledged commit.
    pub(crate) lost: Option<String>,
}

impl Outcome {
    /// Fails unless it ended as asked for.
    ///
    /// # Errors
    /// Somebody else is primary than was asked for, or acknowledged commits may be lost.
    pub(crate) fn checked(self, to: &InstanceName) -> Result<(), CtlError> {
        let Outcome { primary, epoch, missed, lost } = self;
        let missed =
            missed.map(|why| format!("{to} did not become primary, {primary} did in epoch {epoch}: {why}"));
        let lost = lost.map(|what| format!("epoch {epoch} did not begin in good order: {what}"));
        match (missed, lost) {
            (None, None) => Ok(()),
            (Some(why), None) | (None, Some(why)) => Err(CtlError::Refused(why)),
            (Some(missed), Some(lost)) => Err(CtlError::Refused(format!("{missed}; {lost}"))),
        }
    }
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

/// What is a line of the table meanwhile, besides what is waited for when it is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// Each event.
    Everything,
    /// No event.
    Waits,
}

/// Hears what happens to the cluster after a log entry, until `judge` has an answer.
///
/// # Errors
/// Nobody answers any more, or what `judge` says.
pub(crate) async fn until<T>(
    session: &mut Session<'_>,
    cluster: &ClusterName,
    after: u64,
    say: Say,
    mut judge: impl FnMut(Event) -> Option<Result<T, CtlError>>,
) -> Result<T, CtlError> {
    let request = EventsRequest { cluster: Some(cluster.clone()), after, follow: true };
    let mut events = session.client.events(request).await?;
    let table = session.output == Output::Table;
    let mut told = BTreeSet::new();
    while let Some(event) = or_tell_waits(&mut events, session, cluster, table.then_some(&mut told)).await? {
        if table && say == Say::Everything {
            writeln!(session.out, "{}", event.text)?;
            session.out.flush()?;
        }
        if let Some(answer) = judge(event) {
            return answer;
        }
    }
    Err(CtlError::Refused(format!(
        "the coordinators stopped telling before it was done; see: interrex events {cluster}"
    )))
}

/// The next event; whenever it is quiet meanwhile, what is waited for is told, to whoever is told anything.
async fn or_tell_waits(
    events: &mut EventStream,
    session: &mut Session<'_>,
    cluster: &ClusterName,
    mut told: Option<&mut BTreeSet<String>>,
) -> Result<Option<Event>, CtlError> {
    let mut next = pin!(events.next());
    loop {
        tokio::select! {
            event = &mut next => return Ok(event?),
            () = sleep(QUIET) => if let Some(told) = told.as_deref_mut() {
                tell_waits(session, cluster, told).await?;
            },
        }
    }
}

/// What is waited for and what is wrong, each once. Whether anybody answers is the event stream's affair.
async fn tell_waits(
    session: &mut Session<'_>,
    cluster: &ClusterName,
    told: &mut BTreeSet<String>,
) -> Result<(), CtlError> {
    let Ok(status) = session.client.get_cluster(cluster).await else { return Ok(()) };
    let problems = status.problems.into_iter().map(|line| line.sentence);
    for line in problems.chain(status.waits).filter(|line| told.insert(without_figures(line))) {
        writeln!(session.out, "  meanwhile: {line}")?;
    }
    session.out.flush()?;
    Ok(())
}

/// Follows a failover until somebody takes writes in its epoch or a later one, and says who. As a table, each event is a line.
///
/// # Errors
/// Nobody answers any more.
pub(crate) async fn opened(
    session: &mut Session<'_>,
    cluster: &ClusterName,
    after: u64,
    epoch: Epoch,
) -> Result<Option<InstanceName>, CtlError> {
    let opened = |event: Event| (event.kind == "opened" && event.epoch >= epoch).then_some(Ok(()));
    until(session, cluster, after, Say::Everything, opened).await?;
    Ok(session.client.get_cluster(cluster).await?.primary)
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
    let (mut missed, mut lost) = (None, None);
    let opened = |event: Event| match event.kind.as_str() {
        "switchover-abandoned" if event.epoch < epoch => Some(Err(CtlError::Refused(event.text))),
        "switchover-abandoned" | "switchover-missed" => {
            missed = Some(event.text);
            None
        }
        // Elected and lost again before it took writes, or a moment later: why says more than who came after it.
        "failover-begun" if event.epoch > epoch => {
            missed = Some(event.text);
            None
        }
        "loss" => {
            lost = Some(event.text);
            None
        }
        "opened" if event.epoch >= epoch => Some(Ok(())),
        _ => None,
    };
    until(session, cluster, after, Say::Everything, opened).await?;
    let now = session.client.get_cluster(cluster).await?;
    let primary = now.primary.ok_or_else(|| {
        CtlError::Refused(format!("{cluster} has no primary at the moment; see: interrex explain {cluster}"))
    })?;
    let missed = if primary == *to { None } else { missed.or_else(|| Some(format!("{primary} is primary"))) };
    Ok(Outcome { primary, epoch: now.epoch, missed, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asked_hears_both_that_it_is_another_and_what_may_be_lost() {
        let to: InstanceName = "n1".parse().unwrap();
        let ended = |primary: &str, missed: Option<&str>, lost: Option<&str>| {
            let (missed, lost) = (missed.map(str::to_owned), lost.map(str::to_owned));
            let outcome = Outcome { primary: primary.parse().unwrap(), epoch: Epoch(8), missed, lost };
            outcome.checked(&to).map_err(|why| why.to_string())
        };
        assert_eq!(ended("n1", None, None), Ok(()));
        let missed = "n1 did not become primary, n2 did in epoch 8: n2 is primary";
        let lost = "epoch 8 did not begin in good order: asynchronous commits of n1 may be lost";
        let (is, may) = (Some("n2 is primary"), Some("asynchronous commits of n1 may be lost"));
        assert_eq!(ended("n2", is, None), Err(missed.to_owned()));
        assert_eq!(ended("n1", None, may), Err(lost.to_owned()));
        assert_eq!(ended("n2", is, may), Err(format!("{missed}; {lost}")));
    }
}
