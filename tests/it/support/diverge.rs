//! How a primary comes to hold WAL that nobody else has.

use super::town::Town;
use rustix::process::Signal;

impl Town {
    /// Writes on the primary with a commit that waits for nobody, while its walsenders are stopped: not even a socket's
    /// buffer has it. They stay stopped, so the machine is to be killed next, before the standbys are given up.
    pub(crate) async fn write_what_nobody_else_gets(&mut self, primary: &str, statement: &str) {
        let senders = self.machine(primary).backends("walsender");
        assert_eq!(senders.len(), self.hosts().len() - 1, "{senders:#?}");
        senders.iter().for_each(|sender| sender.signal(Signal::STOP));
        let written = self.sql(primary, &format!("set synchronous_commit = local; {statement}")).await;
        written.unwrap();
    }
}
