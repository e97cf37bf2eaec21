//! Refusing every older epoch: sealed, or stopped and sealed. What is proved here decides an election, so a position
//! counts only when nothing can move it any more.

use super::next_step::{Step, take_in};
use super::observed::{Data, Observed, Server, Standby, Upstream};
use crate::ids::Epoch;
use crate::mutants::{self, Mutant};
use std::time::Duration;

/// A server that does not answer for so long is sealed by ending it: it need not answer for that. Leans toward
/// ending it: the cluster has no primary meanwhile.
const SILENT_TOO_LONG: Duration = Duration::from_millis(1_500);
pub(super) fn sealed(epoch: Epoch, seen: &Observed) -> Step {
    match (&seen.data, &seen.server) {
        (Data::Missing, _) => Step::wait("a primary to clone from"),
        (Data::Unfinished(_), Server::Gone) => Step::wait("a primary to go on rebuilding from"),
        (Data::Offered(_), Server::Gone) if mutants::on(Mutant::AdoptedCounts) => take_in(seen),
        // It counts for nothing before it has followed.
        (Data::Offered(_), Server::Gone) => Step::wait("a primary to follow"),
        (Data::Doubtful { why, .. } | Data::Strange { why }, Server::Gone) => Step::refuse(why.clone()),
        (
            Data::Unfinished(_) | Data::Offered(_) | Data::Doubtful { .. } | Data::Strange { .. },
            Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_),
        ) => Step::fence("its directory counts for nothing and must not run"),
        (Data::Ours(_), Server::Gone) if !seen.stopped_in(epoch) => {
            Step::ScanEnd { epoch: Some(epoch), stopped: true }
        }
        // Ready to be promoted at once, and to be read from meanwhile; it receives from nobody.
        (Data::Ours(_), Server::Gone) => Step::StartAsStandby { follow: false },
        // A promotion in flight cannot be called back (F23): only the end of the server seals it.
        (
            Data::Ours(_),
            Server::Starting | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_),
        ) if seen.promotion_marked() && !mutants::on(Mutant::RestartGate) => {
            Step::fence("it was told to promote in an older epoch")
        }
        (Data::Ours(_), Server::Starting) => Step::wait("PostgreSQL is starting"),
        (Data::Ours(_), Server::Silent { since }) if *since >= SILENT_TOO_LONG => {
            Step::fence(format!("it has not answered for {} ms; ended, it is sealed", since.as_millis()))
        }
        (Data::Ours(_), Server::Silent { .. }) => Step::wait("PostgreSQL to answer"),
        (Data::Ours(_), Server::Standby(standby)) => seal(epoch, standby, seen),
        (Data::Ours(_), Server::Primary(_)) => Step::fence("it runs as the primary of an older epoch"),
    }
}

fn seal(epoch: Epoch, standby: &Standby, seen: &Observed) -> Step {
    match (&standby.upstream, standby.receiver) {
        // Raised on the old primary first: without a restart nobody who is left could ever be promoted, and where somebody
        // else is, it could not follow: its replay is paused, and asks for no WAL.
        (Upstream::Nobody, None) if seen.sealed_in(epoch) && seen.too_low && !mutants::on(Mutant::TooLow) => {
            Step::stop("it has less than replay demands, and could not be promoted; it is started with that")
        }
        (Upstream::Nobody, None) if seen.sealed_in(epoch) => Step::Nothing,
        // Taken away under this very goal and seen gone: what is left is where it ended.
        (Upstream::Nobody, None) => Step::Seal { epoch: Some(epoch) },
        (Upstream::Nobody | Upstream::Of(_) | Upstream::Other, _) => Step::Seal { epoch: Some(epoch) },
    }
}

pub(super) fn stopped(epoch: Epoch, seen: &Observed) -> Step {
    match (&seen.server, &seen.data) {
        (Server::Primary(_), _) => Step::stop(format!("epoch {epoch} began without it")),
        (Server::Starting | Server::Silent { .. }, _) => {
            Step::fence(format!("epoch {epoch} began without it"))
        }
        (Server::Standby(_), _) => {
            Step::stop(format!("it is to be stopped in epoch {epoch}, as an instance that leaves is"))
        }
        (Server::Gone, Data::Missing) => Step::Nothing,
        (Server::Gone, Data::Unfinished(_)) => Step::wait("a primary to go on rebuilding from"),
        (Server::Gone, Data::Offered(_)) => take_in(seen),
        (Server::Gone, Data::Doubtful { why, .. } | Data::Strange { why }) => Step::refuse(why.clone()),
        (Server::Gone, Data::Ours(_)) if seen.stopped_in(epoch) => Step::Nothing,
        (Server::Gone, Data::Ours(_)) => Step::ScanEnd { epoch: Some(epoch), stopped: true },
    }
}
