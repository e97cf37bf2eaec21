//! A town with `[tls]`: it comes up, fails over and takes renewed certificates as any other; whoever proves nothing gets
//! neither a registration nor a word about the cluster.

use crate::support::{CLUSTER, Machine, Writer, healthy, now_ms, primary, run};
use interrex_api::client::{ClientError, ClientOptions, SessionClient};
use interrex_api::refused::Refused;
use interrex_api::session::{RegisterRequest, Serial};
use interrex_authority::Leaf;
use interrex_cluster::command::Registration;
use interrex_cluster::ids::DirectoryId;
use interrex_cluster::record::Address;
use interrex_tls::Tls;

/// As n2's agent would present itself.
fn registration() -> RegisterRequest {
    RegisterRequest {
        cluster: CLUSTER.parse().unwrap(),
        registration: Registration {
            instance: "n2".parse().unwrap(),
            machine: "n2".parse().unwrap(),
            zone: String::new(),
            directory: DirectoryId("another".to_owned()),
            address: Address { host: "127.0.0.1".to_owned(), port: 1 },
            priority: Some(0),
            major: 15,
            system: None,
            replaces: None,
        },
        serial: Serial { start: 1, run: 1, number: 1 },
        obeyed: None,
    }
}

async fn refused(machine: &Machine, tls: Option<Tls>) -> String {
    let at = format!("{}={}", machine.name, machine.coordinator());
    let line = SessionClient::new(&at, ClientOptions { tls, ..ClientOptions::default() }).unwrap();
    match line.register(&registration()).await {
        Err(ClientError::Refused { refused: Refused::Forbidden(why), .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_town_with_tls_fails_over_and_tells_nothing_to_whoever_proves_nothing() {
    let (mut town, authority) = crate::support::Town::secured().await;
    town.machines.iter_mut().for_each(Machine::start);
    let before = town.healthy("a cluster over TLS").await;
    for name in ["n1", "n2", "n3"] {
        drop(authority.sign(name, Leaf::of(name)));
    }

    let first = &town.machines[0];
    let why = refused(first, None).await;
    assert!(why.starts_with("n1 speaks TLS and was called in plain text"), "{why}");
    let why = refused(first, Some(authority.operator(None))).await;
    assert!(why.starts_with("n1 takes this only from a machine with a certificate"), "{why}");
    let why = refused(first, Some(authority.machine("n3"))).await;
    assert!(why.starts_with("machine n2 was spoken for with a certificate for n3"), "{why}");

    let (at, ca) = (first.coordinator(), authority.files("alice").ca.display().to_string());
    let show = ["show", CLUSTER, "--coordinators", &at];
    let answer = run(show).await;
    assert_eq!((answer.code, answer.out.as_str()), (1, ""));
    assert!(answer.err.starts_with("interrex: n1 speaks TLS and was called in plain text"), "{answer:?}");
    let answer = run(show.into_iter().chain(["--tls-ca", &ca])).await;
    assert_eq!((answer.code, answer.out.as_str()), (1, ""));
    assert!(answer.err.contains("only with a certificate, as its node file sets no"), "{answer:?}");
    let (cert, key) = authority.files("alice").own.expect("an own certificate");
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let answer = run(show.into_iter().chain(["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key])).await;
    assert_eq!(answer.code, 0, "{answer:?}");

    let old = primary(&before);
    let writer = Writer::start(&town).await;
    let killed_at = now_ms();
    town.machine(&old).kill();
    writer.acknowledged(&town, 200).await;
    eprintln!("over TLS, write outage {} ms", writer.longest_gap(killed_at).ms);
    let after = town.until("another primary is open", |s| s.open && s.epoch > before.epoch).await;
    assert_ne!(primary(&after), old);
    town.machine(&old).start();
    town.until("the old primary streams again, by itself", healthy).await;
    writer.verdict(&town).await;

    for machine in town.machines.iter().filter(|machine| machine.name != old) {
        let renewed =
            async || machine.log().contains("renewed TLS files are in use from now on").then_some(());
        town.eventually("a renewed certificate to be taken", renewed).await;
    }
    for machine in &town.machines {
        let log = machine.log();
        assert!(!log.contains("PRIVATE KEY") && !log.contains(&town.login().password.unwrap()), "{log}");
    }
}
