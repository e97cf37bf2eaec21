//! THE AGENT'S RULES: which goal may be obeyed, what the agent sees, and the one step that comes next.
//!
//! Pure, as everything in this crate: the agent observes ([`observed`]), asks whether the goal may be obeyed at all
//! ([`gate`]), asks what to do ([`next_step`]), does that one thing and observes again. Every step may be interrupted
//! anywhere and asked for again. Whether a copy can follow is judged by the contents of timeline histories
//! ([`rejoin`]); how long a primary may serve, by [`lease`].
//!
//! Left to the agent: how a step is done, how long it may take, and what is logged.

mod as_primary;
mod as_sealed;
mod as_standby;
pub mod gate;
pub mod lease;
pub mod next_step;
pub mod observed;
pub mod rejoin;

#[cfg(test)]
mod tests;
