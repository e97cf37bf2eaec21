//! agent
pub mod postgres;
pub mod process;
