//! Who asks to be let into a cluster and is turned away: so that an operator who looks at the cluster reads what the node
//! on that machine has in its log. In the leader's memory only; who stops asking is forgotten.

use interrex_cluster::command::Registration;
use interrex_cluster::ids::{ClusterName, DirectoryId, InstanceName, MachineName};
use interrex_cluster::problem::{Problem, ProblemKind};
use interrex_cluster::time::Instant;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An agent asks twice a second: one that has not asked for so long has gone, or asks another leader.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// More than a cluster has instances. Whoever asks under ever new names takes no more memory than that.
const MOST: usize = 16;

/// Whose directory asks under which name.
type Asking = (InstanceName, DirectoryId);

#[derive(Debug)]
struct Turned {
    machine: MachineName,
    why: String,
    at: Instant,
}

/// Those whom this coordinator turned away lately.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(Mutex<BTreeMap<ClusterName, BTreeMap<Asking, Turned>>>);

impl TurnedAway {
    fn inner(&self) -> MutexGuard<'_, BTreeMap<ClusterName, BTreeMap<Asking, Turned>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One asked, and was told why not; `None`: it was let in.
    pub(crate) fn answered(
        &self,
        cluster: &ClusterName,
        asked: &Registration,
        why: Option<&str>,
        now: Instant,
    ) {
        let mut inner = self.inner();
        let asking = (asked.instance.clone(), asked.directory.clone());
        let room = inner.entry(cluster.clone()).or_default();
        room.retain(|_, turned| now.since(turned.at) < FORGOTTEN_AFTER);
        match why {
            None => drop(room.remove(&asking)),
            Some(_) if room.len() >= MOST && !room.contains_key(&asking) => {}
            Some(why) => {
                let turned = Turned { machine: asked.machine.clone(), why: why.to_owned(), at: now };
                room.insert(asking, turned);
            }
        }
        if room.is_empty() {
            inner.remove(cluster);
        }
    }

    /// What an operator is shown of it, one for each who still asks.
    pub(crate) fn problems(&self, cluster: &ClusterName, now: Instant) -> Vec<Problem> {
        let inner = self.inner();
        let lately = inner.get(cluster).into_iter().flatten();
        let lately = lately.filter(|(_, turned)| now.since(turned.at) < FORGOTTEN_AFTER);
        let problem = |((instance, _), turned): (&Asking, &Turned)| Problem {
            kind: ProblemKind::TurnedAway { instance: instance.clone(), machine: turned.machine.clone() },
            evidence: vec![turned.why.clone()],
        };
        lately.map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::record::Address;

    fn asks(instance: &str, directory: &str) -> Registration {
        Registration {
            instance: instance.parse().unwrap(),
            machine: "m1".parse().unwrap(),
            zone: String::new(),
            directory: DirectoryId(directory.to_owned()),
            address: Address { host: "127.0.0.1".to_owned(), port: 5432 },
            priority: Some(1),
            major: 15,
            system: None,
            replaces: None,
        }
    }

    #[test]
    fn who_is_turned_away_is_shown_until_it_is_let_in_or_asks_no_more() {
        let (turned, orders) = (TurnedAway::default(), "orders".parse().unwrap());
        let shown = |at| turned.problems(&orders, Instant(at)).len();
        turned.answered(&orders, &asks("n1", "d1"), Some("the name is taken"), Instant(1_000));
        turned.answered(&orders, &asks("n1", "d2"), Some("the name is taken"), Instant(2_000));
        assert_eq!((shown(2_000), shown(6_100), shown(7_100)), (2, 1, 0));
        turned.answered(&orders, &asks("n1", "d2"), None, Instant(3_000));
        assert_eq!(shown(3_000), 1);
        let problem = turned.problems(&orders, Instant(3_000)).remove(0);
        assert_eq!(problem.kind.to_string(), "n1 on machine m1 asks to be let in and is turned away");
        assert_eq!(problem.evidence, ["the name is taken"]);
        assert_eq!(turned.problems(&"bills".parse().unwrap(), Instant(3_000)), []);
    }

    #[test]
    fn ever_new_names_take_no_more_than_their_room() {
        let (turned, orders) = (TurnedAway::default(), "orders".parse().unwrap());
        for n in 0..100 {
            turned.answered(&orders, &asks(&format!("n{n}"), "d1"), Some("no"), Instant(n));
        }
        assert_eq!(turned.problems(&orders, Instant(100)).len(), MOST);
    }
}
