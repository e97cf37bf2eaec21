//! Rules that can be switched off at run time, so that the property named for each is seen to fail. Those that live in
//! the rules are switched there (`interrex_cluster::mutants`, only with the feature `mutants`); those of the shell are
//! switched in this model of it.

pub(crate) use interrex_cluster::mutants::{Mutant, on};
