//! Flushes, segments that go, and the dump.

use super::super::disk::RealDisk;
use super::*;

#[tokio::test]
async fn a_commit_hint_costs_no_flush_and_the_same_hint_twice_no_byte() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk);
    perform(&mut log, &Deed::Append(1, 0)).await;
    let flushes = disk.flushes();
    log.save_committed(Some(id(1, 0))).await.expect("noted");
    log.settle().await;
    let lengths = disk.segment_lengths();
    log.save_committed(Some(id(1, 0))).await.expect("noted");
    log.settle().await;
    assert_eq!((disk.flushes(), disk.segment_lengths()), (flushes, lengths));
    log.close().await;
}

#[tokio::test]
async fn segments_go_once_all_their_entries_are_purged_and_vote_and_identity_stay() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk);
    perform(&mut log, &Deed::Group(9)).await;
    perform(&mut log, &Deed::Vote(3)).await;
    for index in 0..60 {
        perform(&mut log, &Deed::Append(3, index)).await;
    }
    let before = disk.segment_lengths().len();
    perform(&mut log, &Deed::Purge(3, 55)).await;
    log.settle().await;
    let left = disk.segment_lengths();
    assert!(before >= 5 && left.len() <= 2, "{before} segments became {}", left.len());
    let held = log.look(Clone::clone);
    log.close().await;
    let again = open(&disk);
    assert_eq!(again.look(Clone::clone), held);
    assert_eq!(held.start.vote, Some(Vote::new(3, 7)));
    assert_eq!((held.start.raft_id, held.start.group_id, held.start.replaced), (0xA1, 9, vec![8]));
    again.close().await;
}

#[tokio::test]
async fn the_dump_is_one_json_line_a_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(RealDisk::lock(dir.path()).expect("the lock"));
    let mut log = LogStore::open(disk, 0xA1, 4096).expect("an empty log");
    for deed in [Deed::Group(0xBEEF), Deed::Vote(1), Deed::Append(1, 0), Deed::Committed(1, 0)] {
        perform(&mut log, &deed).await;
    }
    log.close().await;
    let mut out = Vec::new();
    super::super::dump(dir.path(), &|bytes| format!("{} bytes", bytes.len()), &mut out).expect("a dump");
    let lines = String::from_utf8(out).expect("text");
    let parsed: Vec<serde_json::Value> =
        lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let names: Vec<&str> = parsed.iter().filter_map(|l| l["record"].as_str()).collect();
    assert_eq!(names, ["start", "group", "vote", "entry", "committed"]);
    assert_eq!(
        parsed[2]["value"],
        serde_json::json!({"term": 1, "for": "0000000000000007", "committed": false})
    );
}
