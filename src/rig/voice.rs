//! How the demo speaks: one line at a time, with the seconds since its start. To standard output for people, to
//! standard error when standard output belongs to a program that reads JSON.

use std::io::{self, Write};
use std::time::Instant;

/// Speaks for the whole of one demo.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    started: Instant,
    json: bool,
}

impl Voice {
    /// From now on. `json`: standard output belongs to a program.
    pub fn new(json: bool) -> Voice {
        Voice { started: Instant::now(), json }
    }

    /// Milliseconds since the demo began.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A line with the time, for what just happened.
    pub fn tell(&self, line: &str) {
        let ms = self.elapsed_ms();
        self.say(&format!("{:>5}.{} s  {line}", ms / 1000, ms % 1000 / 100));
    }

    /// A plain line. A reader that has gone must not end the demo in the middle: it would leave more than it found.
    pub fn say(&self, line: &str) {
        let _ = if self.json { writeln!(io::stderr(), "{line}") } else { writeln!(io::stdout(), "{line}") };
    }

    /// Text without a line's end, shown at once.
    pub fn prompt(&self, text: &str) {
        let mut stdout = io::stdout();
        let _ = write!(stdout, "{text}").and_then(|()| stdout.flush());
    }
}
