//! Three machines with nothing on them become a cluster, and the operator's commands tell of it: as tables for people,
//! as JSON for programs, with the exit codes that scripts go by.

use crate::support::{self, CLUSTER, Machine, Town, healthy, instance, run_unread};
use interrex_cluster::wal::Lsn;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_machines_with_nothing_become_a_cluster_and_the_commands_tell_of_it() {
    let town = Town::up().await;
    let status = town.status().await.expect("a healthy cluster answers");
    assert!(healthy(&status), "{status:#?}");
    let primary = support::primary(&status);
    assert_eq!(status.epoch.0, 2, "the first copy is of epoch 1, its promotion opens epoch 2");
    let standbys: Vec<&str> = ["n1", "n2", "n3"].into_iter().filter(|name| *name != primary).collect();
    assert_eq!(status.rule, format!("epoch 2: {primary} waits for 1 of {}, {}", standbys[0], standbys[1]));

    an_application_finds_its_database(&town, &primary, &standbys).await;
    tables_say_what_a_person_wants_to_know(&town, &primary).await;
    json_says_the_same(&town, &primary).await;
    the_story_begins_with_the_registrations(&town, &primary).await;
    refusals_are_one_line(&town, &primary).await;
    who_closes_the_pipe_has_read_enough(&town).await;
}

async fn an_application_finds_its_database(town: &Town, primary: &str, standbys: &[&str]) {
    town.sql(primary, "create table greetings (what text)").await.unwrap();
    town.sql(primary, "insert into greetings values ('hello')").await.unwrap();
    for standby in standbys {
        town.eventually("the row to be replayed on a standby", async || {
            let rows = town.sql(standby, "select what from greetings").await.ok()?;
            (rows == ["hello"]).then_some(())
        })
        .await;
        let refused = town.sql(standby, "insert into greetings values ('no')").await.unwrap_err();
        assert!(refused.to_string().contains("read-only transaction"), "{refused}");
    }
    let owner = "select pg_get_userbyid(datdba)::text from pg_database where datname = current_database()";
    assert_eq!(town.sql(primary, owner).await.unwrap(), ["app"]);
    let roles = "select rolname::text || ' ' || rolsuper::text || ' ' || rolreplication::text from pg_roles \
                 where rolname like 'interrex%' or rolname = 'app' order by 1";
    let roles = town.sql(primary, roles).await.unwrap();
    assert_eq!(roles, ["app false false", "interrex true true", "interrex_repl false true"]);
}

async fn tables_say_what_a_person_wants_to_know(town: &Town, primary: &str) {
    let said = |answer: &crate::support::Answer, wanted: &str| {
        let lines = answer.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let found = lines.into_iter().any(|line| line.starts_with(wanted));
        assert!(found && answer.code == 0 && answer.err.is_empty(), "no line '{wanted}…' in {answer:#?}");
    };
    let list = town.ctl(&["list"]).await;
    said(&list, "CLUSTER PRIMARY EPOCH INSTANCES STATE");
    said(&list, &format!("{CLUSTER} {primary} 2 3/3 healthy"));

    let show = town.ctl(&["show", CLUSTER]).await;
    let all = town.ctl(&["status"]).await;
    for answer in [&show, &all] {
        said(answer, &format!("cluster {CLUSTER}: healthy"));
        said(answer, &format!("primary {primary}"));
        said(answer, "epoch 2, steady");
        said(answer, &format!("rule epoch 2: {primary} waits for 1 of "));
        for name in ["n1", "n2", "n3"] {
            let role = if name == primary { "primary open" } else { "standby streaming" };
            said(answer, &format!("{name} {role} zone-of-{name} 127.0.0.1:"));
        }
    }
    said(&show, "connect postgresql://app@127.0.0.1:");
    assert!(
        show.out.trim_end().ends_with(&format!("/{CLUSTER}?target_session_attrs=read-write")),
        "{}",
        show.out
    );
    said(
        &town.ctl(&["show", CLUSTER, "--with-password"]).await,
        "connect postgresql://app:an-application-s-secret@",
    );
    said(&all, "COORDINATOR ADDRESS ROLE HEARD LEVEL");
    let leads = |machine: &Machine| {
        let row = format!("{} {} leader", machine.name, machine.coordinator());
        all.out.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(&row))
    };
    // Whoever it is at the time of the table.
    assert_eq!(town.machines.iter().filter(|machine| leads(machine)).count(), 1, "{all:#?}");

    let explain = town.ctl(&["explain", CLUSTER]).await;
    said(&explain, &format!("{CLUSTER}: steady"));
    said(&explain, "nothing to do");
    let dry = town.ctl(&["failover", CLUSTER, "--dry-run"]).await;
    said(&dry, "may lose: no acknowledged commit");
    assert!(dry.out.contains(" would win epoch 3, as things stand"), "{}", dry.out);
    assert!(healthy(&town.status().await.expect("an answer")), "a dry run changes nothing");
}

