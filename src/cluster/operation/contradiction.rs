//! What an operator says of a failover that contradicts what the record or an agent tells. It is refused before anything
//! is written, with the way out: a wish that nobody can follow any more is not dropped without a word, and a server that is
//! seen running is not taken for stopped.

use crate::ids::InstanceName;
use crate::record::Operation;
use crate::report::Server;
use crate::time::span;
use crate::view::View;
use std::collections::BTreeSet;

/// Why a failover cannot be as it is asked for: to `wanted`, with `fenced` asserted to be stopped. `would_win`: who would be
/// elected as things stand.
pub fn contradiction(
    view: &View<'_>,
    wanted: Option<&InstanceName>,
    fenced: &BTreeSet<InstanceName>,
    would_win: Option<&InstanceName>,
) -> Option<String> {
    too_late(view, wanted, would_win).or_else(|| fenced.iter().find_map(|name| runs(view, name)))
}

/// Who is wanted is written with the begin of a failover, and chosen by ever since.
fn too_late(
    view: &View<'_>,
    wanted: Option<&InstanceName>,
    would_win: Option<&InstanceName>,
) -> Option<String> {
    let (Operation::Failover(under_way), None) = (&view.record.operation, &view.record.primary) else {
        return None;
    };
    let wanted = wanted.filter(|wanted| under_way.wanted.as_ref() != Some(*wanted))?;
    let winner = match would_win {
        Some(winner) if winner == wanted => return None,
        Some(winner) => format!("{winner} would be elected as things stand"),
        None => "nobody could be elected as things stand".to_owned(),
    };
    let (epoch, cluster) = (view.record.epoch, &view.record.name);
    Some(format!(
        "epoch {epoch} began without --to {wanted}, which comes too late for it: {winner}; leave it out, and \
         once there is a primary: interrex switchover {cluster} --to {wanted}"
    ))
}

/// An agent sees its own server; who asserts the opposite means another one, or would have two that acknowledge.
fn runs(view: &View<'_>, name: &InstanceName) -> Option<String> {
    match view.server(name)? {
        Server::NoData | Server::Stopped { .. } => None,
        Server::Starting { .. } | Server::Silent { .. } | Server::Standby(_) | Server::Primary(_) => {
            Some(format!(
                "{name} is asserted to be stopped (--fenced), and its agent said {} ago that PostgreSQL runs there; stop it, or \
             leave it out of --fenced",
                span(view.silence(name))
            ))
        }
    }
}
