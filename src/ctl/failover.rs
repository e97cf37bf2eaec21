//! `failover CLUSTER [--to I] [--dry-run] [--accept-loss]`.

use crate::planned;
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
    pub(crate) dry_run: bool,
    /// Elect although acknowledged commits may be lost. Recorded for ever.
    #[arg(long)]
    accept_loss: bool,
    /// With --accept-loss: instances that you assert to be stopped; any other that is not sealed may still be
    /// acknowledging until it hears.
    #[arg(long, requires = "accept_loss", value_delimiter = ',')]
    fenced: Vec<InstanceName>,
    /// Return once the failover has begun.
    #[arg(long)]
    no_wait: bool,
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
        let before = planned::newest(session, &self.cluster).await?;
        let reply = session.client.failover(&request).await?;
        if session.output == Output::Table {
            match self.tell(session.out, &reply).and_then(|()| Ok(session.out.flush()?)) {
                // Whoever does not read it is refused all the same.
                Err(_) if !reply.accepted => {}
                told => told?,
            }
        }
        let follows = reply.accepted && !self.dry_run && !self.no_wait;
        let primary = match follows {
            true => planned::opened(session, &self.cluster, before, reply.epoch).await?,
            false => None,
        };
        if session.output == Output::Json {
            session.json(&serde_json::json!({
                "accepted": reply.accepted, "epoch": reply.epoch, "would_win": reply.would_win,
                "refusals": reply.refusals, "waits": reply.waits, "expected": reply.expected,
                "may_lose": reply.may_lose, "primary": primary,
            }))?;
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
        // Of what is refused and was only asked for, it is told what would be, were it not for that; of what was to be done
        // nothing.
        let as_if = if reply.accepted { "as things stand" } else { "were it not for what stands in the way" };
        if let Some(winner) = reply.would_win.as_ref().filter(|_| reply.accepted || self.dry_run) {
            writeln!(out, "{winner} would win epoch {}, {as_if}", reply.epoch)?;
        }
        for refusal in &reply.refusals {
            writeln!(out, "  not: {refusal}")?;
        }
        // That it was refused is said on standard error, with what stands in its way.
        if !reply.accepted {
            if let Some(expected) = &reply.expected {
                writeln!(out, "expected then: {expected}")?;
            }
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
    fn a_refused_failover_promises_nothing_and_a_refused_dry_run_tells_what_would_be_without_what_stands_in_the_way()
     {
        let plan = Failover {
            cluster: "orders".parse().unwrap(),
            to: None,
            dry_run: true,
            accept_loss: false,
            fenced: Vec::new(),
            no_wait: false,
        };
        let told = |plan: &Failover, reply: &FailoverReply| {
            let mut out = Vec::new();
            plan.tell(&mut out, reply).unwrap();
            String::from_utf8(out).unwrap()
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
        let begun = Failover { dry_run: false, ..plan.clone() };
        assert_eq!(told(&begun, &refused), "  not: n3 is silent\n");
        let expected = Some("n2 is promoted in epoch 8".to_owned());
        let may_lose = Some("with --accept-loss: all of it".to_owned());
        let stuck = FailoverReply { expected, may_lose, ..refused };
        assert_eq!(
            told(&plan, &stuck),
            "n2 would win epoch 8, were it not for what stands in the way\n  not: n3 is silent\n\
             expected then: n2 is promoted in epoch 8\nmay lose: with --accept-loss: all of it\n"
        );
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
