//! What a run needs of the machine, asked before anything is made; and the programs that it runs, each of which either
//! does what it is told or is quoted.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use interrex_rig::Usage;
use interrex_rig::postgresql::{self, Account};

use crate::catalogue::Row;

/// What there is.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The program to break; its guard is beside it.
    pub(crate) interrex: PathBuf,
    /// As whom PostgreSQL runs.
    pub(crate) account: Option<Account>,
}

/// Only root may make namespaces and groups.
pub(crate) fn ensure_root() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces and control groups are made by root alone; run this as root (as anybody: interrex-chaos list, \
         interrex demo)"
    );
    Ok(())
}

/// What faults need of the machine beside what all do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// To take packets away.
    nft: bool,
    /// To make file systems, and mount them.
    volumes: bool,
}

impl Needs {
    /// Of all of these.
    pub(crate) fn of(rows: &[&Row]) -> Needs {
        let any = |wanted: fn(&Row) -> bool| rows.iter().any(|row| wanted(row));
        Needs { nft: any(|row| row.nft), volumes: any(|row| row.volumes) }
    }
}

/// Looks for all of it.
pub(crate) fn check(interrex: Option<&Path>, needs: Needs) -> anyhow::Result<Tools> {
    ensure_root()?;
    ensure_program("ip", "iproute2")?;
    ensure_program("nsenter", "util-linux")?;
    if needs.nft {
        ensure_program("nft", "nftables")?;
    }
    if needs.volumes {
        ensure_program("mkfs.ext4", "e2fsprogs")?;
        ensure_program("mount", "mount")?;
    }
    Ok(Tools { interrex: find_interrex(interrex)?, account: postgresql::check()? })
}

fn ensure_program(program: &str, package: &str) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    ensure!(there, "{program} is not on PATH; install it (Debian, Ubuntu: apt-get install {package})");
    Ok(())
}

fn find_interrex(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        let found = named.canonicalize().ok().filter(|path| path.is_file());
        return found.ok_or_else(|| {
            Usage(format!("--interrex {}: there is no such file; name the program interrex", named.display()))
                .into()
        });
    }
    let own = std::env::current_exe().context("find the program of this process")?;
    let beside = own.with_file_name("interrex");
    let shown = beside.display();
    ensure!(
        beside.is_file(),
        "{shown} is not there; build it (cargo build --bins), or name it with --interrex"
    );
    Ok(beside)
}

/// Runs a program to its end; what it wrote to standard output.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    run_with(program, args, "")
}

/// The same, with something on its standard input.
pub(crate) fn run_with(program: &str, args: &[&str], input: &str) -> anyhow::Result<String> {
    let shown = || format!("{program} {}", args.join(" "));
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run {}", shown()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who ends without reading says why on standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("wait for {}", shown()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", shown(), said.trim().replace('\n', ", "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted_with_its_arguments() {
        assert_eq!(run_with("cat", &[], "heard").unwrap(), "heard");
        let error = run("sh", &["-c", "echo no such thing >&2; exit 1"]).unwrap_err().to_string();
        assert!(error.ends_with("exit 1: no such thing"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_package() {
        let error = ensure_program("interrex-none", "some-package").unwrap_err().to_string();
        assert!(error.contains("interrex-none is not on PATH") && error.contains("some-package"), "{error}");
    }

    #[test]
    fn a_named_program_has_to_be_there() {
        let error = find_interrex(Some(Path::new("/none/interrex"))).unwrap_err();
        assert!(error.to_string().contains("--interrex /none/interrex"), "{error}");
        assert_eq!(interrex_rig::exit_code(&error), 2);
    }
}
