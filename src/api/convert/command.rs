//! What may be written to the log. A command of a kind that this build does not know is never skipped:
//! see [`crate::log`].

use super::ids::{maybe_name, name, names, texts};
use super::{BadMessage, Wire, maybe, need, set};
use crate::pb;
use interrex_cluster::command::{Adopted, Adopting, Asking, Command, Registration};
use interrex_cluster::ids::{ClusterId, Epoch, Incarnation, Revision, RuleNumber, SystemId};
use interrex_cluster::report::Rebuild;
use pb::log_entry::Command as Pb;

impl Wire for Command {
    type Pb = Pb;

    fn to_pb(&self) -> Pb {
        match self {
            Command::Create { id, spec, secrets, adopt } => Pb::Create(pb::CreateCommand {
                id: id.0,
                spec: Some(spec.to_pb()),
                secrets: Some(secrets.to_pb()),
                adopt: adopt.as_ref().map(Wire::to_pb),
            }),
            Command::Register(registration) => Pb::Register(registration.to_pb()),
            Command::BeginBootstrap { on } => {
                Pb::BeginBootstrap(pb::BeginBootstrapCommand { on: on.to_string() })
            }
            Command::EndBootstrap { instance, system, position } => {
                Pb::EndBootstrap(pb::EndBootstrapCommand {
                    instance: instance.to_string(),
                    system: system.0,
                    position: Some(position.to_pb()),
                })
            }
            Command::BeginFailover { epoch, reason, wanted } => Pb::BeginFailover(pb::BeginFailoverCommand {
                epoch: epoch.0,
                reason: reason.clone(),
                wanted: wanted.as_ref().map(ToString::to_string),
            }),
            Command::BeginSwitchover { epoch, to } => {
                Pb::BeginSwitchover(pb::BeginSwitchoverCommand { epoch: epoch.0, to: to.to_string() })
            }
            Command::BeginHandOver { epoch, to } => {
                Pb::BeginHandOver(pb::BeginHandOverCommand { epoch: epoch.0, to: to.to_string() })
            }
            Command::AbandonSwitchover { epoch, why } => {
                Pb::AbandonSwitchover(pb::AbandonSwitchoverCommand { epoch: epoch.0, why: why.clone() })
            }
            Command::BeginFetch { epoch, to, from } => Pb::BeginFetch(pb::BeginFetchCommand {
                epoch: epoch.0,
                to: to.to_string(),
                from: from.to_string(),
            }),
            Command::EndFetch { epoch, given_up } => {
                Pb::EndFetch(pb::EndFetchCommand { epoch: epoch.0, given_up: given_up.clone() })
            }
            Command::SetSpec { before, spec } => {
                Pb::SetSpec(pb::SetSpecCommand { before: Some(before.to_pb()), spec: Some(spec.to_pb()) })
            }
            Command::SettleSpec { number, refused } => {
                Pb::SettleSpec(pb::SettleSpecCommand { number: number.0, refused: refused.clone() })
            }
            Command::Ask { instance, what } => {
                Pb::Ask(pb::AskCommand { instance: instance.to_string(), what: Some(what.to_pb()) })
            }
            Command::EndRestart { instance, number } => {
                Pb::EndRestart(pb::EndRestartCommand { instance: instance.to_string(), number: number.0 })
            }
            Command::Remove { instance, epoch } => {
                Pb::Remove(pb::RemoveCommand { instance: instance.to_string(), epoch: epoch.0 })
            }
            Command::SetPaused { paused } => Pb::SetPaused(pb::SetPausedCommand { paused: *paused }),
            Command::RecordSeal { instance, incarnation, seal } => Pb::RecordSeal(pb::RecordSealCommand {
                instance: instance.to_string(),
                incarnation: incarnation.0,
                seal: Some(seal.to_pb()),
            }),
            Command::Elect { epoch, instance, k, standbys, loss } => Pb::Elect(pb::ElectCommand {
                epoch: epoch.0,
                instance: instance.to_string(),
                k: *k,
                standbys: texts(standbys),
                loss: loss.clone(),
            }),
            Command::AcceptLoss { epoch, fenced } => {
                Pb::AcceptLoss(pb::AcceptLossCommand { epoch: epoch.0, fenced: texts(fenced) })
            }
            Command::ConfirmPrimary { instance, promotion, line, notes } => {
                Pb::ConfirmPrimary(pb::ConfirmPrimaryCommand {
                    instance: instance.to_string(),
                    promotion: Some(promotion.to_pb()),
                    line: Some(line.to_pb()),
                    notes: notes.clone(),
                })
            }
            Command::OpenPrimary { epoch } => Pb::OpenPrimary(pb::OpenPrimaryCommand { epoch: epoch.0 }),
            Command::ChangeRule { epoch, k, standbys } => {
                Pb::ChangeRule(pb::ChangeRuleCommand { epoch: epoch.0, k: *k, standbys: texts(standbys) })
            }
            Command::RetireRules { epoch, number } => {
                Pb::RetireRules(pb::RetireRulesCommand { epoch: epoch.0, number: number.0 })
            }
            Command::GrantRebuild { instance, incarnation, how, until } => {
                Pb::GrantRebuild(pb::GrantRebuildCommand {
                    instance: instance.to_string(),
                    incarnation: incarnation.0,
                    how: how.to_pb(),
                    until: Some(until.to_pb()),
                })
            }
            Command::RecordReceipt { instance, receipt } => Pb::RecordReceipt(pb::RecordReceiptCommand {
                instance: instance.to_string(),
                receipt: Some(receipt.to_pb()),
            }),
            Command::EndRebuild { instance, incarnation } => Pb::EndRebuild(pb::EndRebuildCommand {
                instance: instance.to_string(),
                incarnation: incarnation.0,
            }),
            Command::MarkWhole { instance, incarnation, epoch } => Pb::MarkWhole(pb::MarkWholeCommand {
                instance: instance.to_string(),
                incarnation: incarnation.0,
                epoch: epoch.0,
            }),
            Command::TakeOver { instance } => {
                Pb::TakeOver(pb::TakeOverCommand { instance: instance.to_string() })
            }
            Command::Adopt(adopted) => Pb::Adopt(adopted.to_pb()),
        }
    }

