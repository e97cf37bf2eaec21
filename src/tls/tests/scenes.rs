//! Scenes: files that fit, one thing changed, and the exact line that answers it; and files that are renewed while
//! they are in use.

use interrex_authority::{Authority, Leaf, secret};
use interrex_tls::{Fault, Files, Item, Owner, Tls, Token};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn n1() -> Owner {
    Owner::Machine("n1".to_owned())
}

struct Scene {
    dir: tempfile::TempDir,
    authority: Authority,
    files: Files,
}

impl Scene {
    fn of(leaf: Leaf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(dir.path());
        let files = authority.sign("n1", leaf);
        Self { dir, authority, files }
    }

    fn cert(&self) -> &Path {
        &self.files.own.as_ref().unwrap().0
    }

    fn key(&self) -> &Path {
        &self.files.own.as_ref().unwrap().1
    }

    /// Every fault, with the directory as `/…`.
    fn faults(&self) -> Vec<(Item, String)> {
        let faults = Tls::load(self.files.clone(), n1()).expect_err("files that do not fit");
        faults.iter().map(|fault| (fault.item, self.line(fault))).collect()
    }

    fn line(&self, fault: &Fault) -> String {
        fault.to_string().replace(&self.dir.path().display().to_string(), "/…")
    }

    fn refused(&self, item: Item, line: &str) {
        assert_eq!(self.faults(), [(item, line.to_owned())]);
    }
}

#[test]
fn files_that_fit_serve_and_ask_and_tell_their_end() {
    let scene = Scene::of(Leaf::of("n1"));
    let tls = Tls::load(scene.files.clone(), n1()).unwrap();
    assert!(tls.server().is_some());
    let days = tls.left().unwrap().as_secs() / 86_400;
    assert!((364..=365).contains(&days), "{days}");
    let other = scene.authority.operator(None);
    assert!(other.server().is_none());
    assert!(!format!("{tls:?}").contains("PRIVATE"));
}

#[test]
fn a_certificate_for_somebody_else_is_refused_with_the_names_that_it_has() {
    Scene::of(Leaf::of("n2")).refused(
        Item::Cert,
        "\"/…/n1.pem\" is for n2, not for this machine, n1; make one with subjectAltName = DNS:n1; docs/tls.md tells \
         how one is made",
    );
}

#[test]
fn an_expired_certificate_is_refused_with_its_age() {
    Scene::of(Leaf::of("n1").ends_in(-3))
        .refused(Item::Cert, "\"/…/n1.pem\" expired 3 days ago; renew it; docs/tls.md tells how one is made");
}

#[test]
fn a_certificate_that_only_asks_cannot_serve_a_machine_and_serves_an_operator() {
    let scene = Scene::of(Leaf::operator("n1"));
    scene.refused(
        Item::Cert,
        "\"/…/n1.pem\" is not made for the server's side; make one with extendedKeyUsage = serverAuth, clientAuth; \
         docs/tls.md tells how one is made",
    );
    assert!(Tls::load(scene.files.clone(), Owner::Operator).is_ok());
}

#[test]
fn a_certificate_of_another_ca_is_refused() {
    let scene = Scene::of(Leaf::of("n1"));
    drop(Authority::new(scene.dir.path()));
    scene.refused(
        Item::Cert,
        "\"/…/n1.pem\" is not signed by the CA that is named beside it; name the CA that signed it; docs/tls.md tells \
         how one is made",
    );
}

#[test]
fn the_ca_s_own_certificate_is_no_machine_s() {
    let scene = Scene::of(Leaf::of("n1"));
    fs::copy(&scene.files.ca, scene.cert()).unwrap();
    let (item, line) = scene.faults().remove(0);
    assert_eq!(item, Item::Key);
    assert!(line.contains("is not the key of the certificate \"/…/n1.pem\""), "{line}");
}

