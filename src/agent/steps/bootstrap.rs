//! The first directory of a cluster: initdb, identity, and told stopped. It becomes a primary by election and
//! promotion like any other.

use super::{Done, StepError};
use crate::identity::Identity;
use crate::instance::Instance;
use crate::postgres::DataDir;
use interrex_cluster::ids::{Incarnation, Stamp};
use interrex_cluster::instance::observed::Sentinel;

impl Instance {
    pub(super) async fn bootstrap(&self, stamp: Stamp) -> Done {
        let incarnation = Incarnation(1);
        let begun = self.memory().sentinel == Some(Sentinel::Create);
        match self.server.has_data().await? {
            DataDir::Missing | DataDir::Empty => {
                self.still(stamp)?;
                self.remember(|memory| memory.sentinel = Some(Sentinel::Create)).await?;
                self.doing(Some("creating the first directory".to_owned()));
                self.server.initdb().await?;
            }
            // It is renamed into place whole: an interrupted agent finds all of it or nothing.
            DataDir::Postgres { .. } if begun => {}
            DataDir::Postgres { .. } => {
                return Err(StepError::NotYet("there is data that was not made for this cluster".to_owned()));
            }
            DataDir::Foreign { why } => return Err(StepError::NotYet(why)),
        }
        let system = self.server.control_data().await?.system;
        let position = self.server.wal_end(None, None).await?;
        let cluster = self.welcome.cluster_id;
        let serial = self.memory().serial;
        self.identify(Identity { cluster, incarnation, epoch: stamp.epoch, serial })?;
        self.remember(move |memory| {
            memory.created = Some((system, position));
            memory.incarnation = incarnation;
            memory.sentinel = None;
        })
        .await?;
        let mut known = self.known();
        known.data = None;
        known.proofs.created = Some((system, position));
        drop(known);
        tracing::info!(cluster = %self.config.cluster, %system, lsn = %position.lsn, "the first directory was created");
        Ok(())
    }
}
