//! The whole path on real PostgreSQL and with the real binary: what the README promises, tried.
//!
//! A file is a scene. Every scene has a town of its own ([`support::Town`]): three machines' worth of `interrex node`
//! on free loopback ports. They run side by side, two at a time.

mod accept_loss;
mod adopt;
mod agent_kill_returns;
mod bad_input;
mod bootstrap;
mod coordinator_leader_kill;
mod coordinators_change;
mod coordinators_gone;
mod coordinators_of_five;
mod coordinators_recover;
mod everything_killed;
mod failover_node_kill;
mod failover_postmaster_kill;
mod first_build;
mod full_stop_and_start;
mod hung_primary;
mod idle;
mod neighbours;
mod on_crash;
mod operations;
mod paused;
mod preferred_fetches;
mod rejoin_clone;
mod rejoin_rewind;
mod rolled_back;
mod rule_change_at_each_step;
mod rule_change_interrupted;
mod second_failover;
mod secured;
mod set;
mod set_rule;
mod set_taken_back;
mod slots;
mod support;
mod switchover;
mod two_clusters;
mod two_machines;
mod unit_file;
mod unpromotable;
mod wrong_arguments;
