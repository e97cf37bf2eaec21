//! Addresses to listen on: are they ours, and is nobody there?
//!
//! Binding is the only honest test, and leaves nothing behind: the socket is closed at once, without
//! ever having had a connection.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

/// Whether `listen` can be bound now.
pub(super) fn free(listen: SocketAddr) -> Result<(), String> {
    TcpListener::bind(listen).map(drop).map_err(|e| match e.kind() {
        ErrorKind::AddrInUse => {
            format!("\"{listen}\" is in use by another program; stop it, or take another port")
        }
        ErrorKind::AddrNotAvailable => {
            format!("\"{listen}\" is no address of this machine; write one that `ip address` lists")
        }
        ErrorKind::PermissionDenied => {
            format!("\"{listen}\" is reserved for root; take a port above 1023, or start the node as root")
        }
        _ => format!("\"{listen}\" cannot be bound: {e}; write another address"),
    })
}

/// Whether PostgreSQL of this very directory runs on `listen`; if not, the address must be free for it.
///
/// It may begin or end at this very moment, as a guard keeps it while the node is away. It writes its
/// `postmaster.pid` before it binds: who is met at the port first has written it by the second question. And
/// who held the port, and is gone by the second question, has left it free for a third.
pub(super) fn runs_or_may(pgdata: &Path, listen: SocketAddr) -> Result<bool, String> {
    let first = free(listen);
    if runs_in(pgdata, listen.port()) {
        return Ok(true);
    }
    first.or_else(|_| free(listen)).map(|()| false)
}

/// Whether PostgreSQL of this very directory runs on `port`.
///
/// A stale `postmaster.pid` may name a process that is gone, or a number that somebody else has by now;
/// hence the process must have the directory's `postmaster.pid` number *and* work in that directory.
fn runs_in(pgdata: &Path, port: u16) -> bool {
    let Ok(text) = fs::read_to_string(pgdata.join("postmaster.pid")) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let (Some(pid), Some(its_port)) = (lines.first(), lines.get(3)) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let at_work = fs::read_link(format!("/proc/{pid}/cwd"));
    let here = fs::canonicalize(pgdata);
    let same_place = matches!((at_work, here), (Ok(a), Ok(b)) if a == b);
    same_place && its_port.parse() == Ok(port)
}
