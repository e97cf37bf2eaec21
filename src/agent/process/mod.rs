//! PostgreSQL as a process: started under its guard, found again by a restarted agent, given deadlines, signalled,
//! fenced, and seen to end. Nothing here knows of SQL, settings or roles.
//!
//! 'Gone' always means the postmaster *and* every backend: a backend outlives its killed postmaster and goes on
//! committing (F31). While a guard lives, it is the guard who says so. When the guard is gone without a word, the
//! processes of the data directory are looked for and killed here, and only an empty search counts.
//!
//! | at the agent's start | then |
//! |---|---|
//! | [`find`] gives a [`Running`] | go on with it; PostgreSQL is not restarted |
//! | [`find`] gives `None` | [`stop_unguarded`]; it does nothing when [`leftovers`] is empty |
//! | [`FindError::NoAnswer`] | the guard hangs: kill it by its id, then [`stop_unguarded`] |

mod exit;
mod find;
mod leftovers;
mod link;
mod pidfd;
mod running;
mod start;
mod time;

pub use interrex_guard::clear_traces;

pub use exit::{Cause, Ended, Exit};
pub use find::{FindError, find};
pub use leftovers::{Leftover, LeftoverError, foremost, leftovers, stop_unguarded};
pub use running::{DeadlineError, FenceError, Gone, Running, Sig};
pub use start::{StartError, StartSpec, start};
pub use time::{Boottime, boottime_now};
