//! Scenes of the list of coordinators: what is believed, what is kept, and what a disk that fails or stalls does to it.

use super::*;
use crate::roster::file::FILE;
use crate::shelf::{Flawed, MemoryShelf};
use std::sync::atomic::Ordering;

fn begin(shelf: &(impl Shelf + Clone)) -> Arc<Coordinators> {
    Arc::new(Coordinators::begin(Arc::new(shelf.clone()), written()))
}

/// Waits until a writing ended, if one was begun.
async fn ended(writing: Option<JoinHandle<()>>) {
    if let Some(writing) = writing {
        writing.await.unwrap();
    }
}

fn roster(group: u64, index: u64, all: &[(&str, &str)]) -> Roster {
    let coordinators = all.iter().map(|(name, at)| (name.parse().unwrap(), (*at).to_owned())).collect();
    Roster { id: RosterId { group, index }, coordinators, replaced: BTreeSet::new() }
}

fn written() -> Vec<String> {
    vec!["10.0.0.1:7400".to_owned(), "n2=10.0.0.2:7400".to_owned()]
}

#[tokio::test]
async fn what_was_told_is_added_kept_and_held_against_the_file() {
    let shelf = MemoryShelf::default();
    let coordinators = begin(&shelf);
    assert_eq!((coordinators.addresses(), coordinators.stale()), (written(), Vec::new()));
    let all = [("n2", "10.0.0.2:7400"), ("n4", "10.0.0.4:7400")];
    ended(coordinators.take(roster(7, 30, &all))).await;
    let addresses = ["10.0.0.1:7400", "n2=10.0.0.2:7400", "n4=10.0.0.4:7400"];
    assert_eq!(coordinators.addresses(), addresses);
    let stale = ["names 10.0.0.1:7400, which is none any more", "lacks n4=10.0.0.4:7400"];
    assert_eq!(coordinators.stale(), stale);
    let again = begin(&shelf);
    assert_eq!((again.addresses(), again.knows()), (coordinators.addresses(), coordinators.knows()));
}

#[tokio::test]
async fn an_older_list_of_the_same_group_is_not_taken_and_another_group_s_is() {
    let shelf = MemoryShelf::default();
    let coordinators = begin(&shelf);
    ended(coordinators.take(roster(7, 30, &[("n4", "10.0.0.4:7400")]))).await;
    ended(coordinators.take(roster(7, 29, &[("n3", "10.0.0.3:7400")]))).await;
    assert!(coordinators.addresses().contains(&"n4=10.0.0.4:7400".to_owned()));
    ended(coordinators.take(roster(8, 12, &[("n3", "10.0.0.3:7400")]))).await;
    assert_eq!(coordinators.addresses().last().map(String::as_str), Some("n3=10.0.0.3:7400"));
}

#[tokio::test]
async fn the_group_that_was_replaced_counts_for_nothing_any_more_not_even_after_a_restart() {
    let shelf = MemoryShelf::default();
    let coordinators = begin(&shelf);
    assert!(coordinators.counts(Some(7)) && coordinators.counts(None), "nothing is known yet");
    ended(coordinators.take(roster(7, 30, &[("n2", "10.0.0.2:7400")]))).await;
    assert!(coordinators.counts(Some(7)) && !coordinators.counts(Some(8)) && coordinators.counts(None));
    assert!(!coordinators.left(Some(8)), "its leader has yet to tell of it");
    ended(coordinators.take(roster(8, 2, &[("n2", "10.0.0.2:7400")]))).await;
    // Whoever has the old logs leads again.
    ended(coordinators.take(roster(7, 31, &[("n3", "10.0.0.3:7400")]))).await;
    for coordinators in [coordinators, begin(&shelf)] {
        assert_eq!(coordinators.knows(), Some(RosterId { group: 8, index: 2 }));
        assert!(coordinators.left(Some(7)) && !coordinators.counts(Some(7)) && coordinators.counts(Some(8)));
    }
}

#[tokio::test]
async fn a_list_closes_the_way_to_the_groups_that_its_own_replaced_also_to_who_never_knew_them() {
    let shelf = MemoryShelf::default();
    let coordinators = begin(&shelf);
    let newest = || Roster { replaced: [7, 8].into(), ..roster(9, 2, &[("n2", "10.0.0.2:7400")]) };
    ended(coordinators.take(newest())).await;
    ended(coordinators.take(roster(8, 40, &[("n3", "10.0.0.3:7400")]))).await;
    ended(coordinators.take(roster(7, 50, &[("n4", "10.0.0.4:7400")]))).await;
    for coordinators in [coordinators, begin(&shelf)] {
        assert_eq!(coordinators.knows(), Some(newest().id));
        assert!(coordinators.left(Some(7)) && coordinators.left(Some(8)) && !coordinators.left(Some(9)));
    }
}

