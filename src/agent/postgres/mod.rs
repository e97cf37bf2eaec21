//! One PostgreSQL server, as its agent handles it. The only room that knows SQL, settings, tools and file layouts of
//! PostgreSQL 14 to 18; everybody else speaks to [`Server`].
//!
//! It promises that every call is idempotent and bounded by a deadline, that what it says it has proved it has seen
//! itself, and that what it cannot tell is an error, never a zero or a "no". It starts and stops nothing but the
//! tools that it runs to their end: the server process belongs to the guard ([`Server::start_args`] says how).
//! When to do which of these things is the business of the steps.

mod abandoned;
mod aside;
mod barrier;
mod beat;
mod clone;
mod configured;
mod control_data;
mod ends;
mod error;
mod existing;
mod files;
mod fit;
mod hba;
mod heard;
mod history;
mod initdb;
mod layout;
mod losses;
mod lost;
mod observe;
mod observed;
mod offline;
mod parameters;
mod promote;
mod receiver;
mod rehearsal;
mod reload;
mod remote;
mod rewind;
mod roles;
#[cfg(test)]
mod scenes;
mod seal;
mod server;
mod session;
mod setting_line;
mod settings;
mod settings_table;
#[cfg(test)]
mod testing;
mod tool;
mod unlogged;
mod wal_end;
mod wal_page;
mod wal_reader;

pub use beat::Beat;
pub use clone::Progress;
pub use control_data::{ControlData, ControlState};
pub use error::{Error, Result};
pub use existing::Existing;
pub use hba::Clients;
pub use history::HistoryFile;
pub(crate) use history::cut_to;
pub use layout::{Credentials, Layout, RunAs};
pub use losses::{Changes, Committed, FileNode, Losses};
pub use lost::Stretch;
pub use observed::{InRecovery, NotInRecovery, Observed, ObservedReceiver, ObservedRole, ObservedSender};
pub use promote::ANSWERS_NOBODY;
pub use remote::knock;
pub use rewind::Rewindable;
pub use server::{DataDir, Server};
pub use settings::{Role, Settings, SyncText, Upstream, Written};
