//! A node among others: one on its directory already, one that never comes, and a directory that somebody else made. It
//! says so and waits or refuses, and touches nothing.

use crate::support::{Answer, CLUSTER, Machine, Town, bin_dir, free, initdb, run, tree, unchanged};
use std::fs;

#[tokio::test]
async fn a_second_node_on_one_directory_is_refused_and_the_first_goes_on() {
    let mut town = Town::of(&["n1"]).await;
    town.machines[0].start();
    town.healthy("a cluster of one").await;
    let file = town.machines[0].file();
    let (port, postgres_port) = (town.machines[0].port, town.machines[0].postgres_port);
    let text = fs::read_to_string(&file).unwrap();
    let elsewhere = town.dir().join("second.toml");
    let text = text.replace(&format!(":{port}\""), &format!(":{}\"", free()));
    fs::write(&elsewhere, text.replace(&format!(":{postgres_port}\""), &format!(":{}\"", free()))).unwrap();
    let answer = run(["node".as_ref(), "-c".as_ref(), elsewhere.as_os_str()]).await;
    let line = format!(
        "interrex: {}: key 'data_dir': \"{}/data\": another node runs on it; stop that one, or name another directory\n",
        elsewhere.display(),
        town.machines[0].dir.display()
    );
    assert_eq!((answer.code, answer.err), (1, line));
    town.sql("n1", "select 1::text").await.unwrap();
}

#[tokio::test]
async fn a_member_that_does_not_answer_is_named_until_it_does() {
    let mut town = Town::planned().await;
    for name in ["n1", "n2"] {
        town.machine(name).start();
    }
    let missing = format!(
        "the group forms once all its machines answer; missing: n3 at {}: ",
        town.machine("n3").coordinator()
    );
    town.eventually("n1 to say whom it waits for", async || {
        town.machines[0].log().contains(&missing).then_some(())
    })
    .await;
    for asked in [&["list"][..], &["events"], &["coordinator", "list"]] {
        let forming = |a: &Answer| a.err.starts_with("interrex: no coordinator can do this at the moment: ");
        let answer = town.ctl_until(asked, forming).await;
        assert_eq!((answer.code, answer.out.as_str()), (1, ""), "{asked:?}");
        assert!(
            answer.err.starts_with("interrex: the group of coordinators is not formed yet: "),
            "{answer:?}"
        );
        assert!(
            answer.err.contains(&missing) && answer.err.contains("; start them, or correct "),
            "{answer:?}"
        );
        assert_eq!(answer.err.lines().count(), 1, "{answer:?}");
    }
    assert!(!town.machines[0].pgdata().exists(), "nothing is made before the group is there");
}

#[tokio::test]
async fn data_of_another_cluster_is_never_touched() {
    let mut town = Town::of(&["n1"]).await;
    let pgdata = town.machines[0].pgdata();
    town.refuses_the_data_with("--adopt; or move the directory away to begin with an empty one").await;
    fs::remove_dir_all(&pgdata).unwrap();
    town.machines[0].start();
    town.healthy("a cluster of one").await;
    town.machines[0].stop();
    town.machines[0].stopped().await;

    fs::remove_dir_all(&pgdata).unwrap();
    town.refuses_the_data_with(
        "there is data that Interrex did not make (interrex.identity is missing); move it away",
    )
    .await;
}

#[tokio::test]
async fn a_name_that_another_machine_uses_is_refused_and_nothing_is_made_for_it() {
    let mut town = Town::of(&["n1"]).await;
    town.machines[0].start();
    town.healthy("a cluster of one").await;
    let told = town.events().await.len();
    let at = &town.machines[0];
    let refused = format!(
        "not registered yet: the name n1 belongs to another data directory (on machine n1, {}); write another 'name' \
         for one of the two; or stop the other: ",
        at.host()
    );
    let mut stranger = Stranger::new(&town);
    stranger.says(&town, &refused).await;
    assert_eq!(town.events().await.len(), told, "a refusal is told to the one who asked");
    stranger.stops_and_left_nothing().await;
    town.sql("n1", "select 1::text").await.unwrap();
}

#[tokio::test]
async fn data_of_another_postgresql_cluster_is_refused_by_its_system_identifier() {
    let mut town = Town::of(&["n1"]).await;
    town.machines[0].start();
    let ours = town.healthy("a cluster of one").await.system.expect("a cluster with data has one");
    let mut stranger = Stranger::new(&town);
    initdb(&stranger.0.pgdata());
    let before = tree(&stranger.0.pgdata());
    stranger
        .says(&town, "not registered yet: the data directory of n1 belongs to another PostgreSQL cluster: ")
        .await;
    let log = stranger.0.log();
    assert!(log.contains(&format!("that of demo is {ours}; move it away to let n1 clone")), "{log}");
    stranger.stops().await;
    unchanged(&before, &tree(&stranger.0.pgdata()));
}

/// A second machine that was given the name of the town's only one: a node without a coordinator.
struct Stranger(Machine);

impl Stranger {
    fn new(town: &Town) -> Self {
        let home = town.dir().join("stranger");
        let machine = Machine::new(&home, "n1");
        let text = format!(
            "name = \"n1\"\ndata_dir = \"{dir}/data\"\n[agent]\ncoordinators = [\"{coordinator}\"]\n[[instance]]\n\
             cluster = \"{CLUSTER}\"\nlisten = \"{listen}\"\nbin_dir = \"{bin_dir}\"\npgdata = \"{pgdata}\"\n",
            dir = machine.dir.display(),
            coordinator = town.machines[0].coordinator(),
            listen = machine.host(),
            bin_dir = bin_dir().display(),
            pgdata = machine.pgdata().display(),
        );
        fs::write(machine.file(), text).unwrap();
        Self(machine)
    }

    /// Starts and waits for the words, which have to be said once.
    async fn says(&mut self, town: &Town, words: &str) {
        self.0.start();
        town.eventually("the node to say that it was refused", async || {
            self.0.log().contains(words).then_some(())
        })
        .await;
        let log = self.0.log();
        assert_eq!(log.matches("not registered yet: ").count(), 1, "{log}");
    }

    async fn stops(&mut self) {
        self.0.stop();
        self.0.stopped().await;
    }

    async fn stops_and_left_nothing(&mut self) {
        self.stops().await;
        assert!(!self.0.pgdata().exists(), "{}", self.0.pgdata().display());
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.clean();
    }
}

impl Town {
    /// Makes a directory as somebody else would, and waits until the node says that it is not its own.
    async fn refuses_the_data_with(&mut self, words: &str) {
        let pgdata = self.machines[0].pgdata();
        initdb(&pgdata);
        let before = tree(&pgdata);
        self.machines[0].start();
        self.eventually("the node to refuse the directory", async || {
            let log = self.machines[0].log();
            log.contains(words).then_some(())
        })
        .await;
        self.machines[0].stop();
        self.machines[0].stopped().await;
        unchanged(&before, &tree(&pgdata));
    }
}
