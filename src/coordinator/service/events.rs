//! What happened, as a stream: what is kept, then what happens. Every coordinator tells the same story, because it is
//! derived from the log; one that lags tells it later.

use super::relay::refused;
use crate::core::Core;
use futures::stream;
use interrex_api::admin::EventsRequest;
use interrex_api::client::EventStream;
use interrex_api::refused::Refused;
use interrex_api::serve::Answers;
use interrex_cluster::event::Event;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

struct Telling {
    core: Arc<Core>,
    request: EventsRequest,
    applied: watch::Receiver<u64>,
    /// Changes when this coordinator learns that it was removed: from then on it would be told nothing.
    waiting: watch::Receiver<Option<String>>,
    /// Index of the newest entry whose events are in `next` or were told.
    upto: u64,
    next: VecDeque<Event>,
}

/// Tells the events asked for.
pub(crate) fn tell(core: Arc<Core>, request: EventsRequest) -> Answers<Event> {
    let (applied, waiting) = (core.node.applied(), core.node.waiting());
    let (upto, next) = (request.after, VecDeque::new());
    let mut telling = Telling { applied, waiting, core, upto, request, next };
    telling.fetch();
    Box::pin(stream::unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((event, telling))
    }))
}

/// What another coordinator tells, to its end.
pub(crate) fn passed_on(events: EventStream) -> Answers<Event> {
    Box::pin(stream::unfold(Some(events), |events| async move {
        let mut events = events?;
        match events.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(events))),
            Ok(None) => None,
            Err(why) => Some((Err(refused(why)), None)),
        }
    }))
}

impl Telling {
    async fn next(&mut self) -> Option<Result<Event, Refused>> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Some(Ok(event));
            }
            if !self.request.follow {
                return None;
            }
            tokio::select! {
                changed = self.applied.changed() => changed.ok()?,
                changed = self.waiting.changed() => {
                    changed.ok()?;
                    if let Some(line) = self.core.node.outside() {
                        return Some(Err(Refused::NotMember(line)));
                    }
                }
                // An end would be taken for the end of the story.
                () = self.core.ended() => {
                    return Some(Err(Refused::Unavailable("this coordinator stops; another one goes on".to_owned())));
                }
            }
            self.fetch();
        }
    }

    /// All events of an entry appear at once, so an index tells how far this has come.
    fn fetch(&mut self) {
        let wanted = |event: &&Event| self.request.cluster.as_ref().is_none_or(|name| event.cluster == *name);
        let (newest, events) = self.core.node.read(|records| {
            let newest = records.events_after(self.upto).last().map(|event| event.index);
            (newest, records.events_after(self.upto).filter(wanted).cloned().collect::<Vec<_>>())
        });
        self.upto = newest.unwrap_or(self.upto);
        self.next.extend(events);
    }
}
