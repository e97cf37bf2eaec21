//! The play of a run: one line an event, in the words that the rules have for it. It is kept only when somebody reads
//! it, or as a hash when two runs are to be compared.

use crate::world::Time;
use interrex_cluster::ids::ClusterName;

/// Where the play goes.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Option<Vec<String>>,
    /// Which cluster the lines are about; empty where there is one.
    about: String,
}

impl Trace {
    /// A play that is kept.
    pub(crate) fn kept() -> Self {
        Self { lines: Some(Vec::new()), about: String::new() }
    }

    pub(crate) fn on(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn say(&mut self, now: Time, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let (s, us, about) = (now / 1_000_000, now % 1_000_000, &self.about);
            lines.push(format!("{s:>4}.{us:06} {about}{}", line()));
        }
    }

    /// A line about no cluster in particular.
    pub(crate) fn say_of_all(&mut self, now: Time, line: impl FnOnce() -> String) {
        let about = std::mem::take(&mut self.about);
        self.say(now, line);
        self.about = about;
    }

    /// From here on the lines are about this cluster.
    pub(crate) fn is_about(&mut self, cluster: &ClusterName) {
        if self.on() {
            self.about = format!("[{cluster}] ");
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// FNV-1a over the lines: what two plays have in common exactly when they are the same.
pub fn hash(lines: &[String]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in lines.iter().flat_map(|line| line.bytes().chain([b'\n'])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    hash
}
