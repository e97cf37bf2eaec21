//! Looking at the data directory. Kept between looks: it changes by our own deeds, and those say so.

use crate::identity::{self, Disagreement, Identity};
use crate::instance::Instance;
use crate::postgres::DataDir;
use interrex_cluster::ids::{Incarnation, SystemId};
use interrex_cluster::instance::observed::{Data, Server as Seen};

impl Instance {
    pub(super) async fn look_at_data(&self, server: &Seen) -> Data {
        let memory = self.memory();
        if let Some(sentinel) = memory.sentinel {
            return Data::Unfinished(sentinel);
        }
        let kept = self.known().data.clone();
        if let Some(kept) = kept {
            return kept;
        }
        let found = self.inspect().await;
        // What could not be read may be readable at the next look; what was read stays, until a deed of ours.
        if !matches!(found, Data::Strange { .. }) || !matches!(server, Seen::Gone) {
            self.known().data = Some(found.clone());
        }
        found
    }

    /// Why the present copy counts for nothing.
    fn doubt(&self) -> Option<String> {
        let copy = self.memory().incarnation;
        let known = self.known();
        known.doubt.as_ref().filter(|(of, _)| *of == copy).map(|(_, why)| why.clone())
    }

    /// The very directory that was offered for adoption, and not taken in to the end.
    fn is_offered(&self, identity: Option<Identity>, system: SystemId) -> bool {
        let memory = self.memory();
        let Some(offered) = memory.offered.filter(|offered| offered.system == system) else { return false };
        let begun = |found: Identity| found.is_of(self.welcome.cluster_id, offered.incarnation);
        memory.incarnation == Incarnation(0) && identity.is_none_or(begun)
    }

    async fn inspect(&self) -> Data {
        let key = self.agent.written.key("instance.pgdata");
        let strange = |why: String| Data::Strange { why: format!("{key}{why}") };
        let pgdata = self.config.pgdata.display();
        match self.server.has_data().await {
            Ok(DataDir::Missing | DataDir::Empty) => return Data::Missing,
            Ok(DataDir::Postgres { .. }) => {}
            Ok(DataDir::Foreign { why }) => return strange(why),
            Err(error) => return strange(format!("cannot look at data directory {pgdata}: {error}")),
        }
        let identity = match identity::read(&self.config.pgdata) {
            Ok(identity) => identity,
            Err(error) => return strange(error.to_string()),
        };
        let system = match self.server.control_data().await {
            Ok(control) => control.system,
            Err(error) => return strange(format!("cannot tell whose data {pgdata} holds: {error}")),
        };
        if self.is_offered(identity, system) {
            return Data::Offered(system);
        }
        match identity::disagreement(identity, self.welcome.cluster_id, &self.memory()) {
            None => match self.doubt() {
                Some(why) => Data::Doubtful { system, why },
                None => Data::Ours(system),
            },
            Some(Disagreement::Doubtful(why)) => Data::Doubtful { system, why },
            Some(Disagreement::Strange(why)) => strange(why),
        }
    }
}
