//! pg_hba.conf: a marked block on top, for 14 and 15 know no include. Our own roles get in by SCRAM, the server's
//! operating system user on the socket by `peer`; while clients must stay out, everybody else is rejected there and
//! then. Below the block the file is the operator's.

use super::error::Result;
use super::files::{blocking, replace, text};
use super::layout::{REPLICATION, SUPERUSER};
use super::server::Server;
use super::session::identifier;
use std::path::Path;

const BEGIN: &str = "# BEGIN interrex: written by its agent, edits between these marks are lost";
const END: &str = "# END interrex";

/// Whether anybody but the agents may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// As the rest of pg_hba.conf says.
    In,
    /// Nobody but our roles, and the server's own operating system user on the socket.
    Out,
}

impl Server {
    /// Puts the block on top of pg_hba.conf. True when the file changed: a reload is due. Sessions that are already
    /// there stay: [`Server::cut_clients`].
    ///
    /// # Errors
    /// The file cannot be read or replaced, or is a symbolic link.
    pub async fn write_hba(&self, clients: Clients) -> Result<bool> {
        let server = self.clone();
        blocking(move || server.write_hba_in(&server.layout().pgdata, clients)).await
    }

    pub(super) fn write_hba_in(&self, dir: &Path, clients: Clients) -> Result<bool> {
        let path = dir.join("pg_hba.conf");
        let before = text(&path)?.unwrap_or_default();
        let peer = self.os_user()?;
        replace(self.layout(), &path, with_block(&before, &block(clients, peer.as_deref())).as_bytes(), 0o600)
    }

    /// Lets clients of a created cluster in from everywhere, by password. Once, at creation.
    pub(super) fn open_hba_in(&self, dir: &Path) -> Result<bool> {
        let path = dir.join("pg_hba.conf");
        let before = text(&path)?.unwrap_or_default();
        let rest = format!(
            "{before}\n# From everywhere, by password.\nhost all all 0.0.0.0/0 scram-sha-256\nhost all all ::/0 scram-sha-256\n"
        );
        replace(self.layout(), &path, rest.as_bytes(), 0o600)
    }

    /// Login name of the user PostgreSQL runs as; absent when /etc/passwd does not have it.
    pub(super) fn os_user(&self) -> Result<Option<String>> {
        if let Some(user) = &self.layout().run_as {
            return Ok(Some(user.name.clone()));
        }
        let uid = rustix::process::getuid().as_raw().to_string();
        let users = text(Path::new("/etc/passwd"))?.unwrap_or_default();
        let is_me = |line: &&str| line.split(':').nth(2) == Some(uid.as_str());
        Ok(users.lines().find(is_me).and_then(|line| line.split(':').next()).map(str::to_owned))
    }
}

fn block(clients: Clients, peer: Option<&str>) -> String {
    let mut lines = vec![
        BEGIN.to_owned(),
        format!("local all {SUPERUSER} scram-sha-256"),
        format!("host all {SUPERUSER} all scram-sha-256"),
        format!("local all,replication {REPLICATION} scram-sha-256"),
        format!("host all,replication {REPLICATION} all scram-sha-256"),
    ];
    if let Some(peer) = peer.filter(|peer| ![SUPERUSER, REPLICATION].contains(peer)) {
        lines.push(format!("local all {} peer", identifier(peer)));
    }
    if clients == Clients::Out {
        lines.push("local all,replication all reject".to_owned());
        lines.push("host all,replication all all reject".to_owned());
    }
    lines.push(END.to_owned());
    lines.join("\n") + "\n"
}

/// `before` with our block on top and nowhere else. A block whose end was lost reaches to its last line that is ours.
fn with_block(before: &str, block: &str) -> String {
    let mut rest = String::new();
    let mut inside = false;
    for line in before.lines() {
        match line.trim_end() {
            BEGIN => inside = true,
            END => inside = false,
            _ if inside => {}
            _ => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    let lost_its_end = inside && !before.lines().any(|line| line.trim_end() == END);
    // Better a stray line of ours below the block than the operator's lines lost.
    let rest = if lost_its_end { before.replacen(BEGIN, "#", 1) } else { rest };
    format!("{block}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_on_top_once_and_the_rest_stays() {
        let theirs = "# mine\nhost all all 10.0.0.0/8 scram-sha-256\n";
        let out = with_block(theirs, &block(Clients::Out, Some("postgres")));
        assert!(out.starts_with(BEGIN) && out.ends_with(theirs), "{out}");
        let back_in = with_block(&out, &block(Clients::In, Some("postgres")));
        assert_eq!(back_in, with_block(theirs, &block(Clients::In, Some("postgres"))));
        assert!(!back_in.contains("reject") && out.contains("host all,replication all all reject"));
    }

    #[test]
    fn lines_above_the_block_move_below_it() {
        let block = block(Clients::Out, Some("postgres"));
        let trust_first = format!("local all all trust\n{block}host a b c d\n");
        assert_eq!(with_block(&trust_first, &block), format!("{block}local all all trust\nhost a b c d\n"));
    }

    #[test]
    fn a_block_without_its_end_costs_no_line_of_the_operator() {
        let torn = format!("{BEGIN}\nlocal all interrex scram-sha-256\nhost mine mine all scram-sha-256\n");
        assert!(with_block(&torn, &block(Clients::In, Some("postgres"))).contains("host mine mine all"));
    }
}