async fn json_says_the_same(town: &Town, primary: &str) {
    let json = async |args: &[&str]| {
        let answer = town.ctl(&[args, &["--output", "json"]].concat()).await;
        assert!(answer.code == 0 && answer.err.is_empty(), "{answer:#?}");
        answer.json()
    };
    let is_ours = |cluster: &Value| {
        assert_eq!(cluster["name"], CLUSTER);
        assert_eq!(cluster["primary"], primary);
        assert_eq!((&cluster["epoch"], &cluster["open"]), (&2.into(), &true.into()));
        assert_eq!(cluster["instances"].as_array().map(Vec::len), Some(3));
        assert_eq!(cluster["problems"], Value::Array(Vec::new()));
        // What a reader of JSON would round is text.
        let (id, system) = (cluster["id"].as_str(), cluster["system"].as_str());
        assert!(id.is_some_and(|id| id.len() == 8) && system.is_some_and(|system| system.len() > 16));
        let lsn = cluster["instances"][0]["lsn"].as_str();
        assert!(lsn.is_some_and(|lsn| lsn.parse::<Lsn>().is_ok()), "{cluster:#}");
    };
    is_ours(&json(&["list"]).await[0]);
    let show = json(&["show", CLUSTER]).await;
    is_ours(&show["cluster"]);
    assert!(show["connection"].as_str().is_some_and(|text| text.starts_with("postgresql://app@127.0.0.1:")));
    let all = json(&["status"]).await;
    is_ours(&all["clusters"][0]);
    let leads = |member: &&Value| member["leader"] == true;
    assert_eq!(all["coordinators"].as_array().map(|all| all.iter().filter(leads).count()), Some(1));
    let explain = json(&["explain", CLUSTER]).await;
    is_ours(&explain["cluster"]);
    assert_eq!(explain["lines"], serde_json::json!(["nothing to do"]));
    let dry = json(&["failover", CLUSTER, "--dry-run"]).await;
    assert_eq!((&dry["accepted"], &dry["epoch"], &dry["may_lose"]), (&true.into(), &3.into(), &Value::Null));
    assert_eq!(json(&["coordinator", "list"]).await.as_array().map(Vec::len), Some(3));
}

async fn the_story_begins_with_the_registrations(town: &Town, primary: &str) {
    let kinds: Vec<String> = town.events().await.into_iter().map(|event| event.kind).collect();
    let at =
        |kind: &str| kinds.iter().position(|k| k == kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"));
    let order =
        ["created", "registered", "bootstrap", "bootstrapped", "elected", "promoted", "cloning", "opened"];
    let places: Vec<usize> = order.iter().map(|kind| at(kind)).collect();
    assert!(places.is_sorted(), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "cloning").count(), 2, "{kinds:?}");

    let table = town.ctl(&["events", CLUSTER]).await;
    let json = town.ctl(&["events", CLUSTER, "--output", "json"]).await;
    assert_eq!((table.code, json.code), (0, 0));
    assert_eq!(table.out.lines().count(), kinds.len());
    let told: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told.iter().zip(&kinds).all(|(event, kind)| event["kind"] == kind.as_str()), "{told:#?}");
    assert!(table.out.contains(&format!("{primary} creates the first copy")), "{}", table.out);
}

