//! The multi-call binary `interrex`.

fn main() {}
