//! Interrex.
