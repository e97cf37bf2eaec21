//! Does another directory hold what that of the primary lacks? Whoever has no `standby.signal` becomes the primary of what
//! is adopted, and every other copy is rewound to it or cloned from it: what only that copy has would be gone, and it may
//! be the one that acknowledged last. So such a copy keeps everything from being taken in, and the operator says which of
//! the two it is.
//!
//! A copy on an older timeline of the primary's own line is none of these: somebody promoted the primary past it.

use crate::ids::InstanceName;
use crate::mutants::{self, Mutant};
use crate::report::Found;
use crate::wal::TimelineId;

/// Why nothing is taken in while `copy` lies beside `primary`, with the way out; `None`: it has nothing of its own that
/// counts, as far as is known. While a server runs its timeline is known, and where its WAL ends is not.
pub(super) fn refusal(
    (primary, of_primary): (&InstanceName, &Found),
    (copy, of_copy): (&InstanceName, &Found),
) -> Option<String> {
    // What its agent refuses is told already.
    if copy == primary || of_copy.refused.is_some() || mutants::on(Mutant::AheadRefused) {
        return None;
    }
    if of_copy.end.is_none() && of_copy.running.is_none() {
        return Some(format!(
            "{copy}: where its WAL ends is not known, so that it may hold what {primary} lacks; start it and stop it once, \
             with what started it so far, or move it away (it is cloned then)"
        ));
    }
    let (theirs, ours) = (timeline(of_copy)?, timeline(of_primary)?);
    let way_out = format!(
        "if {copy} is to be the primary, take standby.signal away there and put an empty one into the directory of {primary}; \
         else move the directory of {copy} away (it is cloned then)"
    );
    let one_goes = format!(
        "move the directory of {copy} away (it is cloned then); or, if {copy} is to be the primary, that of {primary}, and take \
         standby.signal away on {copy}"
    );
    if theirs > ours {
        return Some(format!(
            "{copy} is on timeline {theirs}, which is newer than timeline {ours} of {primary}, and what was committed on it \
             would be lost; {way_out}"
        ));
    }
    let ((at, line), (end, line_of_primary)) = (of_copy.end.as_ref()?, of_primary.end.as_ref()?);
    if at.timeline != end.timeline {
        let on_the_line = line_of_primary.branch_end(at.timeline).is_some();
        return (!on_the_line).then(|| {
            format!(
                "{copy} is on timeline {theirs}, and {primary} on timeline {ours} was never on that: two servers were promoted; \
                 {one_goes}"
            )
        });
    }
    if line.ancestors != line_of_primary.ancestors {
        return Some(format!(
            "{copy} and {primary} are both on a timeline {theirs}, and these branched off at different places: two servers \
             were promoted; {one_goes}"
        ));
    }
    (at.lsn > end.lsn).then(|| {
        format!(
            "{copy} is ahead of {primary}: its WAL ends at {at}, that of {primary} at {end}, and what was committed between \
             the two would be lost; {way_out}"
        )
    })
}

/// What a copy on an older timeline gives up: it went on after the primary was promoted past it.
pub(super) fn left_behind(
    (primary, of_primary): (&InstanceName, &Found),
    (copy, of_copy): (&InstanceName, &Found),
) -> Option<String> {
    let ((at, _), (_, line)) = (of_copy.end.as_ref()?, of_primary.end.as_ref()?);
    let end = line.branch_end(at.timeline).filter(|end| at.lsn > *end)?;
    Some(format!(
        "{copy}: it wrote up to {at}, and {primary} left that timeline at {end}: what {copy} has after that is given up"
    ))
}

/// The newest that is known: of the WAL where that was read, else of the control file, which may lag behind it.
fn timeline(found: &Found) -> Option<TimelineId> {
    found.end.as_ref().map(|(end, _)| end.timeline).or(found.timeline)
}
