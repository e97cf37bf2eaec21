//! How long a primary may serve: the arithmetic of leases, on the holder's side.
//!
//! A lease is counted from the moment its request was *sent*, on the holder's own boot clock, less a margin for drift:
//! whoever granted it counts from a later moment, so the holder always stops first. Two kinds of evidence renew it: a
//! coordinator's grant, and, while commits wait for standbys, a beat (a small synchronous commit of this epoch), which
//! proves that nobody has sealed enough of them. A beat's lease is worth nothing to an asynchronous primary, and
//! asynchronous commits begin only under a grant whose request was sent after `k = 0` was learned (PROTOCOL.md clause
//! 4): the record has `k = 0` by then, so that whoever takes over knows which lease to wait for.

use crate::ids::Epoch;
use crate::time::Instant;
use std::time::Duration;

/// What a primary holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lease {
    epoch: Epoch,
    granted: Option<Span>,
    beaten: Option<Span>,
}

/// A lease by one piece of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    sent: Instant,
    until: Instant,
}

/// Part of a lease by which clocks may drift, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin(pub u32);

impl Margin {
    /// What is left of `ttl` for the holder.
    pub fn held(self, ttl: Duration) -> Duration {
        ttl * 100u32.saturating_sub(self.0) / 100
    }
}

impl Lease {
    /// Nothing is held in `epoch` yet.
    pub fn none(epoch: Epoch) -> Self {
        Self { epoch, granted: None, beaten: None }
    }

    /// The epoch it is for.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A coordinator granted `ttl` to a request that was sent at `sent`.
    pub fn grant(&mut self, epoch: Epoch, sent: Instant, ttl: Duration, margin: Margin) {
        if self.enter(epoch) {
            self.granted = later(self.granted, sent, margin.held(ttl));
        }
    }

    /// A beat begun at `sent` came back. To be called only for a beat that waited for standbys: `k >= 1` proved to be
    /// in force, and no warning (clauses 6 and 7).
    pub fn beat(&mut self, epoch: Epoch, sent: Instant, ttl: Duration, margin: Margin) {
        if self.enter(epoch) {
            self.beaten = later(self.beaten, sent, margin.held(ttl));
        }
    }

    /// Until when a primary may serve that runs with `k` in force. Absent: not at all.
    pub fn until(&self, k: u32) -> Option<Instant> {
        let granted = self.granted.map(|span| span.until);
        if k == 0 { granted } else { granted.max(self.beaten.map(|span| span.until)) }
    }

    /// Whether asynchronous commits may begin: under a grant asked for after `k = 0` was learned, at `learned`.
    pub fn permits_async(&self, learned: Instant, now: Instant) -> bool {
        self.granted.is_some_and(|span| span.sent > learned && now < span.until)
    }

    /// Whether a primary with `k` in force may serve at `now`.
    pub fn covers(&self, epoch: Epoch, k: u32, now: Instant) -> bool {
        self.epoch == epoch && self.until(k).is_some_and(|until| now < until)
    }

    /// Evidence of an older epoch is void; that of a newer one drops what was held before.
    fn enter(&mut self, epoch: Epoch) -> bool {
        if epoch > self.epoch {
            *self = Self::none(epoch);
        }
        epoch == self.epoch
    }
}

/// Answers overtake one another: a lease is never shortened by an answer to an older request.
fn later(held: Option<Span>, sent: Instant, lasts: Duration) -> Option<Span> {
    let new = Span { sent, until: sent.plus(lasts) };
    match held {
        Some(old) if old.sent >= sent => Some(old),
        Some(_) | None => Some(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(3);
    const MARGIN: Margin = Margin(5);
    const E7: Epoch = Epoch(7);

    fn granted_at(sent: u64) -> Lease {
        let mut lease = Lease::none(E7);
        lease.grant(E7, Instant(sent), TTL, MARGIN);
        lease
    }

    #[test]
    fn a_lease_is_counted_from_the_request_less_the_margin() {
        let lease = granted_at(1_000);
        assert_eq!(lease.until(1), Some(Instant(1_000 + 2_850)));
        assert!(lease.covers(E7, 1, Instant(3_849)));
        assert!(!lease.covers(E7, 1, Instant(3_850)));
    }

    #[test]
    fn a_beat_renews_a_synchronous_primary_s_lease() {
        let mut lease = granted_at(1_000);
        lease.beat(E7, Instant(2_000), TTL, MARGIN);
        assert_eq!(lease.until(1), Some(Instant(4_850)));
    }

    #[test]
    fn a_beat_is_worth_nothing_to_an_asynchronous_primary() {
        let mut lease = granted_at(1_000);
        lease.beat(E7, Instant(2_000), TTL, MARGIN);
        assert_eq!(lease.until(0), Some(Instant(3_850)));
        let mut only_beaten = Lease::none(E7);
        only_beaten.beat(E7, Instant(2_000), TTL, MARGIN);
        assert_eq!(only_beaten.until(0), None);
    }

    #[test]
    fn asynchronous_commits_wait_for_a_grant_asked_for_after_they_were_decided() {
        let mut lease = granted_at(1_000);
        assert!(!lease.permits_async(Instant(1_000), Instant(1_500)));
        lease.beat(E7, Instant(1_200), TTL, MARGIN);
        assert!(!lease.permits_async(Instant(1_000), Instant(1_500)), "a beat is no grant");
        lease.grant(E7, Instant(1_001), TTL, MARGIN);
        assert!(lease.permits_async(Instant(1_000), Instant(1_500)));
        assert!(!lease.permits_async(Instant(1_000), Instant(3_851)));
    }

    #[test]
    fn an_answer_that_was_overtaken_shortens_nothing() {
        let mut lease = granted_at(2_000);
        lease.grant(E7, Instant(1_000), TTL, MARGIN);
        assert_eq!(lease, granted_at(2_000));
    }

    #[test]
    fn a_new_epoch_starts_with_nothing_and_an_old_one_gives_nothing() {
        let mut lease = granted_at(2_000);
        lease.grant(Epoch(8), Instant(2_100), TTL, MARGIN);
        assert_eq!((lease.epoch(), lease.until(1)), (Epoch(8), Some(Instant(4_950))));
        lease.grant(E7, Instant(9_000), TTL, MARGIN);
        lease.beat(E7, Instant(9_000), TTL, MARGIN);
        assert_eq!(lease.until(1), Some(Instant(4_950)));
        assert!(!lease.covers(E7, 1, Instant(2_200)));
    }
}
