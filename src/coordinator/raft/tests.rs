//! Groups of nodes in one process, over real gRPC on loopback.

mod changes;
mod group;
mod of_five;
mod pre_vote;
mod scenes;
mod secured;
mod wires;
