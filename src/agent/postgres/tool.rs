//! Runs PostgreSQL's own tools: as the right user, in English, without anybody's PG* variables, and not beyond the
//! life of the future that waits for them.

use super::error::{Error, Result};
use super::layout::Layout;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

/// One run of a tool.
pub(super) struct Tool {
    name: &'static str,
    command: Command,
}

impl Tool {
    /// `name` from the layout's `bin_dir`.
    pub(super) fn new(layout: &Layout, name: &'static str) -> Self {
        let mut command = Command::new(layout.bin_dir.join(name));
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        // A directory that every user may stand in; the tools are given absolute paths.
        command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        if let Some(user) = &layout.run_as {
            // As root, this also gives up root's supplementary groups.
            command.gid(user.gid).uid(user.uid);
        }
        Self { name, command }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(super) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Runs to the end and gives what it printed. Killed at `within`.
    pub(super) async fn output(mut self, within: Duration) -> Result<String> {
        let run = tokio::time::timeout(within, self.command.output()).await;
        let done = run.map_err(|_| Error::Silent { what: self.name.to_owned(), within })?;
        let done = done.map_err(|e| self.not_started(&e))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(failed(self.name, done.status, &format!("{}{}", lossy(&done.stdout), lossy(&done.stderr))))
    }

    /// Runs for as long as it takes, handing over each line of its stderr as it comes.
    pub(super) async fn lines(mut self, mut hear: impl FnMut(&str)) -> Result<String> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|e| self.not_started(&e))?;
        let (Some(mut out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::Unknown(format!("{} has no output to read", self.name)));
        };
        let mut said = Vec::new();
        let mut printed = Vec::new();
        let hearing = async {
            let mut lines = BufReader::new(err).split(b'\n');
            while let Some(line) = lines.next_segment().await? {
                let line = lossy(&line);
                hear(&line);
                said.push(line);
                // Progress repeats itself; the last words are what an error consists of.
                if said.len() > 60 {
                    said.drain(..30);
                }
            }
            Ok::<(), std::io::Error>(())
        };
        let both = futures::future::join(hearing, out.read_to_end(&mut printed)).await;
        let status = child.wait().await.map_err(|e| self.not_started(&e))?;
        both.0.and(both.1.map(|_| ())).map_err(|e| self.not_started(&e))?;
        if status.success() { Ok(lossy(&printed)) } else { Err(failed(self.name, status, &said.join("\n"))) }
    }

    fn not_started(&self, why: &std::io::Error) -> Error {
        Error::Tool {
            tool: self.name.to_owned(),
            status: "not run".to_owned(),
            said: format!("{why} ({})", self.command.as_std().get_program().display()),
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failed(tool: &str, status: ExitStatus, said: &str) -> Error {
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = said.len().saturating_sub(4);
    Error::Tool { tool: tool.to_owned(), status: status.to_string(), said: said[last..].join("; ") }
}
