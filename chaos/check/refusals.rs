//! A refusal names what would end it (PROTOCOL.md invariant 5): an election that waits for seals waits for every rule
//! under which something may have been acknowledged that the sealed do not hold, for no other, and names those, and as
//! many of them, as would rule that out.

use crate::rules::unheard;
use crate::{Fact, Property};
use interrex_cluster::ids::InstanceName;
use interrex_cluster::problem::Wait;
use interrex_cluster::record::{Cluster, CommitRule, Failover, Operation};

/// Stateless: the record at hand decides.
pub(crate) struct RefusalsNameWhatIsMissing;

impl Property for RefusalsNameWhatIsMissing {
    fn name(&self) -> &'static str {
        "refusals-name-what-is-missing"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Refused { record, waits } = fact else { return Ok(()) };
        let (Operation::Failover(failover), None) = (&record.operation, &record.primary) else {
            return Ok(());
        };
        let mut named = Vec::new();
        for wait in *waits {
            if let Wait::SealsMissing { rule, more, from } = wait {
                named.push(rule.as_str());
                judge(record, failover, rule, *more, from)?;
            }
        }
        if named.is_empty() {
            return Ok(());
        }
        let open = |rule: &&CommitRule| rule.k > 0 && unheard(rule, &failover.seals).is_some();
        match record
            .rules
            .iter()
            .filter(open)
            .map(ToString::to_string)
            .find(|rule| !named.contains(&rule.as_str()))
        {
            Some(rule) => Err(format!("the election waits for seals, and does not name the rule '{rule}'")),
            None => Ok(()),
        }
    }
}

fn judge(
    record: &Cluster,
    failover: &Failover,
    told: &str,
    more: u32,
    from: &[InstanceName],
) -> Result<(), String> {
    let mut alike = record.rules.iter().filter(|rule| rule.to_string() == told);
    let right = alike.any(|rule| {
        unheard(rule, &failover.seals).is_some_and(|unsealed| {
            // With one more of them sealed than leaves `k - 1`, no `k` of them are left.
            let needed = unsealed.len() + 1 - rule.k as usize;
            needed == more as usize && unsealed.iter().copied().eq(from)
        })
    });
    if right {
        return Ok(());
    }
    let names: Vec<&str> = from.iter().map(InstanceName::as_str).collect();
    Err(format!(
        "the election waits for {more} of {} under the rule '{told}', which is not what is missing",
        names.join(", ")
    ))
}
