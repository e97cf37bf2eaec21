//! The agent: beside every PostgreSQL server, makes reality follow the record.
//!
//! It registers with the coordinators, learns what its instance has to be, looks at what it is, and takes the next
//! idempotent step (`interrex_cluster::instance`); it tells every coordinator what it sees, holds the primary's lease
//! and hands it to the guard. It decides nothing about other instances.
//!
//! [`Agent::builder`] is the way in; one agent runs any number of instances, each in a task tree of its own. No global
//! state, nothing ends the process. Dropped instead of shut down, it leaves PostgreSQL under its guard, as a crash of
//! the agent would: the next agent takes over, or the deadline ends it.
//!
//! | room | |
//! |---|---|
//! | `session` `switchboard` `told` | lines to the coordinators; what all lines share; what was said, put together |
//! | `reconcile` `charge` | the loop; what it moves, of which there may be another kind than PostgreSQL's |
//! | `steps` `eyes` | one deed each; what is seen and told |
//! | `keeper` `beat` | the lease; the synchronous commit that renews it |
//! | `knock` `at_home` | whether the primary, and the own server, let anybody new in |
//! | `state` `identity` | what must survive; who a data directory is |
//! | `receipts` | what copies held that nobody else had, kept on this machine |
//! | `highest` | the highest position told of the copy: ending below it, it was rolled back |
//! | `tidy` `server_log` | what was moved aside goes once the cluster is whole; the server's log is kept short |
//! | `tend` `serial` | one instance's trouble is not another's; which word of the agent a message is |
//! | `handle` | a look at it all from the same process |
//! | `shelf` `written` | where the agent's own small files are; where its operator wrote down what it was told |
//! | `postgres` `process` | everything of PostgreSQL: SQL, files, tools; processes and the guard |

mod agent;
mod at_home;
mod beat;
mod charge;
mod config;
mod ending;
mod eyes;
mod handle;
mod highest;
mod identity;
mod instance;
mod keeper;
mod knock;
pub mod postgres;
pub mod process;
mod receipts;
mod reconcile;
mod roster;
mod run;
mod serial;
mod server_log;
mod session;
mod shelf;
mod state;
mod steps;
mod switchboard;
mod tend;
mod tidy;
mod told;
mod written;

pub use agent::{Agent, AgentError, Builder};
pub use beat::{Beaten, Reign, beat_forever};
pub use charge::{Charge, Undone};
pub use config::{AgentConfig, InstanceConfig};
pub use handle::{Handle, Tended, Trouble};
pub use identity::of_another_cluster;
pub use keeper::{Guard, Held, Keeper, NotArmed, keep_leases};
pub use knock::{Door, Testify, knock_forever};
pub use reconcile::reconcile;
pub use session::{Ends, Lines};
pub use shelf::{Directory, MemoryShelf, Shelf};
pub use state::{FORMAT, StateError};
pub use switchboard::{Surroundings, Switchboard};
pub use told::{Granted, Outgoing, Told};
pub use written::Written;
