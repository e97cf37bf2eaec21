//! The guard's command line, as `USAGE` has it. Parsing only; nothing here touches the world.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// Where agents reach this guard.
    pub(crate) socket: PathBuf,
    /// The user that PostgreSQL runs as; `None`: the guard's own.
    pub(crate) run_as: Option<RunAs>,
    /// Takes standard output and error of PostgreSQL and the guard's own lines; appended to.
    pub(crate) log: PathBuf,
    /// False: descendants are found through /proc alone.
    pub(crate) cgroup: bool,
    /// The `postgres` program.
    pub(crate) program: PathBuf,
    /// Its arguments, the name of the program not among them.
    pub(crate) program_args: Vec<OsString>,
    /// The data directory that its arguments name.
    pub(crate) data_dir: PathBuf,
}

/// A user by number, with all its groups (the first is its own).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RunAs {
    pub(crate) uid: u32,
    pub(crate) groups: Vec<u32>,
}

/// What a person who calls it by hand is told.
pub(crate) const HELP: &str = "interrex-guard is the parent of PostgreSQL; interrex node starts it, and nobody needs \
                               to call it by hand.\n";

pub(crate) const USAGE: &str = "usage: interrex-guard --socket PATH [--run-as UID:GID[,GID...]] --log FILE \
                     [--no-cgroup] -- /path/to/postgres -D PGDATA ...";

/// The arguments after the program's own name; an error is one line that ends with the usage.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let mut args = args.into_iter();
    let (mut socket, mut run_as, mut log, mut cgroup) = (None, None, None, true);
    loop {
        let Some(arg) = args.next() else {
            return Err(format!("no program to guard is given; {USAGE}"));
        };
        let mut value = || args.next().ok_or_else(|| format!("{} needs a value; {USAGE}", arg.display()));
        match arg.as_bytes() {
            b"--" => break,
            b"--socket" => socket = Some(PathBuf::from(value()?)),
            b"--log" => log = Some(PathBuf::from(value()?)),
            b"--run-as" => run_as = Some(parse_run_as(&value()?)?),
            b"--no-cgroup" => cgroup = false,
            _ => return Err(format!("argument {:?} is not known; {USAGE}", arg.display().to_string())),
        }
    }
    let program = args.next().map(PathBuf::from).ok_or_else(|| format!("no program follows --; {USAGE}"))?;
    let program_args: Vec<OsString> = args.collect();
    let data_dir = find_data_dir(&program_args).ok_or_else(|| {
        format!("the arguments of {} name no data directory with -D; {USAGE}", program.display())
    })?;
    Ok(Args {
        socket: socket.ok_or_else(|| format!("--socket is missing; {USAGE}"))?,
        log: log.ok_or_else(|| format!("--log is missing; {USAGE}"))?,
        run_as,
        cgroup,
        program,
        program_args,
        data_dir,
    })
}

fn parse_run_as(value: &OsStr) -> Result<RunAs, String> {
    let parsed = value.to_str().and_then(|text| {
        let (uid, groups) = text.split_once(':')?;
        let groups = groups.split(',').map(|gid| gid.parse().ok()).collect::<Option<Vec<u32>>>()?;
        Some(RunAs { uid: uid.parse().ok()?, groups })
    });
    parsed
        .ok_or_else(|| format!("--run-as {:?} is not UID:GID[,GID...]; {USAGE}", value.display().to_string()))
}

fn find_data_dir(args: &[OsString]) -> Option<PathBuf> {
    let at = args.iter().position(|arg| arg.as_bytes().starts_with(b"-D"))?;
    match &args[at].as_bytes()[2..] {
        b"" => args.get(at + 1).map(PathBuf::from),
        joined => Some(PathBuf::from(OsStr::from_bytes(joined))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_whole_command_line_is_understood() {
        let args =
            parsed("--socket /s --run-as 26:26,101 --log /l --no-cgroup -- /bin/postgres -D /data -c port=1")
                .unwrap();
        assert_eq!(args.run_as, Some(RunAs { uid: 26, groups: vec![26, 101] }));
        assert_eq!(args.data_dir, PathBuf::from("/data"));
        assert_eq!(args.program_args, ["-D", "/data", "-c", "port=1"].map(OsString::from));
        assert!(!args.cgroup);
    }

    #[test]
    fn the_data_directory_may_be_joined_to_its_option() {
        assert_eq!(parsed("--socket s --log l -- p -D/data").unwrap().data_dir, PathBuf::from("/data"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (line, named) in [
            ("--socket s --log l", "no program to guard"),
            ("--log l -- p -D d", "--socket is missing"),
            ("--socket s -- p -D d", "--log is missing"),
            ("--socket s --log l -- p -c port=1", "no data directory"),
            ("--socket s --log l --run-as postgres -- p -D d", "--run-as \"postgres\" is not"),
            ("--sock s -- p -D d", "\"--sock\" is not known"),
            ("--socket", "--socket needs a value"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