    fn from_pb(pb: Pb) -> Result<Self, BadMessage> {
        let field = field_of(&pb);
        read(pb).map_err(|bad| bad.under(field))
    }
}

/// The name of the oneof's field, for the path of an error.
fn field_of(pb: &Pb) -> &'static str {
    match pb {
        Pb::Create(_) => "create",
        Pb::Register(_) => "register",
        Pb::BeginBootstrap(_) => "begin_bootstrap",
        Pb::EndBootstrap(_) => "end_bootstrap",
        Pb::BeginFailover(_) => "begin_failover",
        Pb::BeginSwitchover(_) => "begin_switchover",
        Pb::BeginHandOver(_) => "begin_hand_over",
        Pb::AbandonSwitchover(_) => "abandon_switchover",
        Pb::SetPaused(_) => "set_paused",
        Pb::SetSpec(_) => "set_spec",
        Pb::SettleSpec(_) => "settle_spec",
        Pb::Ask(_) => "ask",
        Pb::EndRestart(_) => "end_restart",
        Pb::Remove(_) => "remove",
        Pb::RecordSeal(_) => "record_seal",
        Pb::Elect(_) => "elect",
        Pb::AcceptLoss(_) => "accept_loss",
        Pb::ConfirmPrimary(_) => "confirm_primary",
        Pb::OpenPrimary(_) => "open_primary",
        Pb::ChangeRule(_) => "change_rule",
        Pb::RetireRules(_) => "retire_rules",
        Pb::GrantRebuild(_) => "grant_rebuild",
        Pb::RecordReceipt(_) => "record_receipt",
        Pb::EndRebuild(_) => "end_rebuild",
        Pb::MarkWhole(_) => "mark_whole",
        Pb::TakeOver(_) => "take_over",
        Pb::Adopt(_) => "adopt",
        Pb::BeginFetch(_) => "begin_fetch",
        Pb::EndFetch(_) => "end_fetch",
    }
}

