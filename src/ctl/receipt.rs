//! `receipt CLUSTER [INSTANCE]`: what copies held that nobody else had, when they were given up.

use crate::render::{bytes, or_dash, table, text};
use crate::when::utc;
use crate::{CtlError, Output, Session};
use clap::Args;
use interrex_cluster::ids::{ClusterName, InstanceName};
use interrex_cluster::receipt::{Kept, MEANS, Receipt};
use interrex_cluster::report::Rebuild;

/// Tell what was given up.
#[derive(Debug, Clone, Args)]
pub struct Receipts {
    /// The cluster.
    cluster: ClusterName,
    /// Only of this instance.
    instance: Option<InstanceName>,
}

impl Receipts {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let mut receipts = session.client.receipts(&self.cluster).await?;
        if let Some(instance) = &self.instance {
            receipts.retain(|kept| kept.instance == *instance);
            if receipts.is_empty() {
                self.there_is(instance, session).await?;
            }
        }
        if session.output == Output::Json {
            return session.json(&receipts);
        }
        write!(session.out, "{}", screen(&receipts))?;
        Ok(())
    }
}

impl Receipts {
    /// A name that was mistyped must not read as 'nothing was lost'.
    async fn there_is(&self, instance: &InstanceName, session: &Session<'_>) -> Result<(), CtlError> {
        let cluster = session.client.get_cluster(&self.cluster).await?;
        if cluster.instances.iter().any(|one| one.name == *instance) {
            return Ok(());
        }
        let names: Vec<&str> = cluster.instances.iter().map(|one| one.name.as_str()).collect();
        Err(CtlError::Refused(format!(
            "cluster {} has no instance {instance}, and no receipt of one; its instances: {}",
            self.cluster,
            names.join(", ")
        )))
    }
}

/// For people: a line each, then what no table holds.
fn screen(receipts: &[Kept]) -> String {
    if receipts.is_empty() {
        return "nothing was given up: every copy that came back was on the line\n".to_owned();
    }
    let mut rows = table(["WHEN", "INSTANCE", "EPOCH", "GIVEN UP BY", "TRANSACTIONS", "WAL", "FROM", "TO"]);
    for Kept { instance, at, receipt } in receipts {
        let how = match receipt.how {
            Rebuild::Rewind => "rewind",
            Rebuild::Clone => "clone",
        };
        rows.add_row([
            utc(*at),
            instance.to_string(),
            receipt.epoch.to_string(),
            how.to_owned(),
            receipt.transactions.map_or_else(|| "unknown".to_owned(), |count| count.to_string()),
            bytes(Some(receipt.bytes)),
            or_dash(receipt.from),
            or_dash(receipt.to),
        ]);
    }
    let mut out = text(&rows);
    for kept in receipts {
        out.push_str(&details(&kept.instance, &kept.receipt));
    }
    out.push_str(&format!("\n{MEANS}"));
    out
}

fn details(instance: &InstanceName, receipt: &Receipt) -> String {
    let mut out = format!("\n{instance}, epoch {}\n", receipt.epoch);
    if let Some((first, last)) = &receipt.commits {
        out.push_str(&format!("  committed {first} to {last}\n"));
    }
    receipt.tables.iter().for_each(|table| out.push_str(&format!("  {table}\n")));
    receipt.gaps.iter().for_each(|gap| out.push_str(&format!("  not known: {gap}\n")));
    out.push_str(&format!("  kept in {} on its machine\n", receipt.kept));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::ids::{Epoch, Incarnation};
    use interrex_cluster::time::WallMs;
    use interrex_cluster::wal::{Lsn, Position, TimelineId};

    #[test]
    fn a_receipt_says_how_much_where_and_what_is_not_known() {
        let at = |lsn| Some(Position { timeline: TimelineId(7), lsn: Lsn(lsn) });
        let receipt = Receipt {
            epoch: Epoch(8),
            incarnation: Incarnation(1),
            how: Rebuild::Rewind,
            from: at(0x500_0060),
            to: at(0x500_0090),
            bytes: 48,
            transactions: Some(1),
            commits: Some(("20:00:00 UTC".to_owned(), "20:00:01 UTC".to_owned())),
            tables: vec!["shop.public.orders: 1 inserted".to_owned()],
            gaps: vec!["the name of 1663/5/16400".to_owned()],
            kept: "/data/receipts/8-0-5000060".to_owned(),
        };
        let said = screen(&[Kept { instance: "n1".parse().unwrap(), at: WallMs(0), receipt }]);
        for part in [
            "0/5000060 on timeline 7",
            "shop.public.orders: 1 inserted",
            "not known: the name of 1663/5/16400",
            "kept in /data/receipts/8-0-5000060",
            "none of these transactions was ever acknowledged",
        ] {
            assert!(said.contains(part), "{part} is missing in\n{said}");
        }
        assert!(screen(&[]).starts_with("nothing was given up"));
    }
}
