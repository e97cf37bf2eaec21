//! What the kernel tells of a process: memory, processor time, bytes written.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    /// Processor time, user and system, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// Bytes that it caused to be written to disk.
    pub(crate) written_bytes: u64,
}

/// Of a living process.
pub(crate) fn used(pid: i32) -> anyhow::Result<Used> {
    let stat = read(pid, "stat")?;
    let ticks_a_second = rustix::param::clock_ticks_per_second();
    let cpu_ms = ticks(&stat).map(|ticks| ticks * 1000 / ticks_a_second).with_context(|| odd(pid, "stat"))?;
    let written_bytes = number(&read(pid, "io")?, "write_bytes:").with_context(|| odd(pid, "io"))?;
    Ok(Used { cpu_ms, written_bytes })
}

/// Its proportional set size in KiB: its own memory, and its share of what it shares.
pub(crate) fn pss_kib(pid: i32) -> anyhow::Result<u64> {
    number(&read(pid, "smaps_rollup")?, "Pss:").with_context(|| odd(pid, "smaps_rollup"))
}

fn read(pid: i32, file: &str) -> anyhow::Result<String> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

fn odd(pid: i32, file: &str) -> String {
    format!("/proc/{pid}/{file} is not as the kernel's manual has it")
}

/// utime + stime, the 14th and 15th field; the second, a name in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(ticks(14)? + ticks(15)?)
}

/// The first number of the line that begins with `key`.
fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read() {
        assert_eq!(ticks("12 (a) b) S 7 12 12 0 -1 4 1 2 3 4 50 7 0 0 20"), Some(57));
        assert_eq!(ticks("nonsense"), None);
        assert_eq!(number("Rss:  9 kB\nPss:                1234 kB\nPss_Dirty: 7 kB\n", "Pss:"), Some(1234));
        assert_eq!(number("rchar: 5\nwrite_bytes: 4096\n", "write_bytes:"), Some(4096));
    }

    #[test]
    fn this_process_is_told_of() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(pss_kib(own).unwrap() > 0);
        used(own).unwrap();
        assert!(format!("{:#}", used(0).unwrap_err()).contains("/proc/0/stat"));
    }
}