async fn refusals_are_one_line(town: &Town, primary: &str) {
    let status = town.status().await.expect("an answer");
    assert_eq!(instance(&status, "n1").machine.as_str(), "n1");
    let of_nosuch: &[&[&str]] = &[
        &["show", "nosuch"],
        &["explain", "nosuch"],
        &["events", "nosuch"],
        &["receipt", "nosuch"],
        &["failover", "nosuch"],
        &["switchover", "nosuch"],
        &["set", "nosuch", "acks=0"],
        &["pause", "nosuch"],
        &["resume", "nosuch"],
        &["restart", "nosuch"],
        &["reinit", "nosuch", "n1"],
        &["instance", "remove", "nosuch", "n1"],
        &["instance", "keep", "nosuch", "n1"],
    ];
    let of_n9: &[&[&str]] = &[
        &["failover", CLUSTER, "--to", "n9"],
        &["failover", CLUSTER, "--accept-loss", "--fenced", "n9"],
        &["switchover", CLUSTER, "--to", "n9"],
        &["restart", CLUSTER, "n9"],
        &["reinit", CLUSTER, "n9"],
        &["instance", "remove", CLUSTER, "n9"],
        &["instance", "keep", CLUSTER, "n9"],
    ];
    let is_primary = format!("interrex: {primary} is the primary; first: interrex switchover demo\n");
    let already = |what: &str| format!("interrex: no {what}: {primary} is the primary already\n");
    let (over, failed_over) = (already("switchover of demo"), already("failover of demo as asked"));
    let others: &[(&[&str], &str)] = &[
        (&["reinit", CLUSTER, primary], &is_primary),
        (&["instance", "remove", CLUSTER, primary], &is_primary),
        (&["switchover", CLUSTER, "--to", primary], &over),
        (&["failover", CLUSTER, "--to", primary], &failed_over),
        (
            &["receipt", CLUSTER, "n9"],
            "interrex: cluster demo has no instance n9, and no receipt of one; its instances: n1, n2, n3\n",
        ),
        (&["create", CLUSTER], "interrex: cluster demo exists already; see: interrex show demo\n"),
        (
            &["coordinator", "transfer", "--to", "n9"],
            "interrex: n9 is not a voter of this group; see: interrex coordinator list\n",
        ),
    ];
    let nosuch = "interrex: there is no cluster nosuch; see: interrex list\n";
    let n9 = "interrex: n9 is not an instance of cluster demo; see: interrex show demo\n";
    let nosuch = of_nosuch.iter().map(|args| (*args, nosuch));
    let n9 = of_n9.iter().map(|args| (*args, n9));
    let before = town.events().await.len();
    for (args, line) in nosuch.chain(n9).chain(others.iter().copied()) {
        let answer = town.ctl(args).await;
        assert_eq!((answer.code, answer.err.as_str(), answer.out.as_str()), (1, line, ""), "{args:?}");
    }
    assert_eq!(town.events().await.len(), before, "a refusal changes nothing");
}

async fn who_closes_the_pipe_has_read_enough(town: &Town) {
    let coordinators = town.machines[0].coordinator();
    let raft = town.machines[0].dir.join("data/raft").display().to_string();
    let commands: &[&[&str]] = &[
        &["list"],
        &["status"],
        &["show", CLUSTER],
        &["events", CLUSTER],
        &["explain", CLUSTER],
        &["failover", CLUSTER, "--dry-run"],
        &["coordinator", "list"],
        &["raft-log", &raft],
        &["--help"],
    ];
    for args in commands {
        let ask = ["--coordinators", coordinators.as_str()];
        let asks_nobody = ["raft-log", "--help"].contains(&args[0]);
        let answer = run_unread(args.iter().chain(ask.iter().filter(|_| !asks_nobody))).await;
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{args:?}");
    }
}
