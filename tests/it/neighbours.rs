//! A node among others: one on its directory already, one that never comes, and a directory that somebody else made. It
//! says so and waits or refuses, and touches nothing.

use crate::support::{Answer, CLUSTER, Machine, Town, Tree, bin_dir, free, initdb, run, tree, unchanged};
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
    let before = ["n1", "n2"].map(|name| of_postgres(town.machine(name)));
    for name in ["n1", "n2"] {
        town.machine(name).start();
    }
    let at = town.machine("n3").coordinator();
    let missing = format!("the group forms once all its machines answer; missing: n3 at {at}: ");
    let way_out = format!(
        "; start them, or correct key 'coordinator.members' of {}",
        town.machines[0].file().display()
    );
    town.eventually("n1 to say whom it waits for", async || {
        let log = town.machines[0].log();
        log.lines().any(|line| line.contains(&missing) && line.ends_with(&way_out)).then_some(())
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
            answer.err.contains(&missing)
                && answer.err.contains("; start them, or correct key 'coordinator.members' of "),
            "{answer:?}"
        );
        assert_eq!(answer.err.lines().count(), 1, "{answer:?}");
    }
    for (name, before) in ["n1", "n2"].into_iter().zip(before) {
        let machine = town.machine(name);
        machine.stop();
        machine.stopped().await;
        unchanged(&before, &of_postgres(machine));
    }
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
        "key 'instance.pgdata': there is data that Interrex did not make (interrex.identity is missing); move it away",
    )
    .await;
}

#[tokio::test]
async fn a_node_whose_coordinators_do_not_answer_names_the_key_and_goes_on() {
    let town = Town::of(&["n1"]).await;
    let mut stranger = Stranger::new(&town);
    let at = town.machines[0].coordinator();
    stranger
        .says(
            &town,
            &format!(
                "no coordinator answered: {at}: connection refused; start one of them, or correct key \
                                   'agent.coordinators'"
            ),
        )
        .await;
    stranger.stops_and_changed_nothing().await;
}

#[tokio::test]
async fn a_name_that_another_machine_uses_is_refused_and_nothing_is_made_for_it() {
    let mut town = Town::of(&["n1"]).await;
    town.machines[0].start();
    town.healthy("a cluster of one").await;
    let told = town.events().await.len();
    let at = &town.machines[0];
    let refused = format!(
        "key 'name': the name n1 belongs to another data directory (on machine n1, {}); write another 'name' for one of \
         the two; or stop the other: ",
        at.host()
    );
    let mut stranger = Stranger::new(&town);
    stranger.says(&town, &refused).await;
    town.shows_turned_away(&refused).await;
    assert_eq!(town.events().await.len(), told, "a refusal is told to who asks, and to who looks");
    stranger.stops_and_changed_nothing().await;
    town.healthy("a cluster at whose door nobody stands any more").await;
    town.sql("n1", "select 1::text").await.unwrap();
}

#[tokio::test]
async fn data_of_another_postgresql_cluster_is_refused_by_its_system_identifier() {
    let mut town = Town::of(&["n1"]).await;
    town.machines[0].start();
    let ours = town.healthy("a cluster of one").await.system.expect("a cluster with data has one");
    let mut stranger = Stranger::new(&town);
    stranger.has_data();
    let refused = "key 'instance.pgdata': the data directory of n1 belongs to another PostgreSQL cluster: ";
    stranger.says(&town, refused).await;
    town.shows_turned_away(refused).await;
    let log = stranger.node.log();
    assert!(log.contains(&format!("that of demo is {ours}; move it away to let n1 clone")), "{log}");
    stranger.stops_and_changed_nothing().await;
}

/// Everything of PostgreSQL's user on a machine: the data directory, and where it would be made.
fn of_postgres(machine: &Machine) -> Tree {
    tree(&machine.dir.join("pg"))
}

/// A second machine that was given the name of the town's only one: a node without a coordinator.
struct Stranger {
    node: Machine,
    /// What PostgreSQL's user has there.
    before: Tree,
}

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
        Self { before: of_postgres(&machine), node: machine }
    }

    /// Starts and waits for the words, which have to be said once, behind the name of its file.
    async fn says(&mut self, town: &Town, words: &str) {
        self.node.start();
        let line = format!("{}: not registered yet: {words}", self.node.file().display());
        town.eventually("the node to say that it was refused", async || {
            self.node.log().contains(&line).then_some(())
        })
        .await;
        let log = self.node.log();
        assert_eq!(log.matches("not registered yet: ").count(), 1, "{log}");
    }

    /// Somebody else's PostgreSQL is there already.
    fn has_data(&mut self) {
        initdb(&self.node.pgdata());
        self.before = of_postgres(&self.node);
    }

    async fn stops_and_changed_nothing(&mut self) {
        self.node.stop();
        self.node.stopped().await;
        unchanged(&self.before, &of_postgres(&self.node));
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.node.clean();
    }
}

impl Town {
    /// Waits until the reason for which somebody is turned away is told to whoever looks at the cluster.
    async fn shows_turned_away(&self, why: &str) {
        let status =
            self.until("the refusal is among the problems", |status| !status.problems.is_empty()).await;
        let [problem] = &status.problems[..] else { panic!("one problem: {:?}", status.problems) };
        assert_eq!(problem.sentence, "n1 on machine n1 asks to be let in and is turned away");
        for asked in [&["show", CLUSTER][..], &["status"], &["explain", CLUSTER]] {
            let answer = self.ctl(asked).await;
            assert!(
                answer.out.contains(&problem.sentence) && answer.out.contains(why),
                "{asked:?}: {answer:?}"
            );
        }
        let list = self.ctl(&["list"]).await;
        assert!(list.out.contains("turned away"), "{list:?}");
    }

    /// Makes a directory as somebody else would, and waits until the node says that it is not its own.
    async fn refuses_the_data_with(&mut self, words: &str) {
        initdb(&self.machines[0].pgdata());
        let before = of_postgres(&self.machines[0]);
        self.machines[0].start();
        self.eventually("the node to refuse the directory", async || {
            let log = self.machines[0].log();
            log.contains(words).then_some(())
        })
        .await;
        self.eventually("the same words where the cluster is looked at", async || {
            let answer = self.ctl(&["show", CLUSTER]).await;
            answer.out.contains(words).then_some(())
        })
        .await;
        self.machines[0].stop();
        self.machines[0].stopped().await;
        unchanged(&before, &of_postgres(&self.machines[0]));
    }
}
