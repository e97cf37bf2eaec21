//! `coordinator list|transfer|add|remove`: the coordinators themselves. `recover` is only read here.

use crate::render::{ms, or_dash, table, text};
use crate::{CtlError, Output, Session};
use clap::Subcommand;
use interrex_api::admin::{ChangeProgress, Coordinator as Member, CoordinatorChange};
use interrex_api::dial::Target;
use interrex_cluster::ids::MachineName;

/// What can be asked of the coordinators about themselves.
#[derive(Debug, Clone, Subcommand)]
pub enum Coordinator {
    /// Who votes, who leads, and when each was last heard.
    List,
    /// Hand leadership over, as before maintenance of the leader's machine.
    Transfer {
        /// To which machine; without it, whichever is best.
        #[arg(long)]
        to: Option<MachineName>,
    },
    /// Let one more machine vote: its node runs already, with join = true in its [coordinator].
    Add {
        /// The machine's name, and where its coordinator is reached: n4=10.0.0.4:7400.
        #[arg(value_name = "NAME=HOST:PORT", value_parser = newcomer)]
        newcomer: (MachineName, String),
    },
    /// Take a machine out of the group, dead or alive; the leader hands leadership over first.
    Remove {
        /// The machine's name.
        #[arg(value_name = "NAME")]
        machine: MachineName,
    },
    /// Make a group of this machine alone out of its log, when a majority of the logs is gone for good. Works on the files
    /// of a stopped node; docs/coordinators.md.
    Recover(Recover),
}

/// The last resort.
#[derive(Debug, Clone, clap::Args)]
pub struct Recover {
    /// The node file of this machine.
    #[arg(short, long, value_name = "FILE")]
    pub config: std::path::PathBuf,
    /// Do it; without it, only say what may be lost.
    #[arg(long, conflicts_with = "trust_record")]
    pub accept_loss: bool,
    /// After it: assert that no instance that is still unheard obeyed anything newer than the record.
    #[arg(long)]
    pub trust_record: bool,
}

impl Coordinator {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        match self {
            Coordinator::List => {
                let members = session.client.list_coordinators().await?;
                match session.output {
                    Output::Json => session.json(&json(&members))?,
                    Output::Table => write!(session.out, "{}", rows(&members))?,
                }
            }
            Coordinator::Transfer { to } => {
                let leader = session.client.transfer_leadership(to.as_ref()).await?;
                match session.output {
                    Output::Json => session.json(&serde_json::json!({ "leader": leader }))?,
                    Output::Table => writeln!(session.out, "{leader} leads now")?,
                }
            }
            Coordinator::Add { newcomer: (machine, address) } => {
                let (machine, address) = (machine.clone(), address.clone());
                change(session, CoordinatorChange::Add { machine, address }).await?;
            }
            // The program that this library is part of does it: no coordinator is asked.
            Coordinator::Recover(_) => {
                return Err(CtlError::Usage("recover works on the files of a stopped node".to_owned()));
            }
            Coordinator::Remove { machine } => {
                change(session, CoordinatorChange::Remove { machine: machine.clone() }).await?;
            }
        }
        Ok(())
    }
}

/// `NAME=HOST:PORT`.
fn newcomer(text: &str) -> Result<(MachineName, String), String> {
    let example = "expected NAME=HOST:PORT, such as n4=10.0.0.4:7400";
    let (name, address) = text.split_once('=').ok_or_else(|| example.to_owned())?;
    let machine = name.parse().map_err(|why| format!("{why}; {example}"))?;
    Target::of(address, Some(name)).map_err(|_| format!("'{address}' is no host:port; {example}"))?;
    Ok((machine, address.to_owned()))
}

