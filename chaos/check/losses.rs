//! No automatic loss beyond policy (PROTOCOL.md invariant 5): whoever is elected holds, with those not above it, all that
//! may have been acknowledged; but for what an operator accepted to lose, and, within `max_data_loss`, what waited for
//! nobody.

use crate::rules::unheard;
use crate::{Fact, Property};
use interrex_cluster::command::Command;
use interrex_cluster::record::{Cluster, Operation};

/// Stateless: the record before the election decides.
pub(crate) struct NoLossBeyondPolicy;

impl Property for NoLossBeyondPolicy {
    fn name(&self) -> &'static str {
        "no-loss-beyond-policy"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Recorded { before: Some(before), after, command: Command::Elect { instance, .. } } = fact
        else {
            return Ok(());
        };
        let (Operation::Failover(failover), false) = (&before.operation, before.primary == after.primary)
        else {
            return Ok(());
        };
        let Some(won) = failover.seals.get(instance) else {
            return Err(format!("{instance} was elected and never sealed"));
        };
        let not_above = failover.seals.iter().filter(|(_, seal)| seal.position <= won.position);
        let seals = not_above.map(|(name, seal)| (name.clone(), *seal)).collect();
        let open = |before: &Cluster, synchronous: bool| {
            let open = before.rules.iter().filter(|rule| (rule.k > 0) == synchronous);
            open.filter(|rule| unheard(rule, &seals).is_some()).map(ToString::to_string).next()
        };
        match (open(before, true), open(before, false)) {
            _ if failover.loss_accepted.is_some() => Ok(()),
            (Some(rule), _) => Err(format!("{instance} was elected although '{rule}' may be broken by it")),
            (None, Some(rule)) if before.spec.max_data_loss == 0 => {
                Err(format!("{instance} was elected although '{rule}', and no loss is allowed"))
            }
            _ => Ok(()),
        }
    }
}
