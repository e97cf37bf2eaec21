//! Runs PostgreSQL's own tools: as the right user, in English, without anybody's PG* variables, and not beyond the
//! life of the future that waits for them, nor of the agent: a pg_rewind that its agent does not know of would write
//! into a directory that the next agent has cloned meanwhile.
//!
//! The kernel's signal for that is tied to the thread that forks, and threads of the event loop's pool come and go.
//! So every tool is started by a thread of its own, which waits until the tool is done with.

use super::error::{Error, Result};
use super::layout::Layout;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

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
    pub(super) async fn output(self, within: Duration) -> Result<String> {
        let Tool { name, command } = self;
        let program = command.as_std().get_program().to_owned();
        let run = async {
            let Started { child, _starter } = spawn(command).await?;
            child.wait_with_output().await
        };
        let done = in_time(name, &program, within, run).await?;
        if done.status.success() {
            return Ok(lossy(&done.stdout));
        }
        Err(failed(name, done.status, &format!("{}{}", lossy(&done.stdout), lossy(&done.stderr))))
    }

    /// Runs to the end with `input` to read, a few lines, and gives what it printed. Killed at `within`.
    pub(super) async fn fed(self, input: &str, within: Duration) -> Result<String> {
        let Tool { name, mut command } = self;
        let program = command.as_std().get_program().to_owned();
        command.stdin(Stdio::piped());
        let run = async {
            let Started { mut child, _starter } = spawn(command).await?;
            if let Some(mut stdin) = child.stdin.take() {
                // One that ends before it has read all says why itself.
                let _unread = stdin.write_all(input.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let done = in_time(name, &program, within, run).await?;
        if done.status.success() {
            return Ok(lossy(&done.stdout));
        }
        Err(failed(name, done.status, &lossy(&done.stderr)))
    }

    /// Runs to the end, at the longest for `within`, handing over each line that it prints: it may print more than fits
    /// into memory.
    pub(super) async fn prints(self, within: Duration, mut hear: impl FnMut(&str)) -> Result<()> {
        let Tool { name, command } = self;
        let program = command.as_std().get_program().to_owned();
        let run = async {
            let Started { mut child, _starter } = spawn(command).await?;
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let hearing = async {
                let Some(out) = out else { return Ok(()) };
                let mut lines = BufReader::new(out).split(b'\n');
                while let Some(line) = lines.next_segment().await? {
                    hear(&lossy(&line));
                }
                Ok::<(), std::io::Error>(())
            };
            let mut said = Vec::new();
            let complaints = async {
                match err {
                    Some(err) => err.take(64 << 10).read_to_end(&mut said).await.map(|_| ()),
                    None => Ok(()),
                }
            };
            let (heard, complained) = futures::future::join(hearing, complaints).await;
            heard.and(complained)?;
            Ok::<_, std::io::Error>((child.wait().await?, said))
        };
        let (status, said) = in_time(name, &program, within, run).await?;
        if status.success() { Ok(()) } else { Err(failed(name, status, &lossy(&said))) }
    }

    /// Runs for as long as it takes, handing over each line of its stderr as it comes.
    pub(super) async fn lines(self, mut hear: impl FnMut(&str)) -> Result<String> {
        let Tool { name, command } = self;
        let program = command.as_std().get_program().to_owned();
        let not_started = |e: &std::io::Error| not_started(name, &program, e);
        let Started { mut child, _starter } = spawn(command).await.map_err(|e| not_started(&e))?;
        let (Some(mut out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::Unknown(format!("{name} has no output to read")));
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
        let status = child.wait().await.map_err(|e| not_started(&e))?;
        both.0.and(both.1.map(|_| ())).map_err(|e| not_started(&e))?;
        if status.success() { Ok(lossy(&printed)) } else { Err(failed(name, status, &said.join("\n"))) }
    }
}

/// A tool that runs. Dropped, it is killed, and only then its starter ends.
struct Started {
    child: Child,
    /// What the starting thread waits for the end of.
    _starter: std::sync::mpsc::Sender<()>,
}

async fn spawn(mut command: Command) -> std::io::Result<Started> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    interrex_guard::die_with_starter(command.as_std_mut());
    let events = tokio::runtime::Handle::current();
    let (told, child) = oneshot::channel();
    let (starter, done_with) = std::sync::mpsc::channel::<()>();
    std::thread::Builder::new().name("tool".to_owned()).spawn(move || {
        let _events = events.enter();
        // Nobody waits any more: the child is dropped here, and killed by that.
        if told.send(command.spawn()).is_ok() {
            let _over = done_with.recv();
        }
    })?;
    let gone = |_| std::io::Error::other("the thread that starts it ended");
    let child = child.await.map_err(gone)??;
    Ok(Started { child, _starter: starter })
}

/// What a run gives that has an end by then.
async fn in_time<T>(
    name: &str,
    program: &OsStr,
    within: Duration,
    run: impl Future<Output = std::io::Result<T>>,
) -> Result<T> {
    let done = tokio::time::timeout(within, run).await;
    let done = done.map_err(|_| Error::Silent { what: name.to_owned(), within })?;
    done.map_err(|e| not_started(name, program, &e))
}

fn not_started(name: &str, program: &OsStr, why: &std::io::Error) -> Error {
    Error::Tool {
        tool: name.to_owned(),
        status: "not run".to_owned(),
        said: format!("{why} ({})", program.display()),
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

#[cfg(test)]
mod tests {
    use super::super::testing::{LONG, bare_layout};
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tokio::time::{Instant, sleep};

    async fn until(wanted: impl Fn() -> bool) {
        let deadline = Instant::now() + LONG;
        while !wanted() {
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The process whose arguments hold `word`, and is no zombie.
    fn process_with(word: &str) -> Option<u32> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| lossy(&line).contains(word))
        })
    }

    #[test]
    fn a_tool_outlives_the_thread_that_asked_for_it_and_not_the_future_that_waits() {
        let (dir, mut layout) = bare_layout();
        layout.bin_dir = dir.path().join("bin");
        fs::create_dir(&layout.bin_dir).unwrap();
        symlink("/bin/sleep", layout.bin_dir.join("sleep")).unwrap();
        let word = format!("86{:09}", std::process::id());
        let events =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tool = Tool::new(&layout, "sleep").arg(&word);
        let (handle, seconds) = (events.handle().clone(), word.clone());
        // Threads of a pool come and go, too.
        let asking = std::thread::spawn(move || {
            let mut run = Box::pin(tool.lines(|_| ()));
            handle.block_on(async {
                let begun = until(|| process_with(&seconds).is_some());
                tokio::select! {
                    ended = &mut run => panic!("{ended:?}"),
                    () = begun => {}
                }
            });
            run
        });
        let run = asking.join().unwrap();
        assert!(process_with(&word).is_some());
        drop(run);
        events.block_on(until(|| process_with(&word).is_none()));
    }

    #[test]
    fn a_tool_whose_starter_is_gone_is_killed_by_the_kernel() {
        let word = format!("87{:09}", std::process::id());
        let seconds = word.clone();
        let starter = std::thread::spawn(move || {
            let mut command = std::process::Command::new("/bin/sleep");
            command.arg(&seconds);
            interrex_guard::die_with_starter(&mut command);
            command.spawn().unwrap()
        });
        let mut child = starter.join().unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(process_with(&word), None);
    }
}
