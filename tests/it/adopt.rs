//! An existing PostgreSQL becomes a cluster: with its data, its roles and its configuration, its standby not cloned; and
//! what does not fit, or runs, is left alone until the operator says otherwise.

use crate::support::{CLUSTER, Existing, Machine, Town, Writer, healthy, primary, tree, unchanged};
use interrex_cluster::status::ClusterStatus;

const SYSTEM: &str = "select system_identifier::text from pg_control_system()";

/// Waits until an instance has so many books.
async fn has_books(town: &Town, name: &str, what: &str, count: &str) {
    town.eventually(what, async || {
        let books = town.sql(name, "select count(*)::text from books").await.ok()?;
        (books == [count]).then_some(())
    })
    .await;
}

/// How many lines of evidence have these words.
fn evidence(status: &ClusterStatus, words: &str) -> usize {
    status.problems.iter().flat_map(|problem| &problem.evidence).filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_primary_and_its_standby_are_taken_in_with_all_that_is_theirs() {
    let mut town = Town::without_a_cluster(3).await;
    let old = Existing::primary(&town.machines[0]).await;
    let standby = Existing::standby(&town.machines[1], &old);
    old.sql("postgres", "create role interrex_repl nologin").await;
    let system = old.sql("postgres", SYSTEM).await;
    old.stop();
    standby.stop();
    let files = ["postgresql.conf", "conf.d/mine.conf", "pg_hba.conf", "pg_ident.conf"];
    let before = files.map(|name| old.file(name));

    town.machines.iter_mut().for_each(Machine::start);
    adopt(&town, &["--instances", "3"]).await;
    let status = town.healthy("what was taken in").await;
    assert_eq!((primary(&status).as_str(), status.epoch.0), ("n1", 2));
    let wanted: u64 = system[0].parse().unwrap();
    assert_eq!(status.system.map(|system| system.0), Some(wanted), "the same system identifier");

    let rebuilt = town.told("cloning", 0).await;
    assert_eq!(rebuilt.len(), 1, "only n3 had nothing: {rebuilt:?}");
    assert!(rebuilt[0].starts_with("n3 ") && town.told("rewinding", 0).await.is_empty(), "{rebuilt:?}");
    its_files_keep_their_content(&old, &files, &before);
    for name in ["n1", "n2", "n3"] {
        assert_eq!(town.sql(name, "select count(*)::text from books").await.unwrap(), ["100"], "{name}");
        let settings = "select current_setting(name) from unnest(array['shared_buffers', 'work_mem']) name";
        assert_eq!(town.sql(name, settings).await.unwrap(), ["24MB", "7MB"], "{name}");
    }
    let notes = town.told("adoption-note", 0).await;
    for told in [
        "n1: its hot_standby_feedback = 'off' gives way to 'on'",
        "n1: role interrex_repl was there; it has the attributes and the password of Interrex now",
    ] {
        assert!(notes.iter().any(|note| note == told), "{notes:?}");
    }

    town.sql("n1", "insert into books values ('one more')").await.unwrap();
    it_fails_over_like_any_other(town).await;
}

/// Says so as soon as somebody leads. Said twice it is said once.
async fn adopt(town: &Town, args: &[&str]) {
    let wanted = [&["create", CLUSTER, "--adopt"], args].concat();
    let said = async || {
        let answer = town.ctl(&wanted).await;
        (answer.code == 0 && answer.err.is_empty()).then_some(answer)
    };
    let answer = town.eventually("an existing PostgreSQL to be wanted", said).await;
    let line = "cluster demo is to take in an existing PostgreSQL, whose unlogged tables come out of it empty; \
                follow it with: interrex explain demo\n";
    assert_eq!(answer.out, line);
}

fn its_files_keep_their_content(old: &Existing, files: &[&str; 4], before: &[String; 4]) {
    for (name, before) in files.iter().zip(before) {
        let now = old.file(name);
        match *name {
            "postgresql.conf" => assert_eq!(now, format!("{before}include 'interrex.conf'\n")),
            "pg_hba.conf" => {
                assert!(now.ends_with(&format!("# END interrex\n{before}")), "{now}");
            }
            _ => assert_eq!(now, *before, "{name}"),
        }
    }
}

async fn it_fails_over_like_any_other(mut town: Town) {
    let writer = Writer::start(&town).await;
    town.machine("n1").kill();
    let moved = |status: &ClusterStatus| status.open && status.epoch.0 > 2;
    town.until("another one is primary", moved).await;
    writer.acknowledged(&town, 100).await;
    town.machine("n1").start();
    town.healthy("the cluster with its old primary as a standby").await;
    let books = town.sql("n1", "select count(*)::text from books").await.unwrap();
    assert_eq!(books, ["101"]);
    writer.verdict(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_goes_on_running_until_it_may_be_taken_over() {
    let mut town = Town::without_a_cluster(2).await;
    let old = Existing::primary(&town.machines[0]).await;
    let standby = Existing::standby(&town.machines[1], &old);
    let postmasters = || town_postmasters(&[&old, &standby]);
    let before = postmasters();

    town.machines.iter_mut().for_each(Machine::start);
    adopt(&town, &["--instances", "2"]).await;
    let refused = |status: &ClusterStatus| {
        let evidence = status.problems.iter().filter(|problem| problem.code == "adoption-refused");
        evidence.flat_map(|problem| &problem.evidence).filter(|line| line.contains("(postmaster ")).count()
            == 2
    };
    town.until("both servers that run are named", refused).await;
    let explain = town.ctl(&["explain", CLUSTER]).await;
    assert!(explain.out.contains("--adopt --take-over"), "{explain:#?}");
    assert_eq!(postmasters(), before, "the very same processes");
    old.sql(CLUSTER, "insert into books values ('while nobody touches it')").await;

    adopt(&town, &["--instances", "2", "--take-over"]).await;
    let status = town.healthy("what was taken over").await;
    assert_eq!(primary(&status), "n1");
    let told = town.told("taking-over", 0).await;
    assert!(told[0].contains(" n1 ") && told[1].contains(" n2 "), "the primary first: {told:?}");
    assert_ne!(postmasters(), before);
    assert!(town.told("cloning", 0).await.is_empty() && town.told("rewinding", 0).await.is_empty());
    for name in ["n1", "n2"] {
        has_books(&town, name, "the last row on every copy", "101").await;
    }
    let again = town.ctl(&["create", CLUSTER, "--instances", "2", "--adopt", "--take-over"]).await;
    let line = format!("interrex: cluster {CLUSTER} exists already; see: interrex show {CLUSTER}\n");
    assert_eq!((again.code, again.err), (1, line));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_primary_of_a_later_timeline_is_taken_in_although_its_machine_dies_meanwhile() {
    let mut town = Town::without_a_cluster(2).await;
    let old = Existing::primary(&town.machines[0]).await;
    old.sql("postgres", "create role interrex nologin").await;
    old.sql("postgres", "alter system set max_wal_senders = 33").await;
    old.promoted().await;
    old.sql(CLUSTER, "insert into books values ('not in the last checkpoint')").await;
    old.crash();

    town.machines.iter_mut().for_each(Machine::start);
    adopt(&town, &["--instances", "2"]).await;
    town.eventually("the directory to be adopted", async || {
        (!town.told("adopted", 0).await.is_empty()).then_some(())
    })
    .await;
    town.machine("n1").kill();
    // Somebody who means well, before the roles of Interrex were made: they are made all the same.
    old.signal_standby();
    town.machine("n1").start();
    let status = town.healthy("what was taken in by a machine that died").await;
    assert_eq!(primary(&status), "n1");
    assert!(status.epoch.0 >= 3, "timeline 2 was there: {status:#?}");
    for name in ["n1", "n2"] {
        has_books(&town, name, "every row on every copy", "101").await;
        let senders = town.sql(name, "select current_setting('max_wal_senders')").await.unwrap();
        assert_eq!(senders, ["20"], "what replay demanded was lowered with the first promotion, on {name}");
    }
    let notes = town.told("adoption-note", 0).await;
    assert!(notes.iter().any(|note| note.contains("max_wal_senders = '33' gives way")), "{notes:?}");
    assert!(!old.file("postgresql.auto.conf").contains("max_wal_senders"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_on_a_newer_timeline_is_not_given_up_until_somebody_moves_it_away() {
    let mut town = Town::without_a_cluster(2).await;
    let old = Existing::primary(&town.machines[0]).await;
    let strayed = Existing::standby(&town.machines[1], &old);
    strayed.promote().await;
    strayed.sql(CLUSTER, "insert into books values ('on timeline 2, and nowhere else')").await;
    strayed.stop();
    strayed.signal_standby();
    old.sql(CLUSTER, "insert into books select 'more ' || n from generate_series(1, 10) n").await;
    old.stop();
    let before = [&old, &strayed].map(|server| tree(server.pgdata()));

    town.machines.iter_mut().for_each(Machine::start);
    adopt(&town, &["--instances", "2", "--take-over"]).await;
    let words = "n2 is on timeline 2, which is newer than timeline 1 of n1";
    town.until("the newer copy is named", |status| evidence(status, words) == 1).await;
    for (server, before) in [&old, &strayed].into_iter().zip(&before) {
        unchanged(before, &tree(server.pgdata()));
    }

    std::fs::rename(strayed.pgdata(), strayed.pgdata().with_extension("away")).unwrap();
    let status = town.healthy("what was taken in without the copy").await;
    assert_eq!((primary(&status).as_str(), status.epoch.0), ("n1", 2));
    let rebuilt = town.told("cloning", 0).await;
    assert!(rebuilt.len() == 1 && rebuilt[0].starts_with("n2 "), "{rebuilt:?}");
    for name in ["n1", "n2"] {
        has_books(&town, name, "the primary's rows, and no others, on every copy", "110").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_outside_of_the_directory_is_refused_until_it_is_brought_in() {
    let mut town = Town::without_a_cluster(1).await;
    let old = Existing::primary(&town.machines[0]).await;
    let etc = old.configured_elsewhere();
    let before = town_postmasters(&[&old]);
    town.machines.iter_mut().for_each(Machine::start);
    adopt(&town, &["--instances", "1", "--take-over"]).await;
    let refused = |status: &ClusterStatus| evidence(status, "there is no postgresql.conf in ") == 1;
    town.until("a configuration elsewhere is refused", refused).await;
    assert_eq!(town_postmasters(&[&old]), before, "what does not fit is not stopped");

    // The commands of docs/adopt.md.
    let guide = include_str!("../../docs/adopt.md");
    let commands =
        guide.lines().map(str::trim).filter(|line| line.starts_with("cp -a ") || line.starts_with("sed -i "));
    let commands: Vec<String> = commands
        .map(|line| line.replace("/var/lib/postgresql/15/main", &old.pgdata().display().to_string()))
        .collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in &commands {
        let done = std::process::Command::new("sh").args(["-c", command]).current_dir(&etc).status().unwrap();
        assert!(done.success(), "{command}");
    }
    let status = town.healthy("what was configured elsewhere").await;
    assert_eq!((primary(&status).as_str(), status.epoch.0), ("n1", 2));
    let settings =
        "select current_setting(name) from unnest(array['shared_buffers', 'work_mem', 'hba_file']) name";
    let hba = old.pgdata().join("pg_hba.conf").display().to_string();
    assert_eq!(old.sql("postgres", settings).await, ["24MB", "7MB", &hba]);
    assert_eq!(town.sql("n1", "select count(*)::text from books").await.unwrap(), ["100"]);
}

/// First lines of postmaster.pid.
fn town_postmasters(servers: &[&Existing]) -> Vec<String> {
    servers
        .iter()
        .map(|server| server.file("postmaster.pid").lines().next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_are_refused_and_nothing_of_either_is_changed() {
    let mut town = Town::without_a_cluster(2).await;
    let old = Existing::primary(&town.machines[0]).await;
    old.stop();
    let twin = Existing::twin(&town.machines[1], &old);
    let before = [&old, &twin].map(|server| tree(server.pgdata()));

    town.machines.iter_mut().for_each(Machine::start);
    adopt(&town, &["--instances", "2", "--take-over"]).await;
    let refused = |status: &ClusterStatus| evidence(status, "only one can be the primary") == 1;
    let status = town.until("two primaries are refused", refused).await;
    assert!(!healthy(&status));
    for (server, before) in [&old, &twin].into_iter().zip(&before) {
        unchanged(before, &tree(server.pgdata()));
    }
    let explain = town.ctl(&["explain", CLUSTER]).await;
    assert!(
        explain.out.contains("n1 and n2 hold a data directory without standby.signal each"),
        "{explain:#?}"
    );

    // The way out: the other one is moved away, and cloned.
    std::fs::rename(twin.pgdata(), twin.pgdata().with_extension("away")).unwrap();
    let status = town.healthy("what is left of it").await;
    assert_eq!(primary(&status), "n1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_runs_on_while_what_shows_stands_in_the_way_and_what_cannot_be_looked_at_is_named() {
    let mut town = Town::without_a_cluster(1).await;
    let old = Existing::primary(&town.machines[0]).await;
    old.promoted().await;
    old.sql(CLUSTER, "create unlogged table guests (n int)").await;
    let [history, control] =
        ["pg_wal/00000002.history", "global/pg_control"].map(|name| old.pgdata().join(name));
    let aside = |path: &std::path::Path| path.with_extension("aside");
    std::fs::rename(&history, aside(&history)).unwrap();
    let before = town_postmasters(&[&old]);

    town.machines.iter_mut().for_each(Machine::start);
    adopt(&town, &["--instances", "1", "--take-over"]).await;
    let refused = |status: &ClusterStatus| evidence(status, "pg_wal has no whole 00000002.history") == 1;
    let status = town.until("the missing file is named", refused).await;
    assert_eq!(evidence(&status, "to know beforehand: n1: it has 1 unlogged relations"), 1, "{status:#?}");
    assert_eq!(town_postmasters(&[&old]), before, "it was not stopped in vain");

    old.stop();
    std::fs::rename(&control, aside(&control)).unwrap();
    let unseen = |status: &ClusterStatus| evidence(status, " cannot be looked at: ") == 1;
    town.until("the directory that cannot be looked at is named", unseen).await;
    for path in [&control, &history] {
        std::fs::rename(aside(path), path).unwrap();
    }
    let status = town.healthy("what can be looked at again").await;
    assert_eq!((primary(&status).as_str(), status.epoch.0), ("n1", 3));
    let notes = town.told("adoption-note", 0).await;
    assert!(notes.iter().any(|note| note.starts_with("n1: it has 1 unlogged relations")), "{notes:?}");
}
