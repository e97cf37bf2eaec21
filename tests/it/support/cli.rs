//! The real `interrex`, run as a person would: arguments in, exit code and both outputs back.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// The binary under test; `interrex-guard` lies beside it.
pub(crate) const INTERREX: &str = env!("CARGO_BIN_EXE_interrex");

/// A command that takes longer hangs.
const WITHIN: Duration = Duration::from_secs(30);

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// The answer as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

/// Runs `interrex` to its end. It knows no coordinators but those it is told of.
pub(crate) async fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Answer {
    run_into(args, Stdio::piped()).await
}

/// The same, where whoever reads the output has closed it already.
pub(crate) async fn run_unread<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Answer {
    let (_, writer) = std::io::pipe().unwrap();
    run_into(args, writer.into()).await
}

async fn run_into<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, out: Stdio) -> Answer {
    let mut command = Command::new(INTERREX);
    command.args(args).env_remove("INTERREX_COORDINATORS").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let ended = timeout(WITHIN, command.spawn().unwrap().wait_with_output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{shown} did not end within {WITHIN:?}")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}