#[test]
fn another_one_s_key_is_refused() {
    let scene = Scene::of(Leaf::of("n1"));
    let other = scene.authority.sign("n2", Leaf::of("n2")).own.unwrap().1;
    fs::copy(other, scene.key()).unwrap();
    scene.refused(
        Item::Key,
        "\"/…/n1.key\" is not the key of the certificate \"/…/n1.pem\"; name the two that were made together",
    );
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let scene = Scene::of(Leaf::of("n1"));
    fs::set_permissions(scene.key(), Permissions::from_mode(0o644)).unwrap();
    scene.refused(Item::Key, "\"/…/n1.key\" has mode 0644, so others may read it; chmod 0600 /…/n1.key");
}

#[test]
fn every_file_that_is_missing_or_no_pem_is_told_at_once() {
    let scene = Scene::of(Leaf::of("n1"));
    fs::write(&scene.files.ca, "hello").unwrap();
    fs::remove_file(scene.key()).unwrap();
    assert_eq!(
        scene.faults(),
        [
            (
                Item::Ca,
                "\"/…/ca.pem\" holds no certificate in PEM; docs/tls.md tells how one is made".to_owned()
            ),
            (
                Item::Key,
                "\"/…/n1.key\" cannot be read: No such file or directory (os error 2); name a file that is there, \
                 and correct its owner and mode"
                    .to_owned()
            ),
        ]
    );
    secret(scene.key(), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    assert!(scene.faults()[1].1.contains("is locked by a passphrase"), "{:?}", scene.faults());
}

#[test]
fn a_renewed_pair_is_taken_and_half_of_one_is_not() {
    let scene = Scene::of(Leaf::of("n1").ends_in(1));
    let tls = Tls::load(scene.files.clone(), n1()).unwrap();
    let (client, server) = (tls.client(), tls.server().unwrap());
    assert!(!tls.refresh(), "nothing was changed");

    let former_key = fs::read_to_string(scene.key()).unwrap();
    let _ = scene.authority.sign("n1", Leaf::of("n1"));
    let new_key = fs::read_to_string(scene.key()).unwrap();
    secret(scene.key(), &former_key);
    assert!(!tls.refresh(), "the new certificate came, its key did not yet");
    assert!(std::sync::Arc::ptr_eq(&tls.client(), &client), "the former pair stays in use");

    secret(scene.key(), &new_key);
    assert!(tls.refresh());
    assert!(!std::sync::Arc::ptr_eq(&tls.client(), &client));
    assert!(!std::sync::Arc::ptr_eq(&tls.server().unwrap(), &server));
    assert!(!tls.refresh(), "once is enough");

    let _ = scene.authority.sign("n1", Leaf::of("n2"));
    assert!(!tls.refresh(), "a certificate for somebody else is no renewal");
    fs::remove_file(scene.cert()).unwrap();
    assert!(!tls.refresh(), "nor is none");
}

#[test]
fn a_token_is_one_long_line_that_nobody_else_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let refused = |text: &str| {
        secret(&path, text);
        Token::load(&path).unwrap_err().to_string().replace(&path.display().to_string(), "/token")
    };
    let way = "; write one with: openssl rand -hex 32 > /token";
    assert_eq!(refused(""), format!("\"/token\" holds a token shorter than 16 letters{way}"));
    assert_eq!(refused("0123456789abcdef\nx\n"), format!("\"/token\" has more than one line{way}"));
    assert_eq!(
        refused("0123456789abcde f"),
        format!("\"/token\" holds other letters than printable ASCII{way}")
    );
    secret(&path, "0123456789abcdef\n");
    let token = Token::load(&path).unwrap();
    assert!(token.is_shown_by(&token.bearer()));
    for wrong in
        ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeg", "Bearer 0123456789abcdef0", "0123456789abcdef"]
    {
        assert!(!token.is_shown_by(wrong), "{wrong}");
    }
    assert!(!format!("{token:?}").contains("0123"));
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let line = Token::load(&path).unwrap_err().to_string();
    assert!(line.contains("has mode 0640, so others may read it; chmod 0600"), "{line}");
}
