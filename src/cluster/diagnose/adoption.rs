//! Does what is to be adopted fit together? What does not is the operator's to put right; until then nothing is touched.

use crate::operation::adopt::{beforehand, refusals};
use crate::problem::{Problem, ProblemKind};
use crate::view::View;

/// Everything that stands in the way, as one problem.
pub fn ask(view: &View<'_>) -> Option<Problem> {
    let mut evidence = refusals(view);
    if evidence.is_empty() {
        return None;
    }
    evidence.extend(beforehand(view));
    Some(Problem { kind: ProblemKind::AdoptionRefused, evidence })
}
