//! What the coordinators log, as lines of the play: who said it, and every field. Only what is ours: the libraries below
//! put the machine's own time into their words.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

#[derive(Default)]
struct Heard {
    speaker: String,
    lines: Vec<String>,
}

/// Hears the processes of one run. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose turn it is.
    pub(crate) fn turn_of(&self, speaker: &str) {
        let mut heard = self.heard();
        heard.speaker.clear();
        heard.speaker.push_str(speaker);
    }

    /// Hears a line that nobody logged.
    pub(crate) fn hear(&self, line: String) {
        self.heard().lines.push(line);
    }

    /// What was said since this was last asked.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.heard().lines)
    }
}

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        if *about.level() > Level::INFO || !about.target().starts_with("interrex") {
            return;
        }
        let mut words = Words::default();
        event.record(&mut words);
        let mut heard = self.heard();
        let line = format!("{}: {}{}", heard.speaker, words.message, words.fields);
        heard.lines.push(line);
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string never fails.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
