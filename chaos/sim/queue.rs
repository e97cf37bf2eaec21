//! What is still to happen, earliest first; of one moment, what was made first comes first. The heap orders small keys, and
//! the events lie still beside it: moving them about was a third of all the simulation's time.

use crate::event::Event;
use crate::world::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An event that lies still.
#[derive(Debug)]
struct Lying {
    of: usize,
    event: Event,
    /// It waits for somebody who is stopped.
    held: bool,
}

/// Events with their moments.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Moment, number, and where the event lies.
    keys: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Vec<Option<Lying>>,
    free: Vec<u32>,
    made: u64,
}

impl Queue {
    /// An event of a cluster.
    pub(crate) fn push(&mut self, at: Time, of: usize, event: Event) {
        self.put(at, Lying { of, event, held: false });
    }

    /// An event whose moment came while whoever it is for is stopped, until then.
    pub(crate) fn hold(&mut self, until: Time, of: usize, event: Event) {
        self.put(until, Lying { of, event, held: true });
    }

    /// Whoever was stopped runs on: what was held for them comes now.
    pub(crate) fn release(&mut self, now: Time) {
        let keys = std::mem::take(&mut self.keys).into_vec();
        let held = |slot: u32| self.events[slot as usize].as_ref().is_some_and(|lying| lying.held);
        let moved = keys.into_iter().map(|Reverse((at, made, slot))| {
            Reverse((if held(slot) { at.min(now) } else { at }, made, slot))
        });
        self.keys = moved.collect();
    }

    fn put(&mut self, at: Time, lying: Lying) {
        self.made += 1;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.events.push(None);
                (self.events.len() - 1) as u32
            }
        };
        self.events[slot as usize] = Some(lying);
        self.keys.push(Reverse((at, self.made, slot)));
    }

    /// What comes next, if it comes by then: when, of which cluster, and what.
    pub(crate) fn pop_until(&mut self, to: Time) -> Option<(Time, usize, Event)> {
        self.keys.peek().filter(|Reverse((at, _, _))| *at <= to)?;
        let Reverse((at, _, slot)) = self.keys.pop()?;
        self.free.push(slot);
        let Lying { of, event, .. } = self.events[slot as usize].take()?;
        Some((at, of, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_when_whoever_it_is_for_is_let_go_and_nothing_else_does() {
        let mut queue = Queue::default();
        queue.hold(9, 0, Event::Client { client: 1 });
        queue.push(8, 0, Event::Client { client: 2 });
        queue.hold(4, 0, Event::Client { client: 3 });
        queue.release(5);
        let came: Vec<Time> = std::iter::from_fn(|| queue.pop_until(Time::MAX)).map(|(at, ..)| at).collect();
        assert_eq!(came, [4, 5, 8]);
    }

    #[test]
    fn events_come_by_their_moments_of_one_moment_as_they_were_made_and_none_too_early() {
        let mut queue = Queue::default();
        for (at, client) in [(5, 0), (3, 1), (6, 5), (5, 2), (3, 3), (4, 4)] {
            queue.push(at, 0, Event::Client { client });
        }
        let mut came = Vec::new();
        while let Some((at, 0, Event::Client { client })) = queue.pop_until(5) {
            came.push((at, client));
        }
        assert_eq!(came, [(3, 1), (3, 3), (4, 4), (5, 0), (5, 2)]);
    }
}
