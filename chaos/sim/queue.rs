//! What is still to happen, earliest first; of one moment, what was made first comes first. The heap orders small keys, and
//! the events lie still beside it: moving them about was a third of all the simulation's time.

use crate::event::Event;
use crate::world::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events with their moments.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Moment, number, and where the event lies.
    keys: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Vec<Option<(usize, Event)>>,
    free: Vec<u32>,
    made: u64,
}

impl Queue {
    /// An event of a cluster.
    pub(crate) fn push(&mut self, at: Time, of: usize, event: Event) {
        self.made += 1;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.events.push(None);
                (self.events.len() - 1) as u32
            }
        };
        self.events[slot as usize] = Some((of, event));
        self.keys.push(Reverse((at, self.made, slot)));
    }

    /// What comes next: when, of which cluster, and what.
    pub(crate) fn pop(&mut self) -> Option<(Time, usize, Event)> {
        let Reverse((at, _, slot)) = self.keys.pop()?;
        self.free.push(slot);
        let (of, event) = self.events[slot as usize].take()?;
        Some((at, of, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_their_moments_and_of_one_moment_as_they_were_made() {
        let mut queue = Queue::default();
        for (at, client) in [(5, 0), (3, 1), (5, 2), (3, 3), (4, 4)] {
            queue.push(at, 0, Event::Client { client });
        }
        let mut came = Vec::new();
        while let Some((at, 0, Event::Client { client })) = queue.pop() {
            came.push((at, client));
        }
        assert_eq!(came, [(3, 1), (3, 3), (4, 4), (5, 0), (5, 2)]);
    }
}
