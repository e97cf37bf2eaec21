//! For scenes: a program that counts as ours by its name.
//!
//! One file for several crates' tests, which take it in with `#[path]`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;

/// A shell under the name `name` in `dir`, running `script` in `cwd`; its command line names a file in `dir`.
pub(crate) fn program(dir: &Path, name: &str, cwd: &Path, script: &str) -> Child {
    let exe = dir.join(name);
    fs::copy("/bin/sh", &exe).unwrap();
    loop {
        let started =
            Command::new(&exe).args(["-c", script]).arg(dir.join("some-file")).current_dir(cwd).spawn();
        match started {
            // A child of another scene, between fork and exec, still holds the copy open for writing.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => thread::yield_now(),
            started => return started.unwrap(),
        }
    }
}
