//! Scenes of the open port: who gets in with which certificate or token, and what everybody else is told.

use super::agent::Who;
use super::group::{Group, within};
use crate::service::AT_ONCE;
use interrex_api::admin::CreateCluster;
use interrex_api::client::{Client, ClientError, ClientOptions};
use interrex_api::refused::Refused;
use interrex_api::session::{Registered, ReportRequest, WatchRequest};
use interrex_authority::{Authority, Leaf, secret};
use interrex_cluster::ids::Incarnation;
use interrex_cluster::report::{Report, Server};
use interrex_cluster::spec::Spec;
use interrex_tls::{Files, Owner, Tls, Token};
use std::path::Path;

fn orders() -> CreateCluster {
    CreateCluster { name: "orders".parse().unwrap(), spec: Spec::default(), owner: None, adopt: None }
}

fn token(dir: &Path, name: &str) -> Token {
    let path = dir.join(name);
    secret(&path, &format!("the-token-of-{name}-and-nobody-else\n"));
    Token::load(&path).unwrap()
}

/// An operator who knows these coordinators as `MACHINE=host:port`.
fn operator(group: &Group, of: &[&str], tls: Option<&Tls>, token: Option<&Token>) -> Client {
    let addresses = of.iter().map(|name| format!("{name}={}", group.addresses[*name])).collect();
    let options = ClientOptions { tls: tls.cloned(), token: token.cloned(), ..ClientOptions::default() };
    Client::new(addresses, options).unwrap()
}

/// That there is nothing yet.
fn report(who: &Who) -> ReportRequest {
    let report = Report {
        incarnation: Incarnation(1),
        ..Report::of(who.name.clone(), who.directory.clone(), Server::NoData)
    };
    let (cluster, serial) = (who.cluster.clone(), who.serial());
    ReportRequest { cluster, report, wants_lease: None, serial, age: Default::default(), knows: None }
}

async fn refusal(client: &Client) -> String {
    match client.list_clusters().await.unwrap_err() {
        ClientError::Refused { refused: Refused::Forbidden(line), .. } => line,
        other => panic!("{other}"),
    }
}

