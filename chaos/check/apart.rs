//! Clusters are apart: nothing that one of them said, and nothing that was decided about it, ever does anything to
//! another, though they share machines, coordinators and a log, and their instances bear the same names.

use crate::{Fact, Property};

/// Needs no memory: each fact says whose it is, and to whom it did something.
pub(crate) struct ClustersAreApart;

impl Property for ClustersAreApart {
    fn name(&self) -> &'static str {
        "clusters-are-apart"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Reached { what, of, on } if of != on => {
                Err(format!("{what} of cluster {of} did something to cluster {on}"))
            }
            _ => Ok(()),
        }
    }
}
