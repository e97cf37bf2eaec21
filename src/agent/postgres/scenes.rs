//! Scenes on real servers: what this room promises, seen from outside.

use super::testing::{House, LONG, Node};
use super::*;
use interrex_cluster::ids::{Epoch, Incarnation};
use interrex_cluster::wal::{Lsn, Position, TimelineId};
use std::fs;
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn any(k: u32, names: &[&str]) -> SyncText {
    SyncText { k, names: names.iter().map(|&name| name.to_owned()).collect() }
}

/// The end of WAL of one timeline, as pg_waldump tells it: where the first record would be that is none.
fn waldump_end(node: &Node, timeline: u32, from: Lsn) -> Lsn {
    let layout = node.layout();
    let mut dump = Command::new(layout.bin_dir.join("pg_waldump"));
    dump.env("LC_ALL", "C").arg("-p").arg(layout.pgdata.join("pg_wal"));
    let dump = dump.args(["-t", &timeline.to_string(), "-s", &from.to_string()]).output().expect("it runs");
    let said = String::from_utf8_lossy(&dump.stderr).into_owned();
    // "error in WAL record at 0/3000110: invalid record length at 0/3000148: wanted 24, got 0"
    let mut lsns =
        said.split([' ', ':']).filter(|word| word.contains('/')).filter_map(|word| word.parse().ok());
    lsns.next_back().unwrap_or_else(|| panic!("pg_waldump says {said}"))
}

async fn rows(node: &Node) -> String {
    node.value("select count(*)::text from t").await
}

#[tokio::test]
async fn a_reign_ends_and_the_old_primary_comes_back_by_rewind() {
    let house = House::new();
    let mut a = house.primary("a").await;
    let b = house.standby("b", &a).await;
    let c = house.standby("c", &a).await;
    let system = a.control_data().await.unwrap().system;

    // The rule comes into force, and commits are acknowledged under it.
    assert_eq!(b.observe(LONG).await.unwrap().unfit(&b.control_data().await.unwrap()), Vec::new());
    let rule = any(1, &["ix_b_2_1", "ix_c_2_1"]);
    a.write_settings(&Settings { role: Role::Primary { sync: rule.clone() } }).await.unwrap();
    a.reload().await.unwrap();
    a.prove_checkpointer(LONG).await.unwrap();
    a.barrier(&rule, LONG).await.unwrap();
    assert!(matches!(a.beat(LONG).await.unwrap(), Beat::Acknowledged { .. }));
    a.locally(&["create table t (i int)", "insert into t select generate_series(1, 1000)"]).await;
    let ObservedRole::Primary(seen) = a.observe(LONG).await.unwrap().role else { panic!("it is a primary") };
    assert_eq!(seen.timeline, TimelineId(2));
    assert_eq!(seen.senders.iter().filter(|sender| sender.streaming).count(), 2);
    let everything = seen.flushed;
    for standby in [&b, &c] {
        standby.until(&format!("select (pg_last_wal_replay_lsn() >= '{everything}')::text"), "true").await;
    }

    // Sealed, they hold all of it and receive nothing more.
    let sealed = b.seal(None, None, LONG).await.unwrap();
    let also = c.seal(None, None, LONG).await.unwrap();
    assert_eq!(sealed.timeline, TimelineId(2));
    assert!(sealed.lsn >= everything && also.lsn >= everything, "{sealed}, {also}, {everything}");
    assert!(
        matches!(a.beat(Duration::from_millis(300)).await, Err(Error::Silent { .. })),
        "nobody is left to ack"
    );
    a.locally(&["insert into t select generate_series(1, 5000)"]).await;
    a.crash();
    assert!(!knock(&a.layout().listen, LONG).await);

    // The winner opens timeline 7, and a connected standby follows it there.
    for number in 3..7 {
        b.write_placeholder(TimelineId(number)).await.unwrap();
    }
    c.follow(b.as_upstream("c")).await;
    b.ensure_slots(&["ix_a".to_owned(), "ix_c".to_owned()]).await.unwrap();
    b.promoted(7, any(1, &["ix_c_2_1"])).await;
    assert!(b.has_standby_signal().await.unwrap());
    let promotion = b.promotion().await.unwrap();
    assert_eq!((promotion.epoch, promotion.parent, promotion.begin), (Epoch(7), TimelineId(2), sealed.lsn));
    assert!(matches!(b.beat(LONG).await.unwrap(), Beat::Acknowledged { .. }));
    c.until("select received_tli::text from pg_stat_wal_receiver", "7").await;
    b.barrier(&any(1, &["ix_c_2_1"]), LONG).await.unwrap();

    // The old primary holds more than the fork, on its own timeline; it is taken back and follows.
    let line = match b.histories().await.unwrap().remove(&TimelineId(7)) {
        Some(HistoryFile::Real(line)) => line,
        other => panic!("{other:?}"),
    };
    let diverged = a.wal_end(None, Some(&line)).await.unwrap();
    assert!(diverged.timeline == TimelineId(2) && diverged.lsn > promotion.begin, "{diverged}");
    assert!(!line.contains(diverged));
    let (told, position) = a.remote_position(&b.layout().listen, LONG).await.unwrap();
    assert_eq!((told, position.timeline), (system, TimelineId(7)));
    a.remote_checkpoint(&b.layout().listen, LONG).await.unwrap();
    let said = a.rewind_from(&b.layout().listen, system).await.unwrap();
    assert!(said.contains("Done!"), "{said}");
    a_rewound_copy_that_was_started_once_is_still_on_the_line(&a, &line).await;
    a.write_settings(&Settings { role: Role::Standby { upstream: b.as_upstream("a") } }).await.unwrap();
    a.start().await;
    a.streams().await;
    a.until("select count(*)::text from t", "1000").await;
    assert_eq!(rows(&b).await, "1000");
    let seven = c.seal(Some(&line), None, LONG).await.unwrap();
    assert_eq!(seven.timeline, TimelineId(7));

    // A standby that did not end cleanly can be rewound once it was started, receiving from nobody, and stopped.
    a.crash();
    assert_eq!(a.may_be_rewound(system).await.unwrap(), Rewindable::AfterACleanStop);
    a.write_settings(&Settings { role: Role::Sealed }).await.unwrap();
    a.start().await;
    a.stop();
    assert_eq!(a.may_be_rewound(system).await.unwrap(), Rewindable::Yes);
    let another = interrex_cluster::ids::SystemId(system.0 + 1);
    assert!(matches!(a.may_be_rewound(another).await, Err(Error::Refused(_))));
}