async fn secured(size: usize, authority: &Authority, admin: Option<&Token>) -> Group {
    Group::of(size, |builder| {
        let name = builder.machine.clone().unwrap();
        let builder = builder.tls(authority.machine(name.as_str()));
        match admin {
            Some(token) => builder.admin_token(token.clone()),
            None => builder,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_come_with_a_certificate_or_the_token_and_any_coordinator_passes_them_on() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let (right, wrong) = (token(dir.path(), "right"), token(dir.path(), "wrong"));
    let group = secured(3, &authority, Some(&right)).await;
    let (leader, follower) = (group.leader().await, group.follower().await);
    let (bob, nobody) = (authority.operator(Some("bob")), authority.operator(None));

    // Both ways in, at the leader and passed on by another one.
    operator(&group, &[&follower], Some(&bob), None).create_cluster(&orders()).await.unwrap();
    for to in [&leader, &follower] {
        for (tls, token) in [(&bob, None), (&nobody, Some(&right))] {
            let clusters = operator(&group, &[to], Some(tls), token).list_clusters().await.unwrap();
            assert_eq!(clusters.len(), 1);
        }
        let none = refusal(&operator(&group, &[to], Some(&nobody), None)).await;
        assert_eq!(
            none,
            format!(
                "{to} was shown neither a certificate nor a token: give --tls-cert and --tls-key, or --token-file"
            )
        );
        let other = refusal(&operator(&group, &[to], Some(&nobody), Some(&wrong))).await;
        assert_eq!(
            other,
            format!("the token shown is not {to}'s: give the one of coordinator.admin_token_file there")
        );
        // Plain text is told so, whatever it shows.
        let plain = refusal(&operator(&group, &[to], None, Some(&right))).await;
        assert!(
            plain.starts_with(&format!("{to} speaks TLS and was called in plain text: give --tls-ca")),
            "{plain}"
        );
    }
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_is_not_believed_and_one_who_does_not_believe_are_told_which_side_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(&dir.path().join("a")), Authority::new(&dir.path().join("b")));
    let group = secured(1, &ours, None).await;
    let told = async |tls: &Tls, at: String| {
        let options = ClientOptions { tls: Some(tls.clone()), ..ClientOptions::default() };
        let error = Client::new(vec![at], options).unwrap().list_clusters().await.unwrap_err();
        assert!(matches!(error, ClientError::Insecure { .. }), "{error}");
        error.to_string()
    };
    let (at, named) = (group.addresses["n1"].clone(), format!("n1={}", group.addresses["n1"]));

    let line = told(&theirs.operator(None), named.clone()).await;
    assert_eq!(
        line,
        format!(
            "no coordinator could be spoken to over TLS: {named}: the certificate of n1 is not signed by the CA that is \
             believed here: use one CA for all"
        )
    );
    // Theirs signed the certificate, ours is believed: the coordinator refuses, and the operator reads why.
    let _ = theirs.sign("bob", Leaf::operator("bob"));
    let files = Files { ca: ours.files("n1").ca, ..theirs.files("bob") };
    let mixed = Tls::load(files.clone(), Owner::Operator).unwrap_err();
    assert!(mixed[0].to_string().contains("is not signed by the CA that is named beside it"), "{mixed:?}");
    // A CA file that holds both, as while one replaces the other, lets this side go as far as the handshake.
    let both = dir.path().join("both.pem");
    let read = |files: Files| std::fs::read_to_string(files.ca).unwrap();
    std::fs::write(&both, read(ours.files("n1")) + &read(theirs.files("bob"))).unwrap();
    let unknown = Tls::load(Files { ca: both, ..files }, Owner::Operator).unwrap();
    let line = told(&unknown, named).await;
    assert!(
        line.ends_with(
            "n1 does not believe this side's certificate: it is not signed by the CA that is believed there"
        ),
        "{line}"
    );
    // By its address alone, the certificate has to name that.
    let bob = ours.operator(Some("bob"));
    let options = ClientOptions { tls: Some(bob.clone()), ..ClientOptions::default() };
    assert!(Client::new(vec![at.clone()], options).unwrap().list_clusters().await.is_ok());
    let line = told(&bob, at.replace("127.0.0.1", "localhost")).await;
    assert!(
        line.contains(
            "is for n1, 127.0.0.1, not for localhost: correct the address, or write MACHINE=host:port"
        ),
        "{line}"
    );
    group.stop().await;

    let plain = Group::of(1, |builder| builder).await;
    let line = told(&bob, plain.addresses["n1"].clone()).await;
    assert!(line.contains("the coordinator does not speak TLS: is tls = \"off\" there?"), "{line}");
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tls_a_token_that_is_set_is_asked_for_and_passed_on_as_one_s_own() {
    let dir = tempfile::tempdir().unwrap();
    let (right, wrong) = (token(dir.path(), "right"), token(dir.path(), "wrong"));
    let group = Group::of(3, |builder| builder.admin_token(right.clone())).await;
    let follower = group.follower().await;
    let at = [follower.as_str()];
    operator(&group, &at, None, Some(&right)).create_cluster(&orders()).await.unwrap();
    let line = refusal(&operator(&group, &at, None, None)).await;
    assert_eq!(line, format!("{follower} was shown no token: give --token-file, or set INTERREX_TOKEN_FILE"));
    let line = refusal(&operator(&group, &at, None, Some(&wrong))).await;
    assert!(line.starts_with("the token shown is not"), "{line}");
    // Agents are not asked for one.
    assert!(matches!(Who::new("orders", "n1", &group.all()).register().await, Registered::Welcome(_)));
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_registers_reports_and_is_told_its_goals_by_its_own_certificate_alone() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let group = secured(1, &authority, None).await;
    let bob = authority.operator(Some("bob"));
    operator(&group, &["n1"], Some(&bob), None).create_cluster(&orders()).await.unwrap();

    let n2 = || Some(authority.machine("n2"));
    let own = Who::with("orders", "n2", &group.all(), n2());
    assert!(matches!(own.register().await, Registered::Welcome(_)));
    let imposter = |tls| Who::with("orders", "n2", &group.all(), tls);
    let line = "machine n2 was spoken for with a certificate for n3: only the certificate of n2 may; correct 'name' or \
                [tls] in the node file";
    let forbidden = |error: ClientError| match error {
        ClientError::Refused { refused: Refused::Forbidden(line), .. } => line,
        other => panic!("{other}"),
    };
    let n3 = imposter(Some(authority.machine("n3")));
    assert_eq!(forbidden(n3.coordinators[0].register(&n3.registration()).await.unwrap_err()), line);
    assert_eq!(forbidden(n3.coordinators[0].report(&report(&n3)).await.unwrap_err()), line);
    let (cluster, instance) = (n3.cluster.clone(), n3.name.clone());
    let watch = WatchRequest { cluster, instance, directory: n3.directory.clone() };
    assert_eq!(forbidden(n3.coordinators[0].watch(&watch).await.unwrap_err()), line);
    assert!(own.coordinators[0].watch(&watch).await.is_ok());
    assert!(own.coordinators[0].report(&report(&own)).await.is_ok());

    let nobody = imposter(Some(authority.operator(None)));
    let told = forbidden(nobody.coordinators[0].register(&nobody.registration()).await.unwrap_err());
    assert_eq!(told, "n1 takes this only from a machine with a certificate: write [tls] into its node file");
    let plain = imposter(None);
    let told = forbidden(plain.coordinators[0].register(&plain.registration()).await.unwrap_err());
    assert!(told.starts_with("n1 speaks TLS and was called in plain text"), "{told}");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_to_the_next_caller_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let owner = Owner::Machine("n1".to_owned());
    let tls = Tls::load(authority.sign("n1", Leaf::of("n1").without_ip()), owner).unwrap();
    let group = Group::of(1, |builder| builder.tls(tls.clone())).await;
    let bob = authority.operator(Some("bob"));
    let at = || {
        let options = ClientOptions { tls: Some(bob.clone()), ..ClientOptions::default() };
        Client::new(vec![group.addresses["n1"].clone()], options).unwrap()
    };
    let kept = operator(&group, &["n1"], Some(&bob), None);
    kept.list_clusters().await.unwrap();
    let line = at().list_clusters().await.unwrap_err().to_string();
    assert!(line.contains("is for n1, not for 127.0.0.1"), "{line}");

    let _ = authority.sign("n1", Leaf::of("n1"));
    assert!(within("it is read again", async { tls.refresh() }).await);
    at().list_clusters().await.unwrap();
    kept.list_clusters().await.unwrap();
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_opens_many_connections_and_says_nothing_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let group = secured(1, &authority, None).await;
    let address: std::net::SocketAddr = group.addresses["n1"].parse().unwrap();
    let mut mute = Vec::new();
    for _ in 0..AT_ONCE + 20 {
        mute.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let bob = authority.operator(Some("bob"));
    assert_eq!(operator(&group, &["n1"], Some(&bob), None).list_clusters().await.unwrap(), []);
    group.stop().await;
}
