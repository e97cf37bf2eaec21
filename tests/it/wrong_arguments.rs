//! Commands used wrongly, and commands without anybody to ask: exit 2 where an argument is to be edited, 1 where the
//! world refuses, one clear line on stderr, nothing on stdout.

use crate::support::{free, run, temporary, tree, unchanged};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

#[tokio::test]
async fn wrong_arguments_are_refused_with_exit_2_and_one_line_that_says_which() {
    let cases: &[(&[&str], &str)] = &[
        (&["frobnicate"], "error: unrecognized subcommand 'frobnicate'"),
        (&["list", "--frobnicate"], "error: unexpected argument '--frobnicate' found"),
        (&["status", "extra"], "error: unexpected argument 'extra' found"),
        (&["list", "--output", "xml"], "error: invalid value 'xml' for '--output <OUTPUT>'"),
        (&["node"], "error: '--config <FILE>' is missing"),
        (&["show"], "error: '<CLUSTER>' is missing"),
        (&["explain"], "error: '<CLUSTER>' is missing"),
        (&["failover"], "error: '<CLUSTER>' is missing"),
        (
            &["show", "Orders"],
            "error: invalid value 'Orders' for '<CLUSTER>': 'Orders' is not a name: use 1 to 24 of a-z, 0-9 and '-', and begin with a letter or digit",
        ),
        (
            &["create", "orders", "--instances", "many"],
            "error: invalid value 'many' for '--instances <INSTANCES>': invalid digit found in string",
        ),
        (
            &["create", "orders", "--when-alone", "panic"],
            "error: invalid value 'panic' for '--when-alone <WHEN_ALONE>'",
        ),
        (&["create", "orders", "--password-file", "/p"], "error: '--user <USER>' is missing"),
        (&["create", "orders", "--take-over"], "error: '--adopt' is missing"),
        (
            &["create", "orders", "--adopt", "--user", "app"],
            "error: the argument '--adopt' cannot be used with '--user <USER>'",
        ),
        (
            &["create", "orders", "--user", "postgres"],
            "error: invalid value 'postgres' for '--user <USER>': it belongs to PostgreSQL; name another role",
        ),
        (
            &["events", "--after", "x"],
            "error: invalid value 'x' for '--after <AFTER>': invalid digit found in string",
        ),
        (&["failover", "orders", "--fenced", "n1"], "error: '--accept-loss' is missing"),
        (
            &["failover", "orders", "--to", "n2", "--accept-loss", "--fenced", "n1,n2"],
            "interrex: n2 is wanted as primary (--to) and asserted to be stopped (--fenced); leave one of them out",
        ),
        (&["coordinator", "add"], "error: '<NAME=HOST:PORT>' is missing"),
        (
            &["coordinator", "add", "n4"],
            "error: invalid value 'n4' for '<NAME=HOST:PORT>': expected NAME=HOST:PORT, such as n4=10.0.0.4:7400",
        ),
        (
            &["coordinator", "add", "n4=10.0.0.4"],
            "error: invalid value 'n4=10.0.0.4' for '<NAME=HOST:PORT>': '10.0.0.4' is no host:port; expected NAME=HOST:PORT, such as n4=10.0.0.4:7400",
        ),
        (&["coordinator", "remove"], "error: '<NAME>' is missing"),
        (&["coordinator", "recover"], "error: '--config <FILE>' is missing"),
        (
            &["coordinator", "recover", "-c", "/n", "--accept-loss", "--trust-record"],
            "error: the argument '--accept-loss' cannot be used with '--trust-record'",
        ),
        (&["coordinator", "depose"], "error: unrecognized subcommand 'depose'"),
        (&["raft-log"], "error: '<DIR>' is missing"),
        (
            &["raft-log", "/raft", "--coordinators", "127.0.0.1:7400"],
            "error: 'interrex raft-log' has no use for '--coordinators'; leave it away",
        ),
        (
            &["--output", "json", "node", "-c", "/node.toml"],
            "error: 'interrex node' has no use for '--output'; leave it away",
        ),
        (
            &["demo", "--coordinators", "127.0.0.1:7400"],
            "error: 'interrex demo' has no use for '--coordinators'; leave it away",
        ),
        (&["set", "orders", "acks=1", "acks=2"], "interrex: 'acks' is given twice; give it one value"),
        (
            &["list", "--tls-ca", "/absent/ca.pem"],
            "interrex: --tls-ca: \"/absent/ca.pem\" cannot be read: No such file or directory (os error 2); name a file that is there, and correct its owner and mode",
        ),
    ];
    for (args, line) in cases {
        let answer = run(args.iter().copied()).await;
        let first = answer.err.lines().next().unwrap_or_default();
        assert_eq!((answer.code, first, answer.out.as_str()), (2, *line, ""), "{args:?}: {answer:#?}");
    }
}

