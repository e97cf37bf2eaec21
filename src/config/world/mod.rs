//! Whether this machine can run what the node file says. Reads, asks, and writes nothing.
//!
//! Each file here is one question: programs, users, directories, ports, secrets. All answers are gathered, so
//! that a machine is made ready in one go. What holds now may not hold a second later; everything that
//! is checked here is met again, with its own error, by whoever does the deed.

mod directories;
mod ports;
mod programs;
mod secrets;
#[cfg(test)]
mod tests;
mod users;

use std::path::{Path, PathBuf};

use interrex_tls::{Tls, Token};

use crate::{Instance, Node, Problem, WorldError};

pub use programs::MIN_MAJOR;
pub use users::User;

/// What `check` found on the way, and what the agent needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// One for each `Node::instances`, in the same order.
    pub places: Vec<Place>,
    /// What `[tls]` names, judged: this machine's certificate fits its key, its name and its CA.
    pub tls: Option<Tls>,
    /// What operators without a certificate have to show.
    pub admin_token: Option<Token>,
}

/// Where and as whom one instance will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The directory of `postgres` and its tools, all of them there.
    pub bin_dir: PathBuf,
    /// The major version of these programs, at least [`MIN_MAJOR`].
    pub major: u32,
    /// Whom PostgreSQL runs as, where that is not the user who started the node.
    pub run_as: Option<User>,
    /// PostgreSQL of this very pgdata runs already (a guard kept it while the node was away).
    pub already_running: bool,
}

/// How many bytes have to be free where a directory is to be made; of one in use, a sixteenth ([`IN_USE`]), as what lacks
/// then is not room for a copy. A parameter, so that a test can ask for more than any disk has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) data_dir: u64,
    pub(crate) pgdata: u64,
}

/// The part of [`Room`] that is asked of a directory that is in use: a segment of WAL.
const IN_USE: u64 = 16;

const ROOM: Room = Room { data_dir: 64 << 20, pgdata: 256 << 20 };

/// Asks the machine for everything that `node` needs, before anything is written.
///
/// # Errors
/// One line for each thing that the machine refuses (exit 1).
pub fn check(node: &Node) -> Result<World, WorldError> {
    check_with(node, ROOM)
}

pub(crate) fn check_with(node: &Node, room: Room) -> Result<World, WorldError> {
    let mut refusals = Refusals { file: node.file.display().to_string(), problems: Vec::new() };
    let running: Vec<Result<bool, String>> =
        node.instances.iter().map(|instance| ports::runs_or_may(&instance.pgdata, instance.listen)).collect();
    refusals.take("data_dir", directories::data_dir(node, room.data_dir, running.contains(&Ok(true))));
    let places = node.instances.iter().zip(running);
    let places = places
        .filter_map(|(instance, running)| place(instance, running, &node.data_dir, room, &mut refusals))
        .collect();
    for login in node.clusters.values().filter_map(|cluster| cluster.login.as_ref()) {
        refusals.take("cluster.password_file", directories::password_file(&login.password_file));
    }
    if let Some(coordinator) = &node.coordinator {
        refusals.take("coordinator.listen", ports::free(coordinator.listen));
    }
    if let Some(http) = node.http {
        refusals.take("http", ports::free(http));
    }
    let tls = secrets::tls(node, &mut refusals);
    let token_file = node.coordinator.as_ref().and_then(|c| c.admin_token_file.as_deref());
    let admin_token = token_file.and_then(|file| {
        refusals.take("coordinator.admin_token_file", Token::load(file).map_err(|fault| fault.to_string()))
    });
    match refusals.problems.is_empty() {
        true => Ok(World { places, tls, admin_token }),
        false => Err(WorldError::new(refusals.problems)),
    }
}

/// Everything about one instance; the questions that hang on an unanswered one are not asked.
fn place(
    instance: &Instance,
    running: Result<bool, String>,
    data_dir: &Path,
    room: Room,
    refusals: &mut Refusals,
) -> Option<Place> {
    let programs = refusals.take("instance.bin_dir", programs::find(instance.bin_dir.as_deref()));
    let run_as = refusals.take("instance.run_as", users::whom(instance.run_as.as_deref()));
    // A node that were refused now for what only a copy needs would end a running PostgreSQL with its lease.
    let already_running = refusals.take("instance.listen", running).unwrap_or(false);
    let (programs, run_as) = (programs?, run_as?);
    if let Some(user) = &run_as {
        // Below it lie the sockets of PostgreSQL and the passwords that its tools read.
        refusals.take("data_dir", directories::reachable(&data_dir.join("instances"), user));
    }
    let pgdata = &instance.pgdata;
    refusals.take("instance.pgdata", directories::pgdata(pgdata, run_as.as_ref(), programs.major))?;
    if !already_running {
        refusals.take("instance.pgdata", directories::replaceable(pgdata, room.pgdata))?;
    }
    Some(Place { bin_dir: programs.bin_dir, major: programs.major, run_as, already_running })
}

struct Refusals {
    file: String,
    problems: Vec<Problem>,
}

impl Refusals {
    fn take<T>(&mut self, key: &str, answer: Result<T, String>) -> Option<T> {
        answer.map_err(|why| self.add(key, &why)).ok()
    }

    /// What two instances meet alike is told once.
    fn add(&mut self, key: &str, why: &str) {
        let problem = Problem::new(&self.file, None, format!("key '{key}': {why}"));
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}
