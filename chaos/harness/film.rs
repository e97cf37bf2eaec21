//! How a run looked while it went on: a frame every so often, as any operator would have seen it. For the picture alone;
//! nothing is judged by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use interrex_cluster::ids::ClusterName;
use interrex_cluster::status::{ClusterStatus, InstanceStatus};
use interrex_ledger::monotonic_ms;
use interrex_rig::{CLUSTER, Cluster, streams};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between frames.
const EVERY: Duration = Duration::from_millis(200);
/// Whose last report is older is not heard.
const UNHEARD_AFTER_MS: u64 = 1_500;

/// What could be seen of the cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Frame {
    /// `CLOCK_MONOTONIC` milliseconds.
    pub(crate) at_ms: u64,
    /// Absent: no coordinator answered as the leader.
    pub(crate) epoch: Option<u32>,
    /// Each instance, in the order of their names.
    pub(crate) instances: Vec<Shot>,
}

/// One instance in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shot {
    pub(crate) name: String,
    pub(crate) looks: Looks,
    /// Bytes of the primary's WAL that it has not flushed.
    pub(crate) lag: Option<u64>,
}

/// What an instance was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Looks {
    /// The primary, with its clients let in.
    Serves,
    /// Elected, and not open yet.
    Elected,
    /// A standby that streams.
    Streams,
    /// A whole copy that receives from nobody, or whose server does not run.
    Waits,
    /// Its copy is being made.
    Joins,
    /// Its agent is not heard.
    Unheard,
}

/// A film that is being made.
pub(crate) struct Film {
    frames: Arc<Mutex<Vec<Frame>>>,
    task: JoinHandle<()>,
}

impl Film {
    /// Begins.
    pub(crate) fn begin(cluster: &Cluster) -> anyhow::Result<Film> {
        let (client, name) = (cluster.client.clone(), CLUSTER.parse::<ClusterName>()?);
        let frames = Arc::new(Mutex::new(Vec::new()));
        let reel = frames.clone();
        let task = tokio::spawn(async move {
            loop {
                let at_ms = monotonic_ms();
                let status = client.get_cluster(&name).await.ok();
                let frame = Frame::of(at_ms, status.as_ref());
                reel.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
                sleep(EVERY).await;
            }
        });
        Ok(Film { frames, task })
    }

    /// Ends it.
    pub(crate) fn end(self) -> Vec<Frame> {
        self.task.abort();
        std::mem::take(&mut self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Frame {
    fn of(at_ms: u64, status: Option<&ClusterStatus>) -> Frame {
        let shot = |status: &ClusterStatus, instance: &InstanceStatus| Shot {
            name: instance.name.to_string(),
            looks: Looks::of(status, instance),
            lag: instance.lag_bytes,
        };
        let shots = |status: &ClusterStatus| status.instances.iter().map(|one| shot(status, one)).collect();
        let epoch = status.map(|status| status.epoch.0);
        Frame { at_ms, epoch, instances: status.map(shots).unwrap_or_default() }
    }
}

impl Looks {
    fn of(status: &ClusterStatus, instance: &InstanceStatus) -> Looks {
        if instance.report_age_ms.is_none_or(|age| age > UNHEARD_AFTER_MS) {
            return Looks::Unheard;
        }
        match instance.role.as_str() {
            "primary" if status.open => Looks::Serves,
            "primary" => Looks::Elected,
            "standby" if streams(instance) => Looks::Streams,
            "standby" => Looks::Waits,
            _ => Looks::Joins,
        }
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.task.abort();
    }
}