#[tokio::test]
async fn without_a_coordinator_every_command_says_so_in_one_line() {
    let nobody = format!("127.0.0.1:{}", free());
    let line =
        format!("interrex: no coordinator answered: {nobody}: connection refused: try --coordinators\n");
    let commands: &[&[&str]] = &[
        &["list"],
        &["status"],
        &["show", "orders"],
        &["events"],
        &["explain", "orders"],
        &["failover", "orders", "--dry-run"],
        &["failover", "orders"],
        &["create", "orders"],
        &["coordinator", "list"],
        &["coordinator", "transfer"],
        &["coordinator", "add", "n4=127.0.0.1:1"],
        &["coordinator", "remove", "n3"],
    ];
    for args in commands {
        for output in ["table", "json"] {
            let rest = ["--coordinators", nobody.as_str(), "--output", output];
            let answer = run(args.iter().copied().chain(rest)).await;
            assert_eq!(
                (answer.code, answer.err.as_str(), answer.out.as_str()),
                (1, line.as_str(), ""),
                "{args:?}"
            );
        }
    }
    let answer = run(["list", "--coordinators", "nonsense"]).await;
    let line = "interrex: 'nonsense' is not the address of a coordinator: expected host:port, such as 10.0.0.1:7400, or n1=10.0.0.1:7400\n";
    assert_eq!((answer.code, answer.err.as_str()), (2, line));
    // Found without asking anybody: the address is never dialled.
    let answer = run(["create", "other", "--instances", "3", "--acks", "3"]).await;
    let line = "interrex: --acks 3: 3 instances have 2 standbys to acknowledge; ask for at most 2\n";
    assert_eq!((answer.code, answer.err.as_str()), (2, line));
    let answer = run(["list", "--coordinators", "http://10.0.0.1:7400"]).await;
    assert_eq!((answer.code, answer.err.lines().count()), (2, 1), "{answer:#?}");
}

#[tokio::test]
async fn files_and_directories_that_hold_something_else_are_refused_with_exit_2_and_left_alone() {
    let dir = temporary();
    let (absent, empty, file) =
        (dir.path().join("absent"), dir.path().join("empty"), dir.path().join("file"));
    fs::create_dir(&empty).unwrap();
    fs::write(&file, "").unwrap();
    let before = tree(dir.path());
    for log in [&absent, &empty, &file] {
        let answer = run(["raft-log".as_ref(), log.as_os_str()]).await;
        let line = format!(
            "interrex: no raft log in {}; name the directory 'raft' below the data_dir of a node with [coordinator]\n",
            log.display()
        );
        assert_eq!((answer.code, answer.err, answer.out.as_str()), (2, line, ""));
    }
    let kept = [(&file, "is no directory"), (&dir.path().to_owned(), "is not empty")];
    for (named, why) in kept {
        let answer = run(["demo".as_ref(), "--keep".as_ref(), named.as_os_str()]).await;
        let line =
            format!("interrex: --keep {}: {why}; name an empty directory, or a new one\n", named.display());
        assert_eq!((answer.code, answer.err, answer.out.as_str()), (2, line, ""));
    }
    let password = |named: &Path| {
        let args = ["create", "orders", "--user", "app", "--password-file"].map(OsStr::new);
        run(args.into_iter().map(OsStr::to_owned).chain([named.as_os_str().to_owned()]).collect::<Vec<_>>())
    };
    for (named, why) in [
        (&absent, "No such file or directory (os error 2); name a file that can be read"),
        (&empty, "is no regular file; write the password on the first line of one"),
        (&file, "the password is empty; write it on the first line"),
    ] {
        let answer = password(named).await;
        let line = format!("interrex: --password-file {}: {why}\n", named.display());
        assert_eq!((answer.code, answer.err, answer.out.as_str()), (2, line, ""));
    }
    unchanged(&before, &tree(dir.path()));
}
