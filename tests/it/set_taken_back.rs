//! A parameter that PostgreSQL refuses only when it starts, on the only instance: whoever restarts it hears why it does not come
//! up, and the parameter is taken back although no primary is there to judge that.

use crate::support::{Town, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_that_only_a_start_refuses_is_told_and_taken_back_while_nobody_takes_writes() {
    let mut town = Town::of(&["n1"]).await;
    town.machines[0].start();
    town.healthy("a cluster of one").await;
    let writer = Writer::start(&town).await;
    // More memory than there is, and in pages that there are none of.
    let set = town.ctl(&["set", "demo", "work_mem=7MB", "huge_pages=on", "shared_buffers=64GB"]).await;
    assert_eq!(set.code, 0, "PostgreSQL says so only when it starts: {set:?}");
    town.until("the restart to be shown as pending", |s| {
        s.instances.iter().all(|i| i.pending_restart == ["huge_pages", "shared_buffers"])
    })
    .await;

    let ended = town.ctl(&["restart", "demo"]).await;
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    for words in
        ["n1 does not start again: ", "could not map", "interrex set demo huge_pages= shared_buffers= "]
    {
        assert!(ended.err.contains(words), "{words}: {ended:?}");
    }
    // Whoever comes later finds the way back where it is asked what is wrong.
    let explained = town.ctl(&["explain", "demo"]).await;
    assert!(explained.out.contains("is taken back with: interrex set demo NAME="), "{explained:?}");
    let refused = town.ctl(&["set", "demo", "shared_buffers=128MB"]).await;
    assert_eq!((refused.code, refused.err.contains("can be taken back")), (1, true), "{refused:?}");

    let set = town.ctl(&["set", "demo", "huge_pages=", "shared_buffers="]).await;
    assert_eq!(set.code, 0, "{set:?}");
    town.healthy("a cluster of one that starts again").await;
    assert_eq!(town.sql("n1", "show work_mem").await.unwrap(), ["7MB"], "the others stay");
    writer.acknowledged(&town, 50).await;
    writer.verdict(&town).await;
}
