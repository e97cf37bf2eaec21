//! Catches what the server says beside its answer. sqlx 0.9 hands notices to nobody but `tracing` (target
//! `sqlx::postgres::notice`), emitted while the very future of the statement is polled; so the statement runs under
//! a subscriber of its own that keeps warnings and worse. Whatever the program's own subscriber and filter are makes
//! no difference, and another connection's notices cannot get in.
//!
//! The agent's beat and the ledger's writer share this ear and nothing else: both have to know whether a success came
//! with a warning (F2), and neither could learn it from sqlx.
//!
//! Limit: a build of the whole program with tracing's `max_level_off` would cut the wire. Whoever draws conclusions
//! from silence makes the server raise a warning first, and hears it; the ledger's scene "a cancelled wait is warned"
//! fails then.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

const TARGET: &str = "sqlx::postgres::notice";

/// An ear for the warnings of one connection at a time. Made once and kept: each new dispatcher makes `tracing`
/// reconsider every callsite of the program.
#[derive(Debug)]
pub struct Notices {
    heard: Arc<Mutex<Vec<String>>>,
    dispatch: Dispatch,
}

impl Default for Notices {
    fn default() -> Self {
        Self::new()
    }
}

impl Notices {
    /// An ear that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        let heard = Arc::default();
        let dispatch = Dispatch::new(Ear { heard: Arc::clone(&heard) });
        Notices { heard, dispatch }
    }

    /// Runs `statement` and gives its result together with the warnings that came with it, oldest first.
    pub async fn during<T>(&self, statement: impl Future<Output = T>) -> (T, Vec<String>) {
        self.take();
        let result = statement.with_subscriber(self.dispatch.clone()).await;
        (result, self.take())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Ear {
    heard: Arc<Mutex<Vec<String>>>,
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    // tracing orders levels by verbosity: ERROR < WARN < INFO.
    metadata.target() == TARGET && *metadata.level() <= Level::WARN
}

impl Subscriber for Ear {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_warning(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        if is_warning(event.metadata()) {
            let mut text = Text::default();
            event.record(&mut text);
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(text.0);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::event;
    use tracing::subscriber::{NoSubscriber, with_default};

    use super::*;

    fn server_says(level: Level) {
        match level {
            Level::WARN => event!(target: TARGET, Level::WARN, message = "careful"),
            _ => event!(target: TARGET, Level::INFO, message = "by the way"),
        }
    }

    #[test]
    fn a_warning_is_heard_though_the_program_listens_to_nothing() {
        with_default(NoSubscriber::default(), || {
            // The callsite is known, and cached as of no interest, before anybody wants it.
            server_says(Level::WARN);
            let notices = Notices::new();
            let mut statement = std::pin::pin!(notices.during(async {
                server_says(Level::INFO);
                server_says(Level::WARN);
                7
            }));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(result) = statement.as_mut().poll(&mut context) else {
                panic!("it waits for nothing")
            };
            assert_eq!(result, (7, vec!["careful".to_owned()]));
        });
    }

    #[test]
    fn a_warning_outside_the_statement_is_not_its_own() {
        let notices = Notices::new();
        server_says(Level::WARN);
        assert_eq!(notices.take(), Vec::<String>::new());
    }
}
