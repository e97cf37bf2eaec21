//! `failover CLUSTER [--to I] [--dry-run] [--accept-loss]`.

use crate::{CtlError, Output, Session};
use clap::Args;
use interrex_api::admin::{FailoverReply, FailoverRequest};
use interrex_cluster::ids::{ClusterName, InstanceName};
use std::io::Write;

/// Change the primary without its help.
#[derive(Debug, Clone, Args)]
pub struct Failover {
    /// The cluster.
    cluster: ClusterName,
    /// Who should win among those that hold most; whoever holds more wins all the same.
    #[arg(long)]
    to: Option<InstanceName>,
    /// Only say who would win, who would not and why, what stands in the way, and what may be lost.
    #[arg(long)]
    dry_run: bool,
    /// Elect although acknowledged commits may be lost. Recorded for ever.
    #[arg(long)]
    accept_loss: bool,
    /// With --accept-loss: instances that you assert to be stopped; any other that is not sealed may still be
    /// acknowledging until it hears.
    #[arg(long, requires = "accept_loss", value_delimiter = ',')]
    fenced: Vec<InstanceName>,
}

impl Failover {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        if let Some(both) = self.to.as_ref().filter(|to| self.fenced.contains(to)) {
            return Err(CtlError::Usage(format!(
                "{both} is wanted as primary (--to) and asserted to be stopped (--fenced); leave one of them out"
            )));
        }
        let request = FailoverRequest {
            name: self.cluster.clone(),
            to: self.to.clone(),
            dry_run: self.dry_run,
            accept_loss: self.accept_loss,
            fenced: self.fenced.iter().cloned().collect(),
        };
        let reply = session.client.failover(&request).await?;
        if session.output == Output::Json {
            session.json(&serde_json::json!({
                "accepted": reply.accepted, "epoch": reply.epoch, "would_win": reply.would_win,
                "refusals": reply.refusals, "waits": reply.waits, "expected": reply.expected,
                "may_lose": reply.may_lose,
            }))?;
        } else {
            self.tell(session.out, &reply)?;
        }
        match reply.accepted {
            true => Ok(()),
            false => Err(CtlError::Refused(format!(
                "no failover of {} as asked: {}",
                self.cluster,
                if reply.waits.is_empty() {
                    "nobody could be elected".to_owned()
                } else {
                    reply.waits.join("; ")
                }
            ))),
        }
    }

    fn tell(&self, out: &mut dyn Write, reply: &FailoverReply) -> Result<(), CtlError> {
        if reply.accepted && !self.dry_run {
            writeln!(out, "failover of {} began epoch {}", self.cluster, reply.epoch)?;
        }
        if let Some(winner) = reply.would_win.as_ref().filter(|_| reply.accepted) {
            writeln!(out, "{winner} would win epoch {}, as things stand", reply.epoch)?;
        }
        for refusal in &reply.refusals {
            writeln!(out, "  not: {refusal}")?;
        }
        // What was refused is said on standard error, with what stands in its way; nothing is promised of it.
        if !reply.accepted {
            if let Some(loss) = &reply.may_lose {
                writeln!(out, "may lose: {loss}")?;
            }
            return Ok(());
        }
        for wait in &reply.waits {
            writeln!(out, "  {wait}")?;
        }
        if let Some(expected) = &reply.expected {
            writeln!(out, "expected: {expected}")?;
        }
        let loss = reply.may_lose.as_deref().unwrap_or("no acknowledged commit");
        writeln!(out, "may lose: {loss}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::Epoch;

    #[test]
    fn a_refused_failover_names_no_winner_and_promises_nothing() {
        let plan = Failover {
            cluster: "orders".parse().unwrap(),
            to: None,
            dry_run: true,
            accept_loss: false,
            fenced: Vec::new(),
        };
        let refused = FailoverReply {
            accepted: false,
            epoch: Epoch(8),
            would_win: Some("n2".parse().unwrap()),
            refusals: vec!["n3 is silent".to_owned()],
            waits: vec!["the cluster is paused".to_owned()],
            expected: None,
            may_lose: None,
        };
        let mut out = Vec::new();
        plan.tell(&mut out, &refused).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "  not: n3 is silent\n");

        // But for what would be lost by accepting it.
        let stuck = FailoverReply { may_lose: Some("with --accept-loss: all of it".to_owned()), ..refused };
        let mut out = Vec::new();
        plan.tell(&mut out, &stuck).unwrap();
        let told = String::from_utf8(out).unwrap();
        assert_eq!(told, "  not: n3 is silent\nmay lose: with --accept-loss: all of it\n");
    }

    #[test]
    fn what_accepting_loss_would_lose_can_be_read_before() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            failover: Failover,
        }
        let line = ["failover", "orders", "--dry-run", "--accept-loss", "--fenced", "n1"];
        let Line { failover } = clap::Parser::try_parse_from(line).unwrap();
        assert!(failover.dry_run && failover.accept_loss);
    }
}
