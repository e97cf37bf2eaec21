//! A register that clients change by compare-and-set, judged from their answers alone.
//!
//! Every value is written by one attempt only, so the changes that came about are a chain: each one names the value that it
//! replaced. That makes linearizability a matter of one pass instead of a search: each change takes effect between its
//! call and its answer, in the order of the chain; a value that was read was there at some moment between the call of the
//! read and its answer. Reads may be old where nothing holds them up (a primary that is deposed answers readers until
//! its lease is over): by how much is told, and whoever promises better judges it.

use std::collections::{BTreeMap, BTreeSet};

/// What a register holds.
pub type Value = u64;

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was made, and acknowledged at this moment.
    Made(u64),
    /// There was no answer that says: it may have been made, at any later time.
    Unknown,
}

/// An attempt to change the register. One that found another value is none: it is a [`Read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The value that it replaces.
    pub from: Value,
    /// The value that it writes; no other attempt writes it.
    pub to: Value,
    /// When it was sent, milliseconds of one clock for all.
    pub called: u64,
    /// How it ended.
    pub answer: Answer,
}

/// A value that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// What was seen.
    pub value: Value,
    /// When it was asked for, by the same clock.
    pub called: u64,
    /// When the answer was there.
    pub answered: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// What cannot have been, a line each.
    pub violations: Vec<String>,
    /// Reads of a value that had been replaced before they were asked for.
    pub stale: u64,
    /// The oldest of these: for how long its value had been replaced, milliseconds.
    pub stalest_ms: u64,
}

/// Judges a register that held `first` before everything, and holds `last` after it.
#[must_use]
pub fn judge(first: Value, last: Value, changes: &[Change], reads: &[Read]) -> Judged {
    let mut judged = Judged::default();
    let chain = match chain(first, last, changes) {
        Ok(chain) => chain,
        Err(why) => {
            judged.violations.push(why);
            return judged;
        }
    };
    let there: BTreeSet<Value> = chain.iter().map(|change| change.to).chain([first]).collect();
    for change in changes.iter().filter(|change| !there.contains(&change.to)) {
        if let Answer::Made(at) = change.answer {
            let Change { from, to, .. } = change;
            judged
                .violations
                .push(format!("the change from {from} to {to}, acknowledged at {at} ms, is lost"));
        }
    }
    let mut earliest = 0;
    for change in &chain {
        earliest = change.called.max(earliest);
        if let Answer::Made(at) = change.answer
            && earliest > at
        {
            let Change { from, to, .. } = change;
            judged.violations.push(format!(
                "the change from {from} to {to} was acknowledged at {at} ms, before {from} can have been there ({earliest} ms)"
            ));
        }
    }
    reads.iter().for_each(|read| seen(read, first, &there, &chain, &mut judged));
    judged
}

/// The changes that came about, in their order: those that lead from the first value to the last.
fn chain(first: Value, last: Value, changes: &[Change]) -> Result<Vec<Change>, String> {
    let mut by_to = BTreeMap::new();
    for change in changes {
        if by_to.insert(change.to, *change).is_some() {
            return Err(format!("{} was written by two attempts: the clients are wrong", change.to));
        }
    }
    let (mut chain, mut value) = (Vec::new(), last);
    while value != first {
        let Some(change) = by_to.remove(&value) else {
            return Err(format!("the register came to hold {value}, which nobody wrote before it"));
        };
        value = change.from;
        chain.push(change);
    }
    chain.reverse();
    Ok(chain)
}

