//! agent
pub mod postgres;
