//! What was on disk and does not read back refuses the start.

use super::super::disk::LogDisk as _;
use super::super::recover::LogError;
use super::*;

fn refusal(disk: &MemoryDisk) -> String {
    match LogStore::open(Arc::new(disk.clone()), 1, SEGMENT) {
        Err(e) => e.to_string(),
        Ok(log) => panic!("it opened with {:?}", log.look(Clone::clone)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_anywhere_refuses_to_start_and_names_file_and_offset() {
    let disk = MemoryDisk::default();
    play(&disk).await;
    for (segment, len) in disk.segment_lengths() {
        for byte in 0..len {
            let bad = disk.copy();
            bad.edit(&segment, |bytes| bytes[byte] ^= 1 << (byte % 8));
            let line = refusal(&bad);
            let offset: usize = line
                .split_once("at offset ")
                .and_then(|(_, rest)| rest.split(':').next()?.parse().ok())
                .unwrap_or_else(|| panic!("no offset in {line:?}"));
            assert!(line.contains(&segment), "{line}");
            assert!(offset <= byte && byte - offset < 200, "byte {byte}: {line}");
        }
    }
}

#[tokio::test]
async fn a_missing_segment_refuses_to_start_by_its_name() {
    let disk = MemoryDisk::default();
    play(&disk).await;
    let segments = disk.segment_lengths();
    let (middle, _) = &segments[segments.len() - 2];
    disk.remove(middle).expect("removed");
    let line = refusal(&disk);
    assert!(line.contains(middle) && line.contains("is missing"), "{line}");
}

#[tokio::test]
async fn a_newer_format_refuses_to_start_in_one_line_and_changes_nothing() {
    let disk = MemoryDisk::default();
    play(&disk).await;
    disk.replace("format", b"2\n").expect("written");
    let before = disk.segment_lengths();
    let refused = LogStore::open(Arc::new(disk.clone()), 1, SEGMENT).err();
    assert!(matches!(refused, Some(LogError::Newer { ref found, .. }) if found == "2"), "{refused:?}");
    assert_eq!(disk.segment_lengths(), before);
}

#[tokio::test]
async fn a_failed_flush_is_told_and_is_the_last_thing_the_log_does() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk);
    perform(&mut log, &Deed::Vote(1)).await;
    let held = log.look(Clone::clone);
    disk.fail_flushes();
    log.save_vote(&Vote::new(2, 7)).await.expect_err("the vote is not on disk");
    let flushes = disk.flushes();
    log.save_vote(&Vote::new(3, 7)).await.expect_err("nothing is tried again");
    assert_eq!(disk.flushes(), flushes);
    log.close().await;
    let again = open(&disk.after_crash(0));
    assert_eq!(again.look(Clone::clone), held);
    again.close().await;
}