fn read(pb: Pb) -> Result<Command, BadMessage> {
    Ok(match pb {
        Pb::Create(pb) => Command::Create {
            id: ClusterId(pb.id),
            spec: need(pb.spec, "spec")?,
            secrets: need(pb.secrets, "secrets")?,
            adopt: maybe(pb.adopt, "adopt")?,
        },
        Pb::Register(pb) => Command::Register(Registration::from_pb(pb)?),
        Pb::BeginBootstrap(pb) => Command::BeginBootstrap { on: name(pb.on, "on")? },
        Pb::EndBootstrap(pb) => Command::EndBootstrap {
            instance: name(pb.instance, "instance")?,
            system: SystemId(pb.system),
            position: need(pb.position, "position")?,
        },
        Pb::BeginFailover(pb) => Command::BeginFailover {
            epoch: Epoch(pb.epoch),
            reason: pb.reason,
            wanted: maybe_name(pb.wanted, "wanted")?,
        },
        Pb::BeginSwitchover(pb) => {
            Command::BeginSwitchover { epoch: Epoch(pb.epoch), to: name(pb.to, "to")? }
        }
        Pb::BeginHandOver(pb) => Command::BeginHandOver { epoch: Epoch(pb.epoch), to: name(pb.to, "to")? },
        Pb::AbandonSwitchover(pb) => Command::AbandonSwitchover { epoch: Epoch(pb.epoch), why: pb.why },
        Pb::BeginFetch(pb) => Command::BeginFetch {
            epoch: Epoch(pb.epoch),
            to: name(pb.to, "to")?,
            from: name(pb.from, "from")?,
        },
        Pb::EndFetch(pb) => Command::EndFetch { epoch: Epoch(pb.epoch), given_up: pb.given_up },
        Pb::SetPaused(pb) => Command::SetPaused { paused: pb.paused },
        Pb::SetSpec(pb) => {
            Command::SetSpec { before: need(pb.before, "before")?, spec: need(pb.spec, "spec")? }
        }
        Pb::SettleSpec(pb) => Command::SettleSpec { number: Revision(pb.number), refused: pb.refused },
        Pb::Ask(pb) => {
            Command::Ask { instance: name(pb.instance, "instance")?, what: need(pb.what, "what")? }
        }
        Pb::EndRestart(pb) => {
            Command::EndRestart { instance: name(pb.instance, "instance")?, number: Revision(pb.number) }
        }
        Pb::Remove(pb) => {
            Command::Remove { instance: name(pb.instance, "instance")?, epoch: Epoch(pb.epoch) }
        }
        Pb::RecordSeal(pb) => Command::RecordSeal {
            instance: name(pb.instance, "instance")?,
            incarnation: Incarnation(pb.incarnation),
            seal: need(pb.seal, "seal")?,
        },
        Pb::Elect(pb) => Command::Elect {
            epoch: Epoch(pb.epoch),
            instance: name(pb.instance, "instance")?,
            k: pb.k,
            standbys: names(pb.standbys, "standbys")?,
            loss: pb.loss,
        },
        Pb::AcceptLoss(pb) => {
            Command::AcceptLoss { epoch: Epoch(pb.epoch), fenced: names(pb.fenced, "fenced")? }
        }
        Pb::ConfirmPrimary(pb) => Command::ConfirmPrimary {
            instance: name(pb.instance, "instance")?,
            promotion: need(pb.promotion, "promotion")?,
            line: need(pb.line, "line")?,
            notes: pb.notes,
        },
        Pb::OpenPrimary(pb) => Command::OpenPrimary { epoch: Epoch(pb.epoch) },
        Pb::ChangeRule(pb) => {
            Command::ChangeRule { epoch: Epoch(pb.epoch), k: pb.k, standbys: names(pb.standbys, "standbys")? }
        }
        Pb::RetireRules(pb) => Command::RetireRules { epoch: Epoch(pb.epoch), number: RuleNumber(pb.number) },
        Pb::GrantRebuild(pb) => Command::GrantRebuild {
            instance: name(pb.instance, "instance")?,
            incarnation: Incarnation(pb.incarnation),
            how: Rebuild::from_pb(pb.how)?,
            until: need(pb.until, "until")?,
        },
        Pb::RecordReceipt(pb) => Command::RecordReceipt {
            instance: name(pb.instance, "instance")?,
            receipt: need(pb.receipt, "receipt")?,
        },
        Pb::EndRebuild(pb) => Command::EndRebuild {
            instance: name(pb.instance, "instance")?,
            incarnation: Incarnation(pb.incarnation),
        },
        Pb::MarkWhole(pb) => Command::MarkWhole {
            instance: name(pb.instance, "instance")?,
            incarnation: Incarnation(pb.incarnation),
            epoch: Epoch(pb.epoch),
        },
        Pb::TakeOver(pb) => Command::TakeOver { instance: name(pb.instance, "instance")? },
        Pb::Adopt(pb) => Command::Adopt(Adopted::from_pb(pb)?),
    })
}

impl Wire for Adopting {
    type Pb = pb::Adopting;

    fn to_pb(&self) -> pb::Adopting {
        pb::Adopting { take_over: self.take_over }
    }

    fn from_pb(pb: pb::Adopting) -> Result<Self, BadMessage> {
        Ok(Adopting { take_over: pb.take_over })
    }
}

impl Wire for Adopted {
    type Pb = pb::AdoptCommand;

    fn to_pb(&self) -> pb::AdoptCommand {
        pb::AdoptCommand {
            epoch: self.epoch.0,
            instance: self.instance.to_string(),
            system: self.system.0,
            position: Some(self.position.to_pb()),
            line: Some(self.line.to_pb()),
            copies: texts(&self.copies),
            notes: self.notes.clone(),
        }
    }

    fn from_pb(pb: pb::AdoptCommand) -> Result<Self, BadMessage> {
        Ok(Adopted {
            epoch: Epoch(pb.epoch),
            instance: name(pb.instance, "instance")?,
            system: SystemId(pb.system),
            position: need(pb.position, "position")?,
            line: need(pb.line, "line")?,
            copies: names(pb.copies, "copies")?,
            notes: pb.notes,
        })
    }
}

impl Wire for Asking {
    type Pb = pb::Ask;

    fn to_pb(&self) -> pb::Ask {
        use pb::ask::{Ask as Pb, Leave, Nothing, Reinit, Restart};
        let ask = match self {
            Asking::Restart => Pb::Restart(Restart {}),
            Asking::Reinit { discard_old } => Pb::Reinit(Reinit { discard_old: *discard_old }),
            Asking::Leave => Pb::Leave(Leave {}),
            Asking::Nothing => Pb::Nothing(Nothing {}),
        };
        pb::Ask { ask: Some(ask) }
    }

    fn from_pb(pb: pb::Ask) -> Result<Self, BadMessage> {
        use pb::ask::Ask as Pb;
        Ok(match set(pb.ask, "ask")? {
            Pb::Restart(_) => Asking::Restart,
            Pb::Reinit(ask) => Asking::Reinit { discard_old: ask.discard_old },
            Pb::Leave(_) => Asking::Leave,
            Pb::Nothing(_) => Asking::Nothing,
        })
    }
}