/// Its first start takes backup_label away; killed before it received what its data need, it holds less than that.
async fn a_rewound_copy_that_was_started_once_is_still_on_the_line(
    a: &Node,
    line: &interrex_cluster::wal::History,
) {
    let needed = a.control_data().await.unwrap().min_recovery.unwrap();
    assert_eq!(a.data_end(Some(line), false, None).await.unwrap(), needed, "backup_label is there");
    let hidden = [a.layout().pgdata.join("backup_label"), segment(a, 7, needed)];
    for file in &hidden {
        fs::rename(file, file.with_extension("hidden")).unwrap();
    }
    assert!(matches!(a.data_end(Some(line), false, None).await, Err(Error::Unknown(_))));
    assert_eq!(a.data_end(Some(line), true, None).await.unwrap(), needed);
    for file in &hidden {
        fs::rename(file.with_extension("hidden"), file).unwrap();
    }
}

#[tokio::test]
async fn the_end_of_wal_is_what_is_on_disk_whatever_the_views_say() {
    let house = House::new();
    let a = house.primary("a").await;
    let mut b = house.standby("b", &a).await;
    a.locally(&["create table t (i int)"]).await;
    let shown = a.value("select pg_current_wal_flush_lsn()::text").await;
    b.until(&format!("select (pg_last_wal_replay_lsn() >= '{shown}')::text"), "true").await;

    // Replay stands still, WAL comes in and is acknowledged.
    b.ask("select pg_wal_replay_pause()::text", LONG).await.unwrap();
    b.until("select pg_get_wal_replay_pause_state()", "paused").await;
    let ObservedRole::Standby(paused) = b.observe(LONG).await.unwrap().role else {
        panic!("it is a standby")
    };
    assert!(paused.paused && paused.receiver_process);
    let unfit = b.observe(LONG).await.unwrap().unfit(&b.control_data().await.unwrap());
    assert_eq!(unfit, [interrex_cluster::report::Unfit::ReplayPaused]);
    // Records across pages, and across a segment.
    let big = "insert into t select generate_series(1, 60000)";
    a.locally(&[big, "select pg_switch_wal()::text", big, big, big, big]).await;
    let flushed: Lsn = a.value("select pg_current_wal_flush_lsn()::text").await.parse().unwrap();
    b.until(&format!("select (pg_last_wal_receive_lsn() >= '{flushed}')::text"), "true").await;
    is_told_to_be_behind_since_it_stands_still(&a, flushed).await;
    let live = b.seal(None, None, LONG).await.unwrap();
    assert_eq!(live, Position { timeline: TimelineId(2), lsn: flushed });
    let replayed: Lsn = b.value("select pg_last_wal_replay_lsn()::text").await.parse().unwrap();
    assert!(replayed < flushed);
    a_bit_flipped_in_what_was_flushed_is_no_end(&b, live).await;

    // Down, from the redo point: the same; restarted, when the views know nothing of it: the same (F16).
    b.crash();
    assert_eq!(b.wal_end(None, None).await.unwrap(), live);
    let redo = b.control_data().await.unwrap();
    // pg_waldump knows one timeline at a time: from the start of the segment that timeline 2 began in.
    let begin = a.promotion().await.unwrap().begin;
    assert!(redo.redo <= flushed);
    assert_eq!(waldump_end(&b, 2, begin.max(redo.redo)), flushed);
    half_a_record_is_no_damage(&b, live).await;
    b.start().await;
    assert_eq!(b.seal(None, None, LONG).await.unwrap(), live);

    // Stopped cleanly, and as a former primary that was stopped cleanly.
    b.stop();
    assert_eq!(b.wal_end(None, None).await.unwrap(), live);
    let mut a = a;
    a.stop();
    let control = a.control_data().await.unwrap();
    assert_eq!(control.state, ControlState::ShutDown);
    let end = a.wal_end(None, None).await.unwrap();
    assert!(end.lsn > control.checkpoint && end.timeline == TimelineId(2));
    assert_eq!(waldump_end(&a, 2, control.checkpoint), end.lsn);

    a_new_timeline_s_half_file_hides_nothing(&b, live).await;
}

