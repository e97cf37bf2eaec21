//! What happened, for people: each applied command leaves events. They are derived from the log alone, so that every
//! coordinator tells the same story, whoever leads.

use crate::ids::{ClusterName, Epoch};
use crate::time::WallMs;
use serde::{Deserialize, Serialize};

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Index of the log entry that caused it; events of one entry keep their order.
    pub index: u64,
    /// When, by the proposing leader's wall clock.
    pub at: WallMs,
    /// The cluster concerned.
    pub cluster: ClusterName,
    /// The epoch after the entry.
    pub epoch: Epoch,
    /// What kind, in kebab case: `failover-begun`, `sealed`, `elected`, `promoted`, `opened`, …
    pub kind: String,
    /// The sentence.
    pub text: String,
}
