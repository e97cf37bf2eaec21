//! The scenes.

use std::time::{Duration, Instant};

use super::super::*;
use super::group::{Group, PATIENCE};

fn letters(n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("entry {i}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_forms_and_every_reply_is_applied_once_everywhere_though_its_leader_dies() {
    let mut group = Group::of(3);
    group.start_all().await;
    for (i, entry) in letters(20).iter().enumerate() {
        assert_eq!(group.propose(entry).await, (i + 1).to_string());
    }
    let first = group.leader().await;
    group.kill(&first).await;
    let died = Instant::now();
    let second = group.leader().await;
    let took = died.elapsed();
    assert_ne!(first, second);
    assert!(took < Duration::from_secs(2), "a new leader after {took:?}");
    for entry in &letters(40)[20..] {
        group.propose(entry).await;
    }
    // Restarted from disk, it catches up.
    group.start(&first).await;
    group.everywhere(&letters(40)).await;
    group.stop().await;
}