/// Its one standby has all of the WAL and replays nothing: the longer ago, the longer it is behind.
async fn is_told_to_be_behind_since_it_stands_still(a: &Node, flushed: Lsn) {
    let began = Instant::now();
    loop {
        let ObservedRole::Primary(seen) = a.observe(LONG).await.unwrap().role else { panic!("a primary") };
        let [sender] = seen.senders.as_slice() else { panic!("one standby: {:?}", seen.senders) };
        assert!(sender.replayed < Some(flushed), "{sender:?}");
        assert!(u128::from(sender.behind_ms) <= began.elapsed().as_millis(), "as long as it was looked at");
        if sender.behind_ms >= 300 && sender.flushed >= Some(flushed) {
            return;
        }
        assert!(began.elapsed() < LONG, "{sender:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What was flushed may have been acknowledged: an end before it is not told.
async fn a_bit_flipped_in_what_was_flushed_is_no_end(b: &Node, live: Position) {
    let segment = segment(b, 2, live);
    let whole = fs::read(&segment).unwrap();
    let mut flipped = whole.clone();
    // Within the segment's last records, which nobody has replayed yet.
    flipped[(live.lsn.0 & 0xFF_FFFF) as usize / 2] ^= 1;
    overwrite(&segment, &flipped);
    match b.seal(None, None, LONG).await {
        Err(Error::Unknown(why)) => {
            assert!(why.contains(&format!("{} was received and flushed", live.lsn)), "{why}");
        }
        told => panic!("{told:?}"),
    }
    overwrite(&segment, &whole);
    assert_eq!(b.seal(None, None, LONG).await.unwrap(), live);
}

/// A stream that broke off leaves half a record, which nobody waited for.
async fn half_a_record_is_no_damage(b: &Node, live: Position) {
    let segment = segment(b, 2, live);
    let whole = fs::read(&segment).unwrap();
    let page = Lsn(live.lsn.0 / 8192 * 8192);
    let mut cut = whole.clone();
    cut[(page.0 & 0xFF_FFFF) as usize..].fill(0);
    overwrite(&segment, &cut);
    let end = |received: Lsn| {
        b.find_wal_end(wal_end::Held { replayed: None, received: Some(received) }, None, true)
    };
    let before = end(page).await.unwrap().lsn;
    assert!(before <= page && page.bytes_since(before) < 8192, "{before}, cut at {page}");
    assert!(matches!(end(live.lsn).await, Err(Error::Unknown(_))), "the rest was flushed, too");
    let at = |lsn| Position { lsn, ..live };
    assert!(b.lacks_half_a_record(at(before), at(page), None).await.unwrap());
    assert!(!b.lacks_half_a_record(at(before), live, None).await.unwrap(), "rolled back");
    let later = Position { timeline: TimelineId(3), lsn: page };
    assert!(!b.lacks_half_a_record(at(before), later, None).await.unwrap(), "nobody knows that timeline");
    overwrite(&segment, &whole);
    assert_eq!(end(live.lsn).await.unwrap(), live);
}

fn segment(node: &Node, timeline: u32, at: Position) -> std::path::PathBuf {
    let name = format!("{timeline:08X}{:08X}{:08X}", 0, at.lsn.0 >> 24);
    node.layout().pgdata.join("pg_wal").join(name)
}

/// In place: the server has the file open.
fn overwrite(path: &std::path::Path, contents: &[u8]) {
    use std::os::unix::fs::FileExt;
    fs::File::options().write(true).open(path).unwrap().write_all_at(contents, 0).unwrap();
}

/// A walreceiver on a new timeline begins at the start of the segment. Killed soon after, it leaves a file that ends
/// before the WAL that the older timeline's file holds.
async fn a_new_timeline_s_half_file_hides_nothing(b: &Node, live: Position) {
    let wal = b.layout().pgdata.join("pg_wal");
    let segment = |timeline: u32| segment(b, timeline, live);
    let history = |fork: Lsn| {
        let text = format!("1\t0/0\tx\n2\t{fork}\tx\n");
        interrex_cluster::wal::History::parse(TimelineId(3), &text).unwrap()
    };
    // Forked here, followed by nobody: all of it is timeline 2's.
    b.write_history(&history(live.lsn)).await.unwrap();
    assert_eq!(b.wal_end(None, None).await.unwrap(), live);
    // The file stops half-way; recovery would read it, and stop.
    let mut half = fs::read(segment(2)).unwrap();
    let cut = (live.lsn.0 & 0xFF_FFFF) as usize / 2;
    half[cut..].fill(0);
    fs::write(segment(3), &half).unwrap();
    assert_eq!(b.wal_end(None, None).await.unwrap(), live);
    assert!(!segment(3).exists() && segment(3).with_extension("interrex-hiding").exists());
    // Forked before our end: what we hold past it stays told, on our timeline.
    fs::remove_file(wal.join("00000003.history")).unwrap();
    b.write_history(&history(Lsn(live.lsn.0 - 8192))).await.unwrap();
    assert_eq!(b.wal_end(None, None).await.unwrap(), live);
    // A flipped byte ends the WAL there; nothing after it is believed.
    let mut flipped = fs::read(segment(2)).unwrap();
    flipped[cut] ^= 1;
    fs::write(segment(2), &flipped).unwrap();
    match b.wal_end(None, None).await {
        Ok(end) => assert!(end < live && end.lsn.0 & 0xFF_FFFF <= cut as u64, "{end}"),
        Err(Error::Unknown(_)) => {}
        Err(other) => panic!("{other}"),
    }
    fs::remove_file(segment(2)).unwrap();
    assert!(matches!(b.wal_end(None, None).await, Err(Error::Unknown(_)) | Ok(Position { .. })));
}

#[tokio::test]
async fn a_winner_that_ends_before_its_promotion_starts_again_and_takes_its_number() {
    let house = House::new();
    let mut a = house.node("a");
    a.initdb().await.unwrap();
    a.start().await;
    for number in 2..5 {
        a.write_placeholder(TimelineId(number)).await.unwrap();
    }
    a.stop();
    // With these files it would be starting up for ever.
    a.free_numbers().await.unwrap();
    a.start().await;
    for number in 2..5 {
        a.write_placeholder(TimelineId(number)).await.unwrap();
    }
    a.promoted(5, any(0, &[])).await;
    assert_eq!(a.promotion().await.unwrap().parent, TimelineId(1));

    // An operator's target, wherever it stands, does not end recovery below what is held.
    a.locally(&["create table t (i int)", "insert into t values (1)"]).await;
    a.stop();
    let pgdata = a.layout().pgdata.clone();
    let mut strays = vec!["recovery_target_time", "recovery_target_action"];
    let mut target = "recovery_target_time = '2000-01-01'\nrecovery_target_action = 'shutdown'\n".to_owned();
    if a.version().await.unwrap() <= 15 {
        strays.push("promote_trigger_file");
        target += "promote_trigger_file = '/tmp'\n";
    }
    for file in ["postgresql.conf", "postgresql.auto.conf"] {
        let before = fs::read_to_string(pgdata.join(file)).unwrap();
        fs::write(pgdata.join(file), format!("{target}{before}")).unwrap();
    }
    let written = a.write_settings(&Settings { role: Role::Sealed }).await.unwrap();
    assert_eq!(written.stray, strays);
    a.start().await;
    assert_eq!(a.value("select current_setting('recovery_target_time')").await, "");
    assert_eq!(rows(&a).await, "1");
}

/// As somebody else left it: a primary's, that never wrote what a standby needs, with a role of our name.
#[tokio::test]
async fn a_directory_of_somebody_else_gets_our_roles_without_a_server_and_comes_up_as_a_standby() {
    let house = House::new();
    let mut a = house.node("a");
    a.initdb().await.unwrap();
    let pgdata = a.layout().pgdata.clone();
    fs::remove_file(pgdata.join("standby.signal")).unwrap();
    let theirs = |prepared: u32| {
        let conf =
            format!("wal_level = minimal\nmax_wal_senders = 0\nmax_prepared_transactions = {prepared}\n");
        fs::write(pgdata.join("postgresql.conf"), conf).unwrap();
    };
    theirs(7);
    let credentials =
        Credentials { superuser: "an'other \\ one".to_owned(), replication: "r;epl".to_owned(), owner: None };
    a.known_by(credentials);
    assert_eq!(a.make_roles_offline().await.unwrap(), ["interrex"], "initdb ran under that name");
    theirs(0);
    assert_eq!(a.make_roles_offline().await.unwrap(), ["interrex", "interrex_repl"], "done twice");
    let control = a.control_data().await.unwrap();
    assert_eq!(control.state, ControlState::ShutDown);
    assert_eq!(control.parameters["max_prepared_transactions"], 7, "what replay demands does not sink");

    let existing = a.existing(false, None).await.unwrap();
    assert_eq!((existing.standby, existing.highest), (false, TimelineId(1)));
    let (end, line) = existing.end.clone().unwrap().unwrap();
    assert!(end.lsn > control.checkpoint && line.ancestors.is_empty(), "{end}");
    assert_eq!(a.existing(false, Some(existing.clone())).await.unwrap(), existing);

    // What would keep it from starting, or everybody from logging in, is found before it is taken in.
    let conf = pgdata.join("postgresql.conf");
    let loads = matches!(a.has_data().await, Ok(DataDir::Postgres { major }) if major >= 15);
    for (line, why) in [
        ("max_connections = 5", Some("must be less than")),
        ("shared_preload_libraries = 'no_such'", loads.then_some("could not access file \"no_such\"")),
        ("session_preload_libraries = 'auto_explain, no_such'", loads.then_some("nobody could log in")),
        ("local_preload_libraries = 'no_such'", loads.then_some("plugins/no_such")),
        ("session_preload_libraries = 'auto_explain'", None),
    ] {
        fs::write(&conf, format!("{line}\n")).unwrap();
        let refused = a.existing(false, Some(existing.clone())).await.unwrap().refused;
        assert_eq!(refused.is_some(), why.is_some(), "{line}: {refused:?}");
        assert!(why.is_none_or(|why| refused.is_some_and(|refused| refused.contains(why))), "{line}");
    }

    a.put_standby_signal().await.unwrap();
    theirs(7);
    a.write_settings(&Settings { role: Role::Sealed }).await.unwrap();
    a.start().await;
    assert!(a.in_recovery().await.unwrap(), "it lets our superuser in by the new password");
    let roles = "select string_agg(rolname || rolsuper::text || rolreplication::text, ' ' order by rolname) from pg_roles
                 where rolname like 'interrex%'";
    assert_eq!(a.value(roles).await, "interrextruetrue interrex_replfalsetrue");
}

/// What only a start, or only a new session, would find out is refused while everything runs, and goes on to run.
#[tokio::test]
async fn parameters_are_judged_as_a_start_and_a_new_session_would_find_them() {
    let house = House::new();
    let a = house.primary("a").await;
    let judged = async |pairs: &[(&str, &str)]| {
        let parameters = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        match a.judge_parameters(&parameters).await {
            Ok(()) => String::new(),
            Err(super::Error::Refused(why)) => why,
            Err(other) => panic!("{other}"),
        }
    };
    let before = a.value("select pg_postmaster_start_time()::text").await;
    let [few, missing] = ["must be less than", "could not access file"];
    let loads = matches!(a.has_data().await, Ok(DataDir::Postgres { major }) if major >= 15);
    for (pairs, why) in [
        (&[("work_mem", "lots")][..], "invalid value for parameter"),
        (&[("max_connections", "3")], few),
        (&[("max_connections", "3"), ("work_mem", "8MB")], few),
        (&[("max_connections", "7")], ""),
        (&[("shared_preload_libraries", "no_such")], if loads { missing } else { "" }),
        (&[("shared_preload_libraries", "auto_explain"), ("auto_explain.log_nested_statements", "on")], ""),
        (&[("session_preload_libraries", "auto_explain, no_such")], missing),
        (&[("local_preload_libraries", "no_such")], missing),
        (&[("session_preload_libraries", "auto_explain, pg_stat_statements")], ""),
    ] {
        let said = judged(pairs).await;
        assert!(if why.is_empty() { said.is_empty() } else { said.contains(why) }, "{pairs:?}: {said}");
    }
    // Set by an older build: it is no reason to refuse anything else, and may be taken back.
    let set = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    a.write_parameters(&set(&[("shared_preload_libraries", "no_such")])).await.unwrap();
    assert_eq!(judged(&[("shared_preload_libraries", "no_such"), ("work_mem", "8MB")]).await, "");
    assert_eq!(judged(&[]).await, "");
    assert_eq!(a.value("select pg_postmaster_start_time()::text").await, before, "it was let alone");
    let beside = a.layout().pgdata.with_file_name("data.rehearsal");
    assert!(!beside.exists(), "nothing is left behind");
}

#[tokio::test]
async fn a_cancelled_wait_is_no_proof_and_a_stopped_walsender_no_witness() {
    let house = House::new();
    let a = house.primary("a").await;
    let b = house.standby("b", &a).await;
    let nobody = any(1, &[]);
    a.write_settings(&Settings { role: Role::Primary { sync: nobody } }).await.unwrap();
    a.reload().await.unwrap();
    // Before the checkpointer has heard of it nothing waits (F7).
    a.prove_checkpointer(LONG).await.unwrap();
    let waiting = "select count(*)::text from pg_stat_activity where wait_event = 'SyncRep'";
    let server = Server::clone(&a);
    let beat = tokio::spawn(async move { server.beat(LONG).await });
    a.until(waiting, "1").await;
    a.ask("select pg_cancel_backend(pid)::text from pg_stat_activity where wait_event = 'SyncRep'", LONG)
        .await
        .unwrap();
    match beat.await.unwrap().unwrap() {
        Beat::Voided { warning } => assert!(warning.contains("synchronous replication"), "{warning}"),
        told => panic!("{told:?}"),
    }
    // A beat that is given up leaves a backend waiting, until the next one begins.
    let who = "select string_agg(pid::text, ' ') from pg_stat_activity where wait_event = 'SyncRep'";
    let mut before = String::new();
    for _ in 0..2 {
        let server = Server::clone(&a);
        let beat = tokio::spawn(async move { server.beat(LONG).await });
        // The one that was told to end may take a moment to.
        a.until(&format!("select (({who}) <> '{before}' and ({who}) not like '% %')::text"), "true").await;
        before = a.value(who).await;
        beat.abort();
        assert!(beat.await.is_err_and(|ended| ended.is_cancelled()));
    }

    let rule = any(1, &["ix_b_2_1"]);
    a.write_settings(&Settings { role: Role::Primary { sync: rule.clone() } }).await.unwrap();
    let sender = a.value("select pid::text from pg_stat_replication").await.parse().unwrap();
    let sender = rustix::process::Pid::from_raw(sender).unwrap();
    rustix::process::kill_process(sender, rustix::process::Signal::STOP).unwrap();
    a.reload().await.unwrap();
    let server = Server::clone(&a);
    let begun = Instant::now();
    let barrier = tokio::spawn(async move { server.barrier(&rule, LONG).await });
    // Told to end, it has a signal pending that it cannot take.
    let status = format!("/proc/{}/status", sender.as_raw_nonzero());
    while !terminate_is_pending(&fs::read_to_string(&status).unwrap()) {
        assert!(begun.elapsed() < LONG && !barrier.is_finished());
        sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    rustix::process::kill_process(sender, rustix::process::Signal::CONT).unwrap();
    barrier.await.unwrap().unwrap();
    assert_ne!(
        a.value("select pid::text from pg_stat_replication").await,
        sender.as_raw_nonzero().to_string()
    );
    b.streams().await;
    assert!(matches!(a.beat(LONG).await.unwrap(), Beat::Acknowledged { .. }));
    doors_and_slots(&a, &b).await;
}

fn terminate_is_pending(status: &str) -> bool {
    let masks = status.lines().filter(|line| line.starts_with("SigPnd") || line.starts_with("ShdPnd"));
    let bits = masks.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok());
    // SIGTERM is 15.
    bits.fold(0, |all, mask| all | mask) & (1 << 14) != 0
}

/// Clients are let in, cut off and kept out; slots come and go.
async fn doors_and_slots(a: &Node, b: &Node) {
    assert!(psql(a, "select 1").contains('1'));
    a.write_hba(Clients::Out).await.unwrap();
    a.reload().await.unwrap();
    a.until(
        "select count(*)::text from pg_hba_file_rules where auth_method = 'reject' and line_number < 12",
        "2",
    )
    .await;
    assert!(psql(a, "select 1").contains("pg_hba.conf rejects connection"), "{}", psql(a, "select 1"));
    assert!(!a.write_hba(Clients::Out).await.unwrap());
    assert_eq!(a.cut_clients().await.unwrap(), 0);

    // A slot that holds WAL on a standby is made anew, one that nobody asked for goes.
    b.ask("select pg_create_physical_replication_slot('ix_x', true)::text", LONG).await.unwrap();
    b.ask("select pg_create_physical_replication_slot('ix_gone', true)::text", LONG).await.unwrap();
    b.ensure_slots(&["ix_x".to_owned()]).await.unwrap();
    let holding =
        "select string_agg(slot_name || coalesce(restart_lsn::text, '-'), ' ') from pg_replication_slots";
    assert_eq!(b.value(holding).await, "ix_x-");
    assert!(matches!(b.initdb().await, Err(Error::Refused(_))));
    let upstream = a.as_upstream("b");
    let system = a.control_data().await.unwrap().system;
    let refused = Server::clone_from(b, &upstream, Incarnation(2), system, |_| ()).await;
    assert!(
        matches!(refused, Err(Error::Refused(ref why)) if why.contains("a server runs on")),
        "{refused:?}"
    );
}

/// The application's role, over TCP.
fn psql(node: &Node, sql: &str) -> String {
    let layout = node.layout();
    let mut psql = Command::new(layout.bin_dir.join("psql"));
    psql.env("PGPASSWORD", "it's").env("LC_ALL", "C");
    psql.args([
        "-h",
        &layout.listen.host,
        "-p",
        &layout.listen.port.to_string(),
        "-U",
        "app",
        "-d",
        "orders",
    ]);
    let done = psql.args(["-Atc", sql]).output().expect("it runs");
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}
