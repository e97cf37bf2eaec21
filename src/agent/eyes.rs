//! Looking: at the process, the server, the data directory, the lease; and telling the coordinators what was seen.
//! Every look ends in a report, so that what the agent acts on and what it tells are the same.

mod data;
mod found;
mod report;
mod server;

use crate::instance::Instance;
use crate::postgres::{Observed as Raw, ObservedRole};
use crate::session::now;
use interrex_cluster::goal::Goal;
use interrex_cluster::instance::observed::{Observed, Upstream};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A server that has not answered an observation after this long is silent.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);
/// Before a server is started again that ended while it was starting; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What changes seldom, and is not seen in passing, is looked at in every so-manieth look: a few seconds apart.
const CLOSER_EVERY: u64 = 32;

impl Instance {
    /// One look, and one report of it. What is looked at depends on the goal: a step may follow from a look only for
    /// the very goal that was looked with.
    pub(crate) async fn look(&self, goal: Option<&Goal>) -> Observed {
        let number = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
        self.note_async(goal);
        let (server, raw) = self.look_at_server(goal).await;
        if let Some(raw) = raw.as_ref().filter(|_| number % CLOSER_EVERY == 1) {
            self.look_at_parameters(raw).await;
            self.look_at_slots(raw).await;
        }
        let (found, unseen) = match self.look_at_found(goal).await {
            Some(Ok(found)) => (Some(found), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        let data = self.look_at_data(&server).await;
        self.note_position(&server, raw.as_ref(), goal);
        let held = self.keeper.held().await;
        let wal_gone = self.wal_gone(&server);
        let memory = self.memory();
        let told_upstream = {
            let run = self.run();
            // One that is to be promoted at once follows nobody, whoever started it.
            if run.is_silent() { Upstream::Nobody } else { server::told_upstream(run.role.as_ref()) }
        };
        let parameters = self.run().parameters.clone();
        let observed = {
            let mut known = self.known();
            let since = *known.copy_since.get_or_insert_with(now);
            let pause = crate::run::before_another_copy(memory.in_vain);
            let wal_gone = known.endless.clone().or(wal_gone);
            Observed {
                memory,
                data,
                server,
                end: known.end.clone(),
                proofs: known.proofs.clone(),
                parameters,
                lease: held.lease,
                deadline: held.deadline,
                async_since: known.async_since,
                wal_gone,
                early_ends: known.hopeless.clone(),
                patience: pause.map(|pause| since.plus(pause)),
                told_upstream,
                found,
                unseen,
                too_low: !known.too_low.is_empty(),
            }
        };
        self.tell(number, &observed, raw.as_ref(), goal);
        observed
    }

    async fn look_at_parameters(&self, raw: &Raw) {
        let too_low = match &raw.role {
            ObservedRole::Standby(_) => match self.server.control_data().await {
                Ok(control) => report::too_low(raw, &control),
                Err(_) => return,
            },
            ObservedRole::Primary(_) => Vec::new(),
        };
        self.known().too_low = too_low;
        let unread = self.run().unread.clone();
        if let Some(before) = unread
            && self.server.has_read_since(&before).await.is_ok_and(|read| read)
        {
            self.run().unread = None;
        }
        if self.run().parameters.is_some()
            && let Ok(pending) = self.server.pending_restart().await
        {
            self.run().pending_restart = pending;
        }
    }

    /// Of a primary: a slot may be dropped by anybody, and loses its WAL when its standby is away for too long (F35).
    async fn look_at_slots(&self, raw: &Raw) {
        if let ObservedRole::Primary(_) = &raw.role
            && let Ok(there) = self.server.sound_slots().await
        {
            self.run().keep_slots(&there);
        }
    }

    /// Since when commits may stop waiting, by the goal.
    fn note_async(&self, goal: Option<&Goal>) {
        let k = match goal {
            Some(Goal::Primary(goal)) => Some(goal.sync.k),
            _ => None,
        };
        let mut known = self.known();
        match k {
            Some(0) => known.async_since = known.async_since.or(Some(now())),
            Some(_) | None => known.async_since = None,
        }
    }

    /// The server is gone: what was known of its run is void, and what it was doing has ended.
    pub(crate) async fn forget_process(&self, exit: Option<String>) {
        self.process.send_replace(None);
        let (answered, log_from) = {
            let run = self.run();
            (run.answered.is_some(), run.log_from)
        };
        let early = exit.is_some() && !answered;
        let copy = self.memory().incarnation;
        let log = early.then(|| crate::run::tail(&self.rooms.log(), log_from)).flatten().unwrap_or_default();
        *self.run() = crate::run::Run::begun();
        self.keeper.disarm().await;
        let mut known = self.known();
        // One that ends by itself before it ever answered is not started over and over in a hurry.
        let words = crate::run::last_words(&log);
        // Where it is elected, or one whose restart is followed, nobody counts how often: what it said goes with how it ended.
        known.exit = match (exit, &words) {
            (Some(exit), Some(words)) => Some(format!("{exit}: {words}")),
            (exit, _) => exit,
        };
        known.ended_early(early, copy, words);
        known.last_lines = crate::run::last_lines(&log);
        known.early_ends = if early { known.early_ends.saturating_add(1) } else { 0 };
        let pause = FIRST_PAUSE * 2u32.saturating_pow(known.early_ends.min(8)) / 2;
        known.start_after = (known.early_ends > 0).then(|| now().plus(pause.min(LONGEST_PAUSE)));
        known.data = None;
        known.end = None;
        known.endless = None;
    }
}
