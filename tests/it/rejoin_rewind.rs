//! The old primary holds a commit that nobody else has: promised to no one, and gone with its epoch. What it holds past
//! the fork is rewound, and it follows.

use crate::support::{CLUSTER, Machine, Town, bin_dir, healthy, instance, primary};
use rustix::process::Signal;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_with_wal_of_its_own_is_rewound_and_follows() {
    let mut town = Town::up().await;
    let before = town.status().await.expect("a healthy cluster answers");
    let old = primary(&before);
    town.sql(&old, "create table kept (what text)").await.unwrap();
    town.sql(&old, "insert into kept values ('shared')").await.unwrap();

    town.write_what_nobody_else_gets(&old, "insert into kept values ('its own')").await;
    town.machine(&old).kill();
    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    let new = primary(&after);
    assert_eq!(town.sql(&new, "select what from kept").await.unwrap(), ["shared"]);
    town.sql(&new, "insert into kept values ('after')").await.unwrap();

    town.machine(&old).start();
    let whole = town.until("the old primary streams again", healthy).await;
    let rewound = town.told("rewinding", after.epoch.0).await;
    assert_eq!(rewound, [format!("{old} is being rewound from {new}")]);
    assert_eq!(town.told("cloning", after.epoch.0).await, [""; 0], "a rewind did it");
    what_went_is_told(&mut town, &old).await;
    assert_eq!(instance(&whole, &old).incarnation, instance(&before, &old).incarnation.next());
    assert_eq!(whole.epoch, after.epoch);
    town.eventually("its own row to be gone from the old primary", async || {
        let rows = town.sql(&old, "select what from kept order by what").await.ok()?;
        (rows == ["after", "shared"]).then_some(())
    })
    .await;
}

/// Up to version 15 pg_rewind believes the last checkpoint of the primary that it copies from, which is of the timeline
/// before for as long as the first one since the promotion is not over (F26): it would say that there is nothing to
/// rewind. Of two machines the one that was promoted has nobody to prove its rule with, so a rewind waits for no proof,
/// and with it for no checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_has_not_ended_its_first_checkpoint_is_asked_for_one_before_a_rewind_begins() {
    let mut town = Town::of_two_and_a_vote().await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster of two").await;
    let old = primary(&before);
    let new = before.instances.iter().map(|i| i.name.to_string()).find(|name| *name != old);
    let new = new.expect("a standby");
    town.sql(&old, "create table kept (what text)").await.unwrap();
    town.sql(&old, "insert into kept values ('shared')").await.unwrap();

    let checkpointers = town.machine(&new).backends("checkpointer");
    let [checkpointer] = checkpointers.as_slice() else { panic!("{checkpointers:#?}") };
    checkpointer.signal(Signal::STOP);
    town.write_what_nobody_else_gets(&old, "insert into kept values ('its own')").await;
    town.machine(&old).kill();
    // Back at once: it is to be rewound while the checkpoint is held up, and its vote keeps the others' leases.
    town.until("the standby is elected", |s| s.epoch > before.epoch).await;
    town.machine(&old).start();
    town.eventually("the new primary to be asked for a checkpoint over the network", async || {
        let machine = town.machines.iter().find(|machine| machine.name == new)?;
        // It asks itself for one as well, over its own socket.
        let asked = machine.backends(" CHECKPOINT");
        asked.iter().any(|backend| backend.command.contains(" 127.0.0.1(")).then_some(())
    })
    .await;
    assert_eq!(last_checkpoint(town.machine(&new)), before.epoch.0, "what pg_rewind would believe");

    checkpointer.signal(Signal::CONT);
    let whole = town.until("the old primary streams again", healthy).await;
    assert_eq!(primary(&whole), new);
    let rewound = town.told("rewinding", before.epoch.0 + 1).await;
    assert_eq!(rewound, [format!("{old} is being rewound from {new}")]);
    assert_eq!(town.told("cloning", before.epoch.0 + 1).await, [""; 0], "a rewind did it");
    assert_eq!(town.sql(&old, "select what from kept").await.unwrap(), ["shared"]);
}

/// The timeline of a machine's last checkpoint, by its control file: nobody but its own agent may ask the server yet.
fn last_checkpoint(machine: &Machine) -> u32 {
    let mut command = Command::new(bin_dir().join("pg_controldata"));
    let output = command.arg("-D").arg(machine.pgdata()).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let timeline = text.lines().find_map(|line| line.strip_prefix("Latest checkpoint's TimeLineID:"));
    timeline.unwrap_or_else(|| panic!("no timeline in {output:?}")).trim().parse().unwrap()
}

/// Nobody has to find out alone what the old primary held: the event, the command and the machine say the same.
async fn what_went_is_told(town: &mut Town, old: &str) {
    let events = town.told("receipt", 2).await;
    let [event] = events.as_slice() else { panic!("{events:#?}") };
    assert!(
        event.starts_with(&format!("the copy of {old} that was given up held what nobody else has: ")),
        "{event}"
    );
    assert!(event.contains("demo.public.kept: 1 inserted"), "{event}");

    let table = town.ctl(&["receipt", CLUSTER, old]).await;
    assert_eq!(table.code, 0, "{table:?}");
    for part in ["demo.public.kept: 1 inserted", "rewind", "none of these transactions was ever acknowledged"]
    {
        assert!(table.out.contains(part), "{part} is missing in\n{}", table.out);
    }
    let json = town.ctl(&["receipt", CLUSTER, "--output", "json"]).await;
    let told = json.json();
    let receipt = &told[0]["receipt"];
    assert!(receipt["transactions"].as_u64() >= Some(1) && receipt["bytes"].as_u64() > Some(0), "{told:#}");

    // On its machine: the list, and WAL that pg_waldump reads.
    let kept = std::path::PathBuf::from(receipt["kept"].as_str().expect("a directory"));
    assert!(
        kept.starts_with(town.machine(old).dir.join("data/instances").join(CLUSTER).join("receipts")),
        "{kept:?}"
    );
    let text = std::fs::read_to_string(kept.join("receipt.txt")).unwrap();
    assert!(text.contains("demo.public.kept: 1 inserted") && text.contains(" at 0/"), "{text}");
    let segments = std::fs::read_dir(kept.join("wal")).unwrap().flatten();
    assert!(
        segments.map(|file| file.metadata().unwrap().len()).any(|length| length >= 16 << 20),
        "no segment"
    );
}
