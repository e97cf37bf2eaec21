//! Who leads the coordinators, and having another one lead: what a fault does depends on it.

use std::time::Duration;

use interrex_cluster::ids::MachineName;

use crate::cluster::Cluster;
use crate::patience::Patience;

const PLACING: Duration = Duration::from_secs(30);

impl Cluster {
    /// Who leads the coordinators; `None`: nobody says so at the moment.
    pub async fn leader(&self) -> Option<String> {
        let coordinators = self.client.list_coordinators().await.ok()?;
        coordinators.iter().find(|member| member.leader).map(|member| member.machine.to_string())
    }

    /// Hands leadership to `target` until somebody leads with whom `content` is; who that is.
    ///
    /// # Errors
    /// It does not come about in time.
    pub async fn place_leader(&self, target: &str, content: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let machine: MachineName = target.parse()?;
        let patience = Patience::new(format!("{target} to lead the coordinators"), PLACING);
        loop {
            if let Some(leader) = self.leader().await.filter(|leader| content(leader)) {
                return Ok(leader);
            }
            // A refusal is a reason to look again, nothing more: what counts is who leads.
            let refusal = self.client.transfer_leadership(Some(&machine)).await.err();
            patience.pause(&refusal.map(|refusal| refusal.to_string()).unwrap_or_default()).await?;
        }
    }
}