/// A value that was read: whether it can have been there, and how old it was.
fn seen(read: &Read, first: Value, there: &BTreeSet<Value>, chain: &[Change], judged: &mut Judged) {
    let Read { value, called, answered } = *read;
    if !there.contains(&value) {
        judged
            .violations
            .push(format!("{value} was read at {answered} ms and is not in the register's history"));
        return;
    }
    let written = chain.iter().position(|change| change.to == value);
    if let Some(change) = written.and_then(|at| chain.get(at))
        && change.called > answered
    {
        let at = change.called;
        judged
            .violations
            .push(format!("{value} was read at {answered} ms, and written at {at} ms at the earliest"));
    }
    debug_assert!(written.is_some() || value == first);
    let replaced = chain.get(written.map_or(0, |at| at + 1));
    // One without an answer may have come about just before the next one that has: each one's value was there for it.
    let surely = replaced.and_then(|_| {
        let later = chain.iter().skip(written.map_or(0, |at| at + 1));
        later
            .filter_map(|change| match change.answer {
                Answer::Made(at) => Some(at),
                Answer::Unknown => None,
            })
            .min()
    });
    if let Some(age) = surely.and_then(|at| called.checked_sub(at)).filter(|age| *age > 0) {
        judged.stale += 1;
        judged.stalest_ms = judged.stalest_ms.max(age);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(from: Value, to: Value, called: u64, at: u64) -> Change {
        Change { from, to, called, answer: Answer::Made(at) }
    }

    fn unknown(from: Value, to: Value, called: u64) -> Change {
        Change { from, to, called, answer: Answer::Unknown }
    }

    fn read(value: Value, called: u64, answered: u64) -> Read {
        Read { value, called, answered }
    }

    fn told(last: Value, changes: &[Change], reads: &[Read]) -> String {
        judge(0, last, changes, reads).violations.join("; ")
    }

    #[test]
    fn changes_that_follow_each_other_are_sound_and_an_unknown_one_may_be_among_them_or_not() {
        let changes = [made(0, 1, 10, 20), unknown(1, 2, 30), made(2, 3, 50, 60), unknown(3, 4, 70)];
        assert_eq!(told(3, &changes, &[read(1, 15, 25), read(2, 40, 45), read(3, 65, 70)]), "");
        assert_eq!(told(4, &changes, &[]), "");
    }

    #[test]
    fn an_acknowledged_change_that_is_not_there_is_lost() {
        let changes = [made(0, 1, 10, 20), made(1, 2, 30, 40), made(1, 3, 50, 60)];
        assert_eq!(told(3, &changes, &[]), "the change from 1 to 2, acknowledged at 40 ms, is lost");
        assert_eq!(told(1, &[made(0, 1, 10, 20), unknown(1, 2, 30)], &[]), "");
        let told = told(7, &changes, &[]);
        assert_eq!(told, "the register came to hold 7, which nobody wrote before it");
    }

    #[test]
    fn nothing_is_answered_before_it_can_have_happened() {
        let told_late = told(2, &[made(0, 1, 50, 60), made(1, 2, 10, 40)], &[]);
        assert!(
            told_late.contains("acknowledged at 40 ms, before 1 can have been there (50 ms)"),
            "{told_late}"
        );
        assert_eq!(told(2, &[made(0, 1, 50, 60), made(1, 2, 10, 55)], &[]), "", "they overlap");
        let early = told(1, &[made(0, 1, 50, 60)], &[read(1, 10, 40)]);
        assert!(early.contains("1 was read at 40 ms, and written at 50 ms at the earliest"), "{early}");
    }

    #[test]
    fn a_value_that_was_read_and_never_came_to_be_is_a_violation() {
        let changes = [made(0, 1, 10, 20), unknown(1, 2, 30), made(1, 3, 50, 60)];
        assert_eq!(
            told(3, &changes, &[read(2, 35, 36)]),
            "2 was read at 36 ms and is not in the register's history"
        );
    }

    #[test]
    fn old_reads_are_counted_by_how_long_their_value_had_been_replaced() {
        let changes = [made(0, 1, 10, 20), unknown(1, 2, 30), made(2, 3, 50, 60)];
        let judged =
            judge(0, 3, &changes, &[read(0, 15, 30), read(0, 25, 26), read(1, 55, 70), read(1, 160, 161)]);
        assert_eq!(judged.violations, Vec::<String>::new());
        // The second of 0, replaced at 20 ms; the second of 1, replaced before 60 ms.
        assert_eq!((judged.stale, judged.stalest_ms), (2, 100));
    }

    #[test]
    fn clients_that_write_one_value_twice_cannot_be_judged() {
        let changes = [made(0, 1, 10, 20), made(1, 1, 30, 40)];
        assert_eq!(told(1, &changes, &[]), "1 was written by two attempts: the clients are wrong");
    }

    /// Every order of a few attempts, played out: what one pass finds is what a search finds.
    #[test]
    fn one_pass_agrees_with_a_search_over_all_orders() {
        let mut seed = 7_u64;
        let mut below = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        let (mut sound, mut broken) = (0, 0);
        for _ in 0..20_000 {
            let changes: Vec<Change> = (1..=4)
                .map(|to| {
                    let called = below(40);
                    let answer =
                        if below(3) == 0 { Answer::Unknown } else { Answer::Made(called + below(20)) };
                    Change { from: below(to), to, called, answer }
                })
                .collect();
            let last = below(5);
            let found = judge(0, last, &changes, &[]).violations.is_empty();
            assert_eq!(found, exists(0, last, &changes, 0), "{last}: {changes:?}");
            match found {
                true => sound += 1,
                false => broken += 1,
            }
        }
        assert!(sound > 500 && broken > 500, "{sound} sound, {broken} broken: one of them says little");
    }

    /// Whether some order of the attempts leads there, none before `now`. Those without an answer may be left out.
    fn exists(value: Value, last: Value, changes: &[Change], now: u64) -> bool {
        let all_made = changes.iter().all(|change| change.answer == Answer::Unknown);
        if value == last && all_made {
            return true;
        }
        changes.iter().enumerate().filter(|(_, change)| change.from == value).any(|(at, change)| {
            let at_ms = change.called.max(now);
            let in_time = match change.answer {
                Answer::Made(answered) => at_ms <= answered,
                Answer::Unknown => true,
            };
            let rest: Vec<Change> =
                changes.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| *c).collect();
            in_time && exists(change.to, last, &rest, at_ms)
        })
    }
}
