//! A crash at every byte.
//!
//! Defined precisely: a deed is *acknowledged* once its call returned; by then its frame is on disk up to some length
//! of some segment. A crash that leaves the newest segment at `cut` bytes must leave exactly the deeds whose frames
//! end at or before `cut`: everything acknowledged by then is there, and nothing else is.

use super::*;

/// What the log must hold when `segment` ends at `cut`: the last moment that lies wholly before.
fn expected<'a>(moments: &'a [Moment], segment: &str, cut: usize) -> &'a Contents {
    let before = |m: &&Moment| {
        let (name, len) = m.segments.last().expect("a log has a segment");
        name.as_str() < segment || name == segment && *len <= cut
    };
    &moments.iter().rev().find(before).expect("the empty log").contents
}

/// The disk as it was when `segment` was the newest.
fn while_newest(disk: &MemoryDisk, segment: &str) -> MemoryDisk {
    use super::super::disk::LogDisk as _;
    let copy = disk.copy();
    for (name, _) in disk.segment_lengths() {
        if name.as_str() > segment {
            copy.remove(&name).expect("removed");
        }
    }
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_byte_of_the_last_two_segments_leaves_what_was_acknowledged_and_invents_nothing() {
    let disk = MemoryDisk::default();
    let moments = play(&disk).await;
    let segments = disk.segment_lengths();
    assert!(segments.len() >= 3, "the history fills several segments: {segments:?}");
    for (segment, len) in &segments[segments.len() - 2..] {
        for cut in 0..*len {
            for zeros in [false, true] {
                let crashed = while_newest(&disk, segment);
                crashed.edit(segment, |bytes| match zeros {
                    true => bytes[cut..].fill(0),
                    false => bytes.truncate(cut),
                });
                let mut log = open(&crashed);
                let want = expected(&moments, segment, cut);
                assert_eq!(&log.look(Clone::clone), want, "{segment} cut at {cut}, zeros: {zeros}");
                // It goes on from there, and that survives in its turn.
                let next = want.last().map_or(0, |id| id.index() + 1);
                perform(&mut log, &Deed::Vote(20)).await;
                perform(&mut log, &Deed::Append(20, next)).await;
                let held = log.look(Clone::clone);
                log.close().await;
                let again = open(&crashed);
                assert_eq!(
                    again.look(Clone::clone),
                    held,
                    "{segment} cut at {cut}, zeros: {zeros}, opened again"
                );
                again.close().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_after_any_deed_loses_nothing_acknowledged_whatever_part_of_the_unflushed_survives() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk);
    let mut must_hold = log.look(Clone::clone);
    for deed in history() {
        perform(&mut log, &deed).await;
        log.settle().await;
        let now = log.look(Clone::clone);
        // These return before they are flushed: they may be lost, together with nothing else.
        let hint = matches!(deed, Deed::Truncate(_) | Deed::Committed(..));
        for kept in [0, 1, 17, usize::MAX / 2] {
            let after = open(&disk.after_crash(kept));
            let held = after.look(Clone::clone);
            assert!(
                held == now || hint && held == must_hold,
                "{deed:?} with {kept} unflushed bytes: {held:?}"
            );
            after.close().await;
        }
        must_hold = disk_holds(&disk).await;
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_start_reads_outlives_a_power_cut_though_whoever_wrote_it_was_killed_before_it_flushed() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk);
    perform(&mut log, &Deed::Append(1, 0)).await;
    // The one deed that waits for somebody else's flush; any other is as good as this between its write and its flush.
    perform(&mut log, &Deed::Committed(1, 0)).await;
    log.settle().await;
    let killed = disk.copy();
    let again = open(&killed);
    let read = again.look(Clone::clone);
    assert_eq!(read, log.look(Clone::clone), "a process that is killed leaves what it wrote");
    let after = open(&killed.after_crash(0));
    assert_eq!(after.look(Clone::clone), read, "who began anew believed what is gone");
    for log in [log, again, after] {
        log.close().await;
    }
}

/// What is on disk for good at this moment.
async fn disk_holds(disk: &MemoryDisk) -> Contents {
    let log = open(&disk.after_crash(0));
    let held = log.look(Clone::clone);
    log.close().await;
    held
}
