//! Scenes of the log's bytes. The fixtures were written once and stay: what level 1 wrote is read for ever, and means
//! what it meant. A new command adds a line; a line that was released never changes.

use super::*;
use crate::convert::samples;

const ENTRIES: &str = include_str!("entries-1.hex");
const SNAPSHOT: &str = include_str!("snapshot-1.hex");
const LATER_SNAPSHOT: &str = include_str!("snapshot-1-level-2.hex");
const THIRD_SNAPSHOT: &str = include_str!("snapshot-1-level-3.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kept_snapshot() -> Snapshot {
    let clusters = samples::clusters().into_iter().map(|cluster| (cluster.name.clone(), cluster));
    Snapshot { clusters: clusters.collect(), events: samples::events(), level: 1 }
}

#[test]
fn entries_of_level_1_still_mean_what_they_meant() {
    let written: Vec<&str> = ENTRIES.lines().collect();
    let samples = samples::entries();
    for (entry, written) in samples.iter().zip(&written) {
        assert_eq!(decode_entry(&bytes(written)).as_ref(), Ok(entry));
    }
    let now: Vec<String> = samples.iter().map(|entry| hex(&encode_entry(entry))).collect();
    assert_eq!(now, written, "entries-1.hex, as this build would write it:\n{}", now.join("\n"));
}

#[test]
fn a_snapshot_of_format_1_still_means_what_it_meant() {
    let kept = kept_snapshot();
    let now = hex(&encode_snapshot(&kept.clusters, &kept.events, 1));
    assert_eq!(SNAPSHOT.trim(), now, "snapshot-1.hex, as this build would write it:\n{now}");
    assert_eq!(decode_snapshot(&bytes(SNAPSHOT)), Ok(kept));
}

#[test]
fn a_snapshot_of_level_2_still_means_what_it_meant() {
    let clusters = samples::later_clusters().into_iter().map(|cluster| (cluster.name.clone(), cluster));
    let kept = Snapshot { clusters: clusters.collect(), events: Vec::new(), level: 2 };
    let now = hex(&encode_snapshot(&kept.clusters, &kept.events, 1));
    assert_eq!(LATER_SNAPSHOT.trim(), now, "snapshot-1-level-2.hex, as this build would write it:\n{now}");
    assert_eq!(decode_snapshot(&bytes(LATER_SNAPSHOT)), Ok(kept));
}

#[test]
fn a_snapshot_of_level_3_still_means_what_it_meant() {
    let clusters = samples::clusters_of_level_3().into_iter().map(|cluster| (cluster.name.clone(), cluster));
    let kept = Snapshot { clusters: clusters.collect(), events: Vec::new(), level: 3 };
    let now = hex(&encode_snapshot(&kept.clusters, &kept.events, 1));
    assert_eq!(THIRD_SNAPSHOT.trim(), now, "snapshot-1-level-3.hex, as this build would write it:\n{now}");
    assert_eq!(decode_snapshot(&bytes(THIRD_SNAPSHOT)), Ok(kept));
}

#[test]
fn an_entry_asks_for_no_more_than_it_needs() {
    let levels: Vec<u32> = samples::entries().iter().map(|e| level_of(&e.command)).collect();
    assert!(levels.is_sorted(), "{levels:?}");
    assert!((1..=LEVEL).all(|level| levels.contains(&level)), "{levels:?}");
}

#[test]
fn a_snapshot_tells_the_level_that_the_log_had_reached_although_no_record_needs_it() {
    let kept = Snapshot { level: LEVEL, ..kept_snapshot() };
    let written = encode_snapshot(&kept.clusters, &kept.events, LEVEL);
    assert_eq!(decode_snapshot(&written), Ok(kept));
}

#[test]
fn an_unknown_command_is_refused_and_never_skipped() {
    // level 1, cluster "orders", and field 900 where a command ought to be.
    let unknown = [&[8, 1, 18, 6][..], b"orders", &[0xa2, 0x38, 0]].concat();
    let refused = decode_entry(&unknown).unwrap_err();
    assert!(matches!(&refused, UnknownEntry::Unusable { bad, .. } if bad.path == "command"), "{refused}");
}

#[test]
fn a_newer_level_is_refused_with_both_numbers() {
    let entry = samples::entries().remove(0);
    let newer =
        pb::LogEntry { level: LEVEL + 1, ..pb::LogEntry::decode(encode_entry(&entry).as_slice()).unwrap() };
    let refused = decode_entry(&newer.encode_to_vec()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "log entry of level 5 is newer than 4, the newest that this build knows: start a newer interrex"
    );

    let snapshot = pb::Snapshot { format: SNAPSHOT_FORMAT + 1, level: LEVEL, ..Default::default() };
    let refused = decode_snapshot(&snapshot.encode_to_vec());
    assert!(matches!(refused, Err(UnknownEntry::Newer { what: "snapshot of format", found: 2, known: 1 })));
    let snapshot = pb::Snapshot { format: SNAPSHOT_FORMAT, level: LEVEL + 1, ..Default::default() };
    let refused = decode_snapshot(&snapshot.encode_to_vec());
    assert!(matches!(refused, Err(UnknownEntry::Newer { what: "snapshot of level", found: 5, known: 4 })));
}

#[test]
fn empty_and_cut_bytes_are_damage() {
    assert!(matches!(decode_entry(&[]), Err(UnknownEntry::Damaged { .. })));
    assert!(matches!(decode_snapshot(&[]), Err(UnknownEntry::Damaged { .. })));
    let whole = encode_entry(&samples::entries().remove(1));
    for cut in 1..whole.len() {
        assert!(decode_entry(&whole[..cut]).is_err(), "{cut} of {} bytes", whole.len());
    }
}
