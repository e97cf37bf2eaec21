//! `switchover CLUSTER [--to I] [--dry-run] [--no-wait]`.

use crate::{CtlError, Output, Session, planned};
use clap::Args;
use interrex_api::admin::{FailoverReply, SwitchoverRequest};
use interrex_cluster::ids::{ClusterName, InstanceName};
use std::io::Write;

/// Change the primary with its help: it makes a checkpoint and serves on, then stops, and another takes over at once.
#[derive(Debug, Clone, Args)]
pub struct Switchover {
    /// The cluster.
    cluster: ClusterName,
    /// Who is to be primary; without it, whoever is preferred among those that could.
    #[arg(long)]
    to: Option<InstanceName>,
    /// Only say who would be primary, who not and why, and what stands in the way.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Return once it began, instead of following it to its end.
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
}

impl Switchover {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let before = planned::newest(session, &self.cluster).await?;
        let (name, to) = (self.cluster.clone(), self.to.clone());
        let request = SwitchoverRequest { name, to, dry_run: self.dry_run };
        let reply = session.client.switchover(&request).await?;
        let over = self.dry_run || self.no_wait || !reply.accepted;
        let told = match session.output {
            _ if !over => Ok(()),
            Output::Json => session.json(&plan_as_json(&reply)),
            Output::Table => self.tell(session.out, &reply),
        };
        // Whoever does not read it is refused all the same.
        if reply.accepted {
            told?;
        }
        let Some(to) = reply.would_win.filter(|_| reply.accepted) else {
            return Err(CtlError::Refused(format!(
                "no switchover of {}: {}",
                self.cluster,
                reply.waits.join("; ")
            )));
        };
        if over {
            return Ok(());
        }
        let outcome = planned::follow(session, &self.cluster, before, reply.epoch, &to).await?;
        if session.output == Output::Json {
            session.json(&serde_json::json!({
                "primary": outcome.primary, "epoch": outcome.epoch, "wanted": to, "missed": outcome.missed,
                "may_lose": outcome.lost,
            }))?;
        }
        outcome.checked(&to)
    }

    fn tell(&self, out: &mut dyn Write, reply: &FailoverReply) -> Result<(), CtlError> {
        // Of what is refused and was only asked for, it is told what would be, were it not for that; of what was to be done
        // nothing.
        if let Some(to) = reply.would_win.as_ref().filter(|_| reply.accepted || self.dry_run) {
            let begins = match (reply.accepted, self.dry_run) {
                (false, _) => "would begin, were it not for what stands in the way",
                (true, true) => "would begin",
                (true, false) => "begins",
            };
            writeln!(out, "the switchover of {} to {to} {begins}", self.cluster)?;
        }
        for refusal in &reply.refusals {
            writeln!(out, "  not: {refusal}")?;
        }
        // That it was refused is said on standard error, with what stands in its way.
        if !reply.accepted {
            if let Some(expected) = &reply.expected {
                writeln!(out, "expected then: {expected}")?;
            }
            return Ok(());
        }
        if let Some(expected) = &reply.expected {
            writeln!(out, "expected: {expected}")?;
        }
        let loss = reply.may_lose.as_deref().unwrap_or("no acknowledged commit");
        writeln!(out, "may lose: {loss}")?;
        Ok(())
    }
}

fn plan_as_json(reply: &FailoverReply) -> serde_json::Value {
    serde_json::json!({
        "accepted": reply.accepted, "epoch": reply.epoch, "to": reply.would_win, "refusals": reply.refusals,
        "obstacles": reply.waits, "expected": reply.expected, "may_lose": reply.may_lose,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::Epoch;

    #[test]
    fn a_refused_switchover_promises_nothing_and_a_refused_dry_run_tells_what_would_be_without_what_stands_in_the_way()
     {
        let plan = Switchover { cluster: "orders".parse().unwrap(), to: None, dry_run: true, no_wait: false };
        let begun = Switchover { dry_run: false, ..plan.clone() };
        let accepted = FailoverReply {
            accepted: true,
            epoch: Epoch(8),
            would_win: Some("n2".parse().unwrap()),
            refusals: vec!["n3 is silent".to_owned()],
            waits: Vec::new(),
            expected: Some("n2 takes writes".to_owned()),
            may_lose: None,
        };
        let told = |plan: &Switchover, reply: &FailoverReply| {
            let mut out = Vec::new();
            plan.tell(&mut out, reply).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            told(&plan, &accepted),
            "the switchover of orders to n2 would begin\n  not: n3 is silent\nexpected: n2 takes writes\n\
             may lose: no acknowledged commit\n"
        );
        assert_eq!(
            plan_as_json(&accepted).get("may_lose"),
            Some(&serde_json::Value::Null),
            "nothing is lost"
        );
        let waits = vec!["the cluster is paused".to_owned()];
        let asked = FailoverReply { accepted: false, waits, ..accepted };
        assert_eq!(
            told(&plan, &asked),
            "the switchover of orders to n2 would begin, were it not for what stands in the way\n  not: n3 is silent\n\
             expected then: n2 takes writes\n"
        );
        let refused = FailoverReply { expected: None, ..asked };
        assert_eq!(told(&begun, &refused), "  not: n3 is silent\n");
    }
}
