//! Receipts: what copies held that nobody else had.

use super::ids::name;
use super::{BadMessage, Wire, maybe, need};
use crate::pb;
use interrex_cluster::ids::{Epoch, Incarnation};
use interrex_cluster::receipt::{Kept, Receipt};
use interrex_cluster::report::Rebuild;
use interrex_cluster::time::WallMs;

impl Wire for Receipt {
    type Pb = pb::Receipt;

    fn to_pb(&self) -> pb::Receipt {
        pb::Receipt {
            epoch: self.epoch.0,
            incarnation: self.incarnation.0,
            how: self.how.to_pb(),
            from: self.from.as_ref().map(Wire::to_pb),
            to: self.to.as_ref().map(Wire::to_pb),
            bytes: self.bytes,
            transactions: self.transactions,
            commits: self
                .commits
                .as_ref()
                .map(|(first, last)| pb::receipt::Commits { first: first.clone(), last: last.clone() }),
            tables: self.tables.clone(),
            gaps: self.gaps.clone(),
            kept: self.kept.clone(),
        }
    }

    fn from_pb(pb: pb::Receipt) -> Result<Self, BadMessage> {
        Ok(Receipt {
            epoch: Epoch(pb.epoch),
            incarnation: Incarnation(pb.incarnation),
            how: Rebuild::from_pb(pb.how)?,
            from: maybe(pb.from, "from")?,
            to: maybe(pb.to, "to")?,
            bytes: pb.bytes,
            transactions: pb.transactions,
            commits: pb.commits.map(|commits| (commits.first, commits.last)),
            tables: pb.tables,
            gaps: pb.gaps,
            kept: pb.kept,
        })
    }
}

impl Wire for Kept {
    type Pb = pb::KeptReceipt;

    fn to_pb(&self) -> pb::KeptReceipt {
        pb::KeptReceipt {
            instance: self.instance.to_string(),
            at_ms: self.at.0,
            receipt: Some(self.receipt.to_pb()),
        }
    }

    fn from_pb(pb: pb::KeptReceipt) -> Result<Self, BadMessage> {
        Ok(Kept {
            instance: name(pb.instance, "instance")?,
            at: WallMs(pb.at_ms),
            receipt: need(pb.receipt, "receipt")?,
        })
    }
}