#[tokio::test]
async fn who_lets_an_instance_wait_is_gone_over_to_only_where_its_group_replaced_the_known_one() {
    let shelf = MemoryShelf::default();
    let coordinators = begin(&shelf);
    let at_n2 = [("n2", "10.0.0.2:7400")];
    ended(coordinators.hear(roster(7, 30, &at_n2))).await;
    ended(coordinators.hear(roster(5, 40, &at_n2))).await;
    assert_eq!(coordinators.knows(), Some(RosterId { group: 7, index: 30 }), "a stranger");
    ended(coordinators.hear(Roster { replaced: [7].into(), ..roster(8, 2, &at_n2) })).await;
    assert_eq!(coordinators.knows(), Some(RosterId { group: 8, index: 2 }));
    assert!(coordinators.left(Some(7)));
}

#[test]
fn the_list_of_an_older_build_is_read() {
    let shelf = MemoryShelf::default();
    let text = r#"{"format":1,"group":"0000000000000007","index":3,"coordinators":{"n2":"10.0.0.2:7400"}}"#;
    shelf.replace(FILE, text.as_bytes()).unwrap();
    let coordinators = begin(&shelf);
    assert_eq!(coordinators.knows(), Some(RosterId { group: 7, index: 3 }));
}

#[test]
fn a_list_that_is_damaged_or_newer_keeps_nobody_from_starting() {
    let shelf = MemoryShelf::default();
    for text in ["{", r#"{"format":2,"group":"7","index":1,"coordinators":{}}"#] {
        shelf.replace(FILE, text.as_bytes()).unwrap();
        let coordinators = begin(&shelf);
        assert_eq!((coordinators.addresses(), coordinators.knows()), (written(), None), "{text}");
    }
}

const AT_N2: [(&str, &str); 1] = [("n2", "10.0.0.2:7400")];
const AT_N4: [(&str, &str); 1] = [("n4", "10.0.0.4:7400")];

#[tokio::test]
async fn another_group_s_list_that_the_disk_refuses_is_written_later_and_nothing_of_either_group_counts_before()
 {
    let shelf = Flawed::default();
    let coordinators = begin(&shelf);
    ended(coordinators.take(roster(7, 30, &AT_N2))).await;
    shelf.fails.store(2, Ordering::SeqCst);
    ended(coordinators.take(roster(8, 2, &AT_N2))).await;
    // Told once more, as with each report.
    ended(coordinators.take(roster(8, 2, &AT_N2))).await;
    assert!(!coordinators.counts(Some(7)) && !coordinators.counts(Some(8)));
    assert!(begin(&shelf).counts(Some(7)), "it died here: nothing of the new group was obeyed");
    ended(coordinators.settle()).await;
    for coordinators in [coordinators, begin(&shelf)] {
        assert!(coordinators.counts(Some(8)) && !coordinators.counts(Some(7)) && coordinators.left(Some(7)));
    }
}

#[tokio::test]
async fn a_newer_list_of_the_same_group_holds_at_once_and_is_written_when_the_disk_takes_it_again() {
    let shelf = Flawed::default();
    let coordinators = begin(&shelf);
    ended(coordinators.take(roster(7, 30, &AT_N2))).await;
    shelf.fails.store(1, Ordering::SeqCst);
    ended(coordinators.take(Roster { replaced: [6].into(), ..roster(7, 31, &AT_N4) })).await;
    assert!(
        coordinators.addresses().contains(&"n4=10.0.0.4:7400".to_owned()) && coordinators.counts(Some(7))
    );
    assert!(!begin(&shelf).left(Some(6)), "the disk refused it");
    ended(coordinators.settle()).await;
    assert_eq!((begin(&shelf).knows(), begin(&shelf).left(Some(6))), (coordinators.knows(), true));
    assert!(coordinators.settle().is_none(), "nothing is due any more");
}

#[tokio::test]
async fn nobody_who_asks_waits_for_a_disk_that_stalls_and_one_writing_is_under_way_at_a_time() {
    let shelf = Flawed::default();
    let coordinators = begin(&shelf);
    ended(coordinators.take(roster(7, 30, &AT_N2))).await;
    let stalls = shelf.stalls.clone().write_owned().await;
    let writing = coordinators.take(roster(7, 31, &AT_N4));
    assert!(coordinators.take(roster(7, 32, &AT_N2)).is_none() && coordinators.settle().is_none());
    let newest = Some(RosterId { group: 7, index: 32 });
    assert_eq!(
        (coordinators.knows(), coordinators.counts(Some(7)), coordinators.left(Some(7))),
        (newest, true, false)
    );
    assert!(coordinators.take(roster(8, 2, &AT_N2)).is_none());
    assert!(coordinators.left(Some(7)) && !coordinators.counts(Some(8)), "not before it is on disk");
    drop(stalls);
    ended(writing).await;
    for coordinators in [coordinators, begin(&shelf)] {
        assert!(
            coordinators.counts(Some(8)) && coordinators.left(Some(7)),
            "the newest list was written last"
        );
    }
}

#[tokio::test]
async fn a_list_that_names_its_own_group_among_the_replaced_turns_nobody_away_from_it() {
    let shelf = MemoryShelf::default();
    let coordinators = begin(&shelf);
    ended(coordinators.take(Roster { replaced: [7, 8].into(), ..roster(8, 2, &AT_N2) })).await;
    for coordinators in [coordinators, begin(&shelf)] {
        assert!(coordinators.counts(Some(8)) && !coordinators.left(Some(8)) && coordinators.left(Some(7)));
    }
}
