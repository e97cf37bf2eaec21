//! One PostgreSQL server, as its agent handles it. The only room that knows SQL, settings, tools and file layouts of
//! PostgreSQL 14 to 18; everybody else speaks to [`Server`].
//!
//! It promises that every call is idempotent and bounded by a deadline, that what it says it has proved it has seen
//! itself, and that what it cannot tell is an error, never a zero or a "no". It starts and stops nothing but the
//! tools that it runs to their end: the server process belongs to the guard ([`Server::start_args`] says how).
//! When to do which of these things is the business of the steps. F-numbers are those of docs/settings.md's
//! companion, the list of PostgreSQL facts that the design rests on.

mod control_data;
mod error;
mod layout;
mod observed;
mod settings;
mod skeleton;

pub use control_data::{ControlData, ControlState};
pub use error::{Error, Result};
pub use layout::{Credentials, Layout, RunAs};
pub use observed::{InRecovery, NotInRecovery, Observed, ObservedReceiver, ObservedRole, ObservedSender};
pub use settings::{Role, Settings, SyncText, Upstream, Written};
pub use skeleton::*;
