//! `coordinator list|transfer`: the coordinators themselves.

use crate::render::{ms, table, text};
use crate::{CtlError, Output, Session};
use clap::Subcommand;
use interrex_api::admin::Coordinator as Member;
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
        }
        Ok(())
    }
}

/// The coordinators as a table.
pub(crate) fn rows(members: &[Member]) -> String {
    let mut rows = table(["COORDINATOR", "ADDRESS", "ROLE", "HEARD"]);
    for member in members {
        let role = match (member.leader, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "catching up",
        };
        rows.add_row([member.machine.as_str(), &member.address, role, &ms(member.heard_ms)]);
    }
    text(&rows)
}

/// The coordinators as JSON.
pub(crate) fn json(members: &[Member]) -> serde_json::Value {
    let one = |m: &Member| {
        serde_json::json!({
            "machine": m.machine, "address": m.address, "voter": m.voter, "leader": m.leader, "heard_ms": m.heard_ms,
        })
    };
    members.iter().map(one).collect()
}
