//! From what was seen to what is told.

use crate::instance::Instance;
use crate::postgres::{Clients, ControlData, Observed as Raw, ObservedRole};
use crate::session::now;
use crate::told::Outgoing;
use interrex_cluster::goal::Goal;
use interrex_cluster::ids::{Epoch, SystemId};
use interrex_cluster::instance::observed::{Data, Observed, Server as Seen};
use interrex_cluster::report::{Failing, Knock, Report, Server, Unfit};
use interrex_cluster::spec::digest;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Less room than this on the data volume, and an instance had better not be promoted.
const NEARLY_FULL: u64 = 128 << 20;

impl Instance {
    /// Tells the coordinators, unless a newer look was told already.
    pub(super) fn tell(&self, number: u64, seen: &Observed, raw: Option<&Raw>, goal: Option<&Goal>) {
        // A look that began before the promotion ended, and ended after it.
        let outdated = self.run().promoted && matches!(seen.server, Seen::Standby(_));
        let report = self.report_of(seen, raw, goal);
        let wants_lease = match goal {
            Some(Goal::Primary(goal)) => Some(goal.epoch),
            _ => None,
        };
        if self.looks.load(Ordering::SeqCst) == number && !outdated {
            self.report.send_replace(Some(Outgoing { report, wants_lease, seen: now() }));
        }
    }

    /// What was found at the primary's port; a primary tells of its own, once that has let nobody in for a while.
    fn knock_told(&self, seen: &Observed) -> Option<Knock> {
        match &seen.server {
            Seen::Primary(primary) => self.run().deaf_for(now()).map(|deaf| Knock {
                epoch: Epoch(primary.timeline.0),
                answered: false,
                for_ms: u64::try_from(deaf.as_millis()).unwrap_or(u64::MAX),
            }),
            _ => self.door.found(now()),
        }
    }

    fn report_of(&self, seen: &Observed, raw: Option<&Raw>, goal: Option<&Goal>) -> Report {
        let known = self.known().clone();
        let (pending_restart, read) = {
            let run = self.run();
            (run.pending_restart.clone(), run.unread.is_none())
        };
        let left = seen.deadline.map(|deadline| deadline.since(now()));
        Report {
            instance: self.config.name.clone(),
            directory: self.agent.directory.clone(),
            obeyed: seen.memory.obeyed,
            incarnation: seen.memory.incarnation,
            server: self.server_of(seen, raw, goal, known.exit),
            proofs: known.proofs,
            needs: known.need,
            knock: self.knock_told(seen),
            unfit: raw.map(|raw| unfit(raw, &self.config.pgdata, known.too_low)).unwrap_or_default(),
            pending_restart,
            // Of a server that is gone, nothing is known to have been read; nor of one that does not read its files.
            parameters: raw.and(seen.parameters.as_ref()).filter(|_| read).map(digest),
            doing: known.doing,
            receipt: known.receipt,
            doubt: match &seen.data {
                Data::Doubtful { why, .. } => Some(why.clone()),
                Data::Missing
                | Data::Unfinished(_)
                | Data::Ours(_)
                | Data::Offered(_)
                | Data::Strange { .. } => None,
            },
            // One that answers has started.
            failing: known.hopeless.filter(|_| self.run().answered.is_none()).map(|ends| Failing {
                times: ends.times,
                clones: seen.memory.in_vain,
                lines: known.last_lines,
            }),
            stale_coordinators: self.coordinators.stale(),
            lease_left_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            found: seen.found.clone(),
            unseen: seen.unseen.clone(),
        }
    }

    fn server_of(
        &self,
        seen: &Observed,
        raw: Option<&Raw>,
        goal: Option<&Goal>,
        exit: Option<String>,
    ) -> Server {
        let system = match &seen.data {
            Data::Ours(system) | Data::Offered(system) | Data::Doubtful { system, .. } => *system,
            Data::Missing | Data::Unfinished(_) | Data::Strange { .. } => SystemId(0),
        };
        match (&seen.server, raw) {
            (Seen::Gone, _) => match &seen.data {
                Data::Missing | Data::Unfinished(_) => Server::NoData,
                Data::Ours(_) | Data::Offered(_) | Data::Doubtful { .. } | Data::Strange { .. } => {
                    let exit = exit.or_else(|| seen.ended_in(goal?));
                    Server::Stopped { system, exit }
                }
            },
            (Seen::Silent { since }, _) => Server::Silent {
                for_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
                why: self.run().unanswered.clone(),
            },
            (Seen::Starting, _) | (Seen::Standby(_) | Seen::Primary(_), None) => Server::Starting { system },
            (Seen::Standby(_) | Seen::Primary(_), Some(raw)) => {
                let standbys = match goal {
                    Some(Goal::Primary(goal)) => goal.standbys.as_slice(),
                    _ => &[],
                };
                let run = self.run().clone();
                let beat = match goal {
                    Some(Goal::Primary(goal)) => run.beat_age_ms(goal.epoch),
                    _ => None,
                };
                raw.report(standbys, run.upstream.as_ref(), run.clients == Some(Clients::In), beat)
            }
        }
    }
}

/// What speaks against promoting it, as far as the server itself shows.
fn unfit(raw: &Raw, pgdata: &Path, mut unfit: Vec<Unfit>) -> Vec<Unfit> {
    if let ObservedRole::Standby(standby) = &raw.role
        && standby.paused
    {
        unfit.push(Unfit::ReplayPaused);
    }
    for setting in ["fsync", "full_page_writes"] {
        if raw.settings.get(setting).is_some_and(|value| value == "off") {
            unfit.push(Unfit::NotDurable { setting: setting.to_owned() });
        }
    }
    if let Ok(volume) = rustix::fs::statvfs(pgdata) {
        let free = volume.f_bavail.saturating_mul(volume.f_frsize);
        if free < NEARLY_FULL {
            unfit.push(Unfit::DiskNearlyFull { free });
        }
    }
    unfit
}

/// Parameters that are lower than what the primary ran with, as replay learned it (F25).
pub(super) fn too_low(raw: &Raw, control: &ControlData) -> Vec<Unfit> {
    let lower = |(name, wanted): (&String, &u64)| {
        let here: u64 = raw.settings.get(name)?.parse().ok()?;
        (here < *wanted).then(|| Unfit::ParameterTooLow { name: name.clone() })
    };
    control.parameters.iter().filter_map(lower).collect()
}