/// Asks until it is done, and tells of each stage. Whoever answers takes a moment before it says that it is not.
async fn change(session: &mut Session<'_>, change: CoordinatorChange) -> Result<(), CtlError> {
    let mut told = String::new();
    let (voters, already) = loop {
        match session.client.change_coordinators(&change).await? {
            // What an earlier leader did for this very command was done all the same.
            ChangeProgress::Done { voters, already } => break (voters, already && told.is_empty()),
            ChangeProgress::Doing(stage) => {
                if stage != told && session.output == Output::Table {
                    writeln!(session.out, "{stage}")?;
                }
                told = stage;
            }
        }
    };
    match session.output {
        Output::Json => session.json(&serde_json::json!({ "voters": voters, "already": already }))?,
        Output::Table => {
            if already {
                writeln!(session.out, "{}", nothing_to_do(&change))?;
            }
            let names = voters.iter().map(MachineName::as_str).collect::<Vec<_>>().join(", ");
            writeln!(session.out, "coordinators: {names}; {}", bears(voters.len()))?;
        }
    }
    Ok(())
}

/// A name that was mistyped is to be seen, and a command given twice to succeed.
fn nothing_to_do(change: &CoordinatorChange) -> String {
    match change {
        CoordinatorChange::Add { machine, .. } => format!("{machine} votes already: nothing was changed"),
        CoordinatorChange::Remove { machine } => {
            format!("{machine} is no coordinator of this group: nothing was changed")
        }
    }
}

/// What so many voters mean.
fn bears(voters: usize) -> String {
    let losses = voters.saturating_sub(1) / 2;
    let bears = match losses {
        0 => "no loss is borne".to_owned(),
        1 => "the loss of one is borne".to_owned(),
        n => format!("the loss of {n} is borne"),
    };
    match voters {
        1 => bears,
        n if n % 2 == 0 => format!("{bears}, no more than with {}: add one more, or remove one", n - 1),
        _ => bears,
    }
}

/// The coordinators as a table.
pub(crate) fn rows(members: &[Member]) -> String {
    let mut rows = table(["COORDINATOR", "ADDRESS", "ROLE", "HEARD", "LEVEL"]);
    for member in members {
        let role = match (member.leader, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "catching up",
        };
        let level = or_dash(member.reads_level);
        rows.add_row([member.machine.as_str(), &member.address, role, &ms(member.heard_ms), &level]);
    }
    text(&rows) + &oldest(members).unwrap_or_default()
}

/// In the middle of an upgrade: who holds up what takes a newer build.
fn oldest(members: &[Member]) -> Option<String> {
    let told = || members.iter().filter_map(|member| member.reads_level);
    let lowest = told().min().filter(|lowest| told().any(|level| level > *lowest))?;
    let older = members.iter().filter(|member| member.reads_level == Some(lowest));
    let older = older.map(|member| member.machine.as_str()).collect::<Vec<_>>().join(", ");
    Some(format!("no log entry above level {lowest} is written before {older} runs a newer version\n"))
}

/// The coordinators as JSON.
pub(crate) fn json(members: &[Member]) -> serde_json::Value {
    let one = |m: &Member| {
        serde_json::json!({
            "machine": m.machine, "address": m.address, "voter": m.voter, "leader": m.leader, "heard_ms": m.heard_ms,
            "reads_level": m.reads_level,
        })
    };
    members.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_a_newer_level_up_is_named_below_the_table() {
        let member = |name: &str, reads_level| Member {
            machine: name.parse().unwrap(),
            address: "10.0.0.1:7400".to_owned(),
            raft_id: 7,
            voter: true,
            leader: false,
            heard_ms: None,
            reads_level,
        };
        let of = |levels: [Option<u32>; 3]| {
            let members: Vec<Member> =
                ["n1", "n2", "n3"].into_iter().zip(levels).map(|(name, level)| member(name, level)).collect();
            rows(&members).lines().nth(4).map(str::to_owned)
        };
        assert_eq!((of([Some(3); 3]), of([None, Some(3), Some(3)])), (None, None));
        let held = "no log entry above level 2 is written before n1, n3 runs a newer version";
        assert_eq!(of([Some(2), Some(3), Some(2)]).as_deref(), Some(held));
    }
}
