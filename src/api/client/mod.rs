//! The asking side: [`Client`] for operators and their tools, which finds the leader and follows it, and
//! [`SessionClient`] for agents, who speak to each coordinator separately.
//!
//! Every call has a deadline, and every failure names the addresses tried and what each of them said. What must not
//! be done twice is never sent twice: see [`ClientError::OutcomeUnknown`].

mod admin;
mod channel;
mod error;
mod events;
mod leader;
mod session;
mod updates;

pub use channel::ClientOptions;
pub use error::{ClientError, Tried};
pub use events::EventStream;
pub use leader::Client;
pub use session::SessionClient;
pub use updates::GoalUpdates;

#[cfg(test)]
mod following;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod testing;
