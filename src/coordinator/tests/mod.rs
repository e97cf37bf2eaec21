//! Coordinators in one process, over real gRPC on loopback, with agents that only pretend to have a PostgreSQL.

mod agent;
mod first_build;
mod group;
mod input;
mod members;
#[path = "../../../tests/shared/ports.rs"]
pub(crate) mod ports;
mod postgres;
mod raw;
mod recovered;
mod scenes;
mod secured;
mod upgrade;
