//! Scenes: a node on a machine that is ready, one change of the machine, and the exact refusal. After
//! each refusal the tree of files is what it was: names, contents, modes and times of change.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ROOM, Room, check_with};
use crate::{Node, open_data_dir};

/// A temporary machine: programs that answer like PostgreSQL 15, a free port, directories to be made.
struct Machine {
    root: tempfile::TempDir,
    node: Node,
}

impl Machine {
    fn ready() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| root.path().join(name).display().to_string();
        let text = format!(
            "name = \"n1\"\ndata_dir = \"{}\"\n[agent]\ncoordinators = [\"127.0.0.1:7400\"]\n[[instance]]\n\
             cluster = \"orders\"\nlisten = \"127.0.0.1:{}\"\npgdata = \"{}\"\nbin_dir = \"{}\"\nrun_as = \"{}\"\n",
            at("node"),
            free_port(),
            at("orders"),
            at("bin"),
            whoever_may_run_postgres(),
        );
        let machine = Machine { root, node: crate::file::parse("node.toml", &text).unwrap() };
        fs::create_dir(machine.at("bin")).unwrap();
        for program in super::programs::NEEDED {
            machine.program(program, "15.18");
        }
        machine
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Written by a child: were this process to write it, another test's fork could hold it open for
    /// writing just then, and Linux runs no such file.
    fn program(&self, name: &str, version: &str) {
        let script = format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n");
        let write = "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"";
        let path = self.at("bin").join(name);
        let done = Command::new("sh").args(["-c", write, "sh"]).arg(path).arg(script).status().unwrap();
        assert!(done.success());
    }

    fn directory(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.at(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// The whole pgdata directory, owned by the user of PostgreSQL.
    fn pgdata(&self, mode: u32) -> PathBuf {
        let path = self.directory("orders", mode);
        if is_root() {
            let user = super::users::whom(None).unwrap().unwrap();
            chown(&path, Some(user.uid), Some(user.gid)).unwrap();
        }
        path
    }

    /// The refusal, with the machine's temporary root as `/…`, after nothing was seen to change.
    fn refusal(&self) -> String {
        self.refusal_with(ROOM)
    }

    fn refusal_with(&self, room: Room) -> String {
        let before = tree(self.root.path());
        let refusal = check_with(&self.node, room).expect_err("a machine that refuses");
        assert_eq!(tree(self.root.path()), before, "a refusal changed the disk");
        assert_eq!(refusal.exit_code(), 1);
        self.shortened(&refusal.to_string())
    }

    fn shortened(&self, text: &str) -> String {
        let port = self.node.instances[0].listen.port().to_string();
        text.replace(&self.root.path().display().to_string(), "/…").replace(&port, "PORT")
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn whoever_may_run_postgres() -> String {
    if is_root() {
        return "postgres".into();
    }
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().into()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Path → mode, owner, time of change, contents.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, u32, i128, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut contents = Vec::new();
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if meta.is_file() {
            contents = fs::read(&path).unwrap();
        }
        let changed = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        seen.insert(path, (meta.mode(), meta.uid(), changed, contents));
    }
    seen
}

#[test]
fn a_machine_that_is_ready_says_where_and_as_whom() {
    let machine = Machine::ready();
    let before = tree(machine.root.path());
    let world = super::check(&machine.node).unwrap();
    assert_eq!(tree(machine.root.path()), before);
    assert_eq!(world.places[0].bin_dir, machine.at("bin"));
    assert_eq!(world.places[0].major, 15);
    assert_eq!(world.places[0].run_as.is_some(), is_root());
    assert!(!world.places[0].already_running);
}

#[test]
fn the_programs_of_this_very_machine_are_found_by_themselves() {
    let mut machine = Machine::ready();
    machine.node.instances[0].bin_dir = None;
    // Without PostgreSQL the answer is the line that says what to install.
    match super::check(&machine.node) {
        Ok(world) => assert!(world.places[0].bin_dir.join("postgres").is_file()),
        Err(refusal) => assert!(refusal.to_string().contains("apt-get install postgresql"), "{refusal}"),
    }
}

#[test]
fn programs_that_are_missing_or_too_old_are_refused() {
    let machine = Machine::ready();
    fs::remove_file(machine.at("bin/pg_rewind")).unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.bin_dir': \"/…/bin\" lacks pg_rewind; install the server package (Debian, Ubuntu: \
         apt-get install postgresql)"
    );
    machine.program("pg_rewind", "13.9");
    machine.program("postgres", "13.9");
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.bin_dir': \"/…/bin\" holds PostgreSQL 13, at least 14 is needed; install the server \
         package (Debian, Ubuntu: apt-get install postgresql)"
    );
    machine.program("postgres", "of sorts");
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.bin_dir': /…/bin/postgres --version answered \"postgres (PostgreSQL) of sorts\", not \
         a version of PostgreSQL; install the server package (Debian, Ubuntu: apt-get install postgresql)"
    );
    fs::remove_dir_all(machine.at("bin")).unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.bin_dir': \"/…/bin\" holds no PostgreSQL; correct the path, or install the server \
         package (Debian, Ubuntu: apt-get install postgresql)"
    );
}

#[test]
fn a_user_that_is_not_there_is_refused() {
    let mut machine = Machine::ready();
    machine.node.instances[0].run_as = Some("nobody-of-this-name".into());
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.run_as': there is no user \"nobody-of-this-name\" on this machine; make it (useradd \
         --system nobody-of-this-name), or name another one with run_as"
    );
}

#[test]
fn a_port_in_use_and_an_address_of_elsewhere_are_refused() {
    let mut machine = Machine::ready();
    let _other = TcpListener::bind(machine.node.instances[0].listen).unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.listen': \"127.0.0.1:PORT\" is in use by another program; stop it, or take another \
         port"
    );
    // 192.0.2.0/24 is set apart for documentation: no machine has it.
    machine.node.http = Some("192.0.2.1:8008".parse().unwrap());
    assert!(machine.refusal().ends_with(
        "node.toml: key 'http': \"192.0.2.1:8008\" is no address of this machine; write one that `ip address` lists"
    ));
}

#[test]
fn postgres_of_ours_may_hold_its_port_and_nobody_else_may() {
    let machine = Machine::ready();
    let pgdata = machine.pgdata(0o700);
    let listen = machine.node.instances[0].listen;
    let _postgres = TcpListener::bind(listen).unwrap();
    // This test's own process plays the postmaster only if it works in that directory; it does not.
    let pid_file = format!("{}\n{}\n0\n{}\n", std::process::id(), pgdata.display(), listen.port());
    fs::write(pgdata.join("PG_VERSION"), "15\n").unwrap();
    fs::write(pgdata.join("postmaster.pid"), pid_file).unwrap();
    assert!(machine.refusal().contains("is in use by another program"));

    let mut child = Command::new("sleep").arg("60").current_dir(&pgdata).spawn().unwrap();
    let pid_file = format!("{}\n{}\n0\n{}\n", child.id(), pgdata.display(), listen.port());
    fs::write(pgdata.join("postmaster.pid"), pid_file).unwrap();
    // Nor is it ended by a node that refuses to start because a copy would find no room.
    let world = check_with(&machine.node, Room { data_dir: u64::MAX, pgdata: u64::MAX });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(world.unwrap().places[0].already_running);
}

#[test]
fn pgdata_of_another_version_mode_or_kind_is_refused() {
    let machine = Machine::ready();
    let pgdata = machine.pgdata(0o700);
    fs::write(pgdata.join("PG_VERSION"), "14\n").unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/orders\" is of PostgreSQL 14, the programs are of 15; name those of 14 \
         with bin_dir, or upgrade the directory (pg_upgrade)"
    );
    fs::rename(pgdata.join("PG_VERSION"), pgdata.join("diary.txt")).unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/orders\" holds files but no PG_VERSION: not PostgreSQL's; empty it, or \
         name another"
    );
    fs::set_permissions(&pgdata, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/orders\" has mode 0755, PostgreSQL wants 0700 or 0750; chmod 0700 \
         /…/orders"
    );
    fs::remove_dir_all(&pgdata).unwrap();
    fs::write(&pgdata, "").unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/orders\" is not a directory; remove it, or name another path"
    );
}

#[test]
fn pgdata_of_another_owner_or_out_of_reach_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root can give a directory to somebody else");
        return;
    }
    let mut machine = Machine::ready();
    machine.directory("orders", 0o700);
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/orders\" is owned by user 0, not postgres; chown -R postgres /…/orders"
    );
    machine.node.instances[0].pgdata = machine.directory("apart", 0o700).join("orders");
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/apart/orders\" cannot be reached by user postgres, as \"/…/apart\" has \
         mode 0700; chmod o+x /…/apart, or name another"
    );
}

#[test]
fn a_data_dir_that_others_may_write_or_that_is_no_directory_is_refused() {
    let machine = Machine::ready();
    let data_dir = machine.directory("node", 0o771);
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'data_dir': \"/…/node\" has mode 0771, so others may write; chmod go-w /…/node"
    );
    fs::remove_dir(&data_dir).unwrap();
    fs::write(&data_dir, "").unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'data_dir': \"/…/node\" is not a directory; remove it, or name another path"
    );
}

#[test]
fn a_data_dir_of_postgres_of_another_machine_or_of_a_newer_version_is_refused() {
    let machine = Machine::ready();
    let data_dir = machine.directory("node", 0o711);
    fs::write(data_dir.join("format"), "2\n").unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'data_dir': \"/…/node\" has format 2, this version knows up to 1; run the version that wrote \
         it, or a newer one"
    );
    fs::write(data_dir.join("format"), "1\n").unwrap();
    fs::write(data_dir.join("identity"), "n2 00000000-0000-4000-8000-000000000000\n").unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'data_dir': \"/…/node\" belongs to machine 'n2', this node is 'n1'; correct 'name', or name \
         another directory"
    );
    fs::write(data_dir.join("PG_VERSION"), "15\n").unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'data_dir': \"/…/node\" is a data directory of PostgreSQL; name another for the node"
    );
}

#[test]
fn a_disk_without_room_is_refused() {
    let machine = Machine::ready();
    let refusal = machine.refusal_with(Room { data_dir: u64::MAX, pgdata: u64::MAX });
    let lines: Vec<_> = refusal.lines().collect();
    assert_eq!(lines.len(), 2, "{refusal}");
    for (line, key) in
        lines.iter().zip(["key 'data_dir': \"/…/node\" has ", "key 'instance.pgdata': \"/…/orders\" has "])
    {
        assert!(line.contains(key), "{line}");
        let end =
            format!(" MB free, at least {} MB are needed; free some, or name another disk", u64::MAX >> 20);
        assert!(line.ends_with(&end), "{line}");
    }
}

#[test]
fn what_is_in_use_needs_room_to_go_on_and_none_for_a_copy() {
    let machine = Machine::ready();
    let file_system = rustix::fs::statvfs(machine.root.path()).unwrap();
    let free = file_system.f_bavail * file_system.f_frsize;
    let room = Room { data_dir: free * 2, pgdata: free * 2 };
    let data_dir = machine.directory("node", 0o711);
    let pgdata = machine.pgdata(0o700);
    assert_eq!(machine.refusal_with(room).lines().count(), 2);
    fs::write(data_dir.join("format"), "1\n").unwrap();
    let refusal = machine.refusal_with(room);
    assert!(refusal.contains("key 'instance.pgdata'") && refusal.lines().count() == 1, "{refusal}");
    fs::write(pgdata.join("PG_VERSION"), "15\n").unwrap();
    assert!(check_with(&machine.node, room).is_ok());
    let refusal = machine.refusal_with(Room { data_dir: u64::MAX, pgdata: u64::MAX });
    assert!(refusal.contains(&format!("at least {} MB are needed", (u64::MAX / 16) >> 20)), "{refusal}");
}

#[test]
fn a_pgdata_whose_place_no_copy_can_take_is_refused() {
    let machine = Machine::ready();
    let (real, pgdata) = (machine.directory("disk", 0o700), machine.at("orders"));
    symlink(&real, &pgdata).unwrap();
    if is_root() {
        let user = super::users::whom(None).unwrap().unwrap();
        chown(&real, Some(user.uid), Some(user.gid)).unwrap();
    }
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/orders\" is a link, and a copy could not take its place; name \"/…/disk\" \
         itself"
    );
    fs::remove_dir(&real).unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'instance.pgdata': \"/…/orders\" is a link to \"/…/disk\", which is not there; make that, or \
         name another path"
    );
    // A directory of which everybody knows that a disk is mounted there.
    let mounted = super::directories::replaceable(Path::new("/proc"), 0).unwrap_err();
    assert_eq!(
        mounted,
        "\"/proc\" is where a disk is mounted, and a copy could not take its place; name a directory below it"
    );
}

#[test]
fn a_pgdata_that_somebody_else_made_in_a_directory_of_his_is_refused_to_an_ordinary_user() {
    if is_root() {
        eprintln!("skipped: root may write everywhere; tests/it has this as an ordinary user");
        return;
    }
    let machine = Machine::ready();
    let above = machine.directory("above", 0o755);
    fs::create_dir(above.join("data")).unwrap();
    fs::set_permissions(&above, fs::Permissions::from_mode(0o555)).unwrap();
    let refusal = super::directories::replaceable(&above.join("data"), 0).unwrap_err();
    fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(refusal.starts_with("copies are made beside "), "{refusal}");
}

#[test]
fn a_data_dir_that_postgresql_s_user_cannot_pass_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root runs PostgreSQL as somebody else");
        return;
    }
    let machine = Machine::ready();
    let data_dir = machine.directory("node", 0o700);
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'data_dir': \"/…/node/instances\" cannot be reached by user postgres, as \"/…/node\" has mode \
         0700; chmod o+x /…/node, or name another"
    );
    fs::remove_dir(&data_dir).unwrap();
    symlink(machine.at("nowhere"), &data_dir).unwrap();
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'data_dir': \"/…/node\" is a link to \"/…/nowhere\", which is not there; make that, or name \
         another path"
    );
}

#[test]
fn a_password_that_others_may_read_is_refused() {
    let machine = Machine::ready();
    let file = machine.at("password");
    let ask = || super::directories::password_file(&file).map_err(|why| machine.shortened(&why));
    assert_eq!(
        ask(),
        Err("\"/…/password\" cannot be read: No such file or directory (os error 2); write the password into a file \
             of mode 0600"
            .into())
    );
    fs::write(&file, "secret\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        ask(),
        Err("\"/…/password\" has mode 0644, so others may read it; chmod 0600 /…/password".into())
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ask(), Ok(()));
    fs::write(&file, "\n").unwrap();
    assert_eq!(ask(), Err("\"/…/password\" has an empty first line; write the password into it".into()));
}

/// Another test's child holds a copy of every descriptor between its fork and its exec, hence the lock
/// may end a moment after it was dropped.
fn opened_when_free(node: &Node) -> crate::DataDir {
    loop {
        match open_data_dir(node) {
            Ok(data_dir) => return data_dir,
            Err(refusal) => assert!(refusal.to_string().contains("another node runs on it"), "{refusal}"),
        }
    }
}

#[test]
fn one_directory_serves_one_node_of_one_machine() {
    let mut machine = Machine::ready();
    let first = open_data_dir(&machine.node).unwrap();
    let identity = first.identity().to_string();
    let before = tree(machine.root.path());
    let second = open_data_dir(&machine.node).unwrap_err();
    assert_eq!(
        machine.shortened(&second.to_string()),
        "node.toml: key 'data_dir': \"/…/node\": another node runs on it; stop that one, or name another directory"
    );
    assert_eq!(tree(machine.root.path()), before, "a refusal changed the disk");

    drop(first);
    let again = opened_when_free(&machine.node);
    assert_eq!(again.identity(), identity, "the directory keeps its identity");
    assert_eq!(tree(machine.root.path()), before);

    drop(again);
    machine.node.name = "n2".parse().unwrap();
    let other = loop {
        let refusal = open_data_dir(&machine.node).unwrap_err();
        if !refusal.to_string().contains("another node runs on it") {
            break refusal;
        }
    };
    assert_eq!(
        machine.shortened(&other.to_string()),
        "node.toml: key 'data_dir': \"/…/node\": belongs to machine 'n1', this node is 'n2'; correct 'name', or name \
         another directory"
    );
    assert_eq!(tree(machine.root.path()), before, "a refusal changed the disk");
}

#[test]
fn certificates_and_a_token_that_do_not_fit_are_told_with_their_keys() {
    use interrex_authority::{Authority, Leaf, secret};
    let mut machine = Machine::ready();
    let authority = Authority::new(&machine.at("tls"));
    machine.node.tls = Some(authority.sign("n1", Leaf::of("n2")));
    let coordinator = crate::Coordinator {
        listen: format!("127.0.0.1:{}", free_port()).parse().unwrap(),
        members: BTreeMap::new(),
        join: false,
        yield_to_primary: true,
        admin_token_file: Some(machine.at("token")),
    };
    machine.node.coordinator = Some(coordinator);
    secret(&machine.at("token"), "short\n");
    assert_eq!(
        machine.refusal(),
        "node.toml: key 'tls.cert': \"/…/tls/n1.pem\" is for n2, not for this machine, n1; make one with \
         subjectAltName = DNS:n1; docs/tls.md tells how one is made\n\
         node.toml: key 'coordinator.admin_token_file': \"/…/token\" holds a token shorter than 16 letters; write one \
         with: openssl rand -hex 32 > /…/token"
    );
    machine.node.tls = Some(authority.sign("n1", Leaf::of("n1")));
    secret(&machine.at("token"), "a token of more than sixteen letters".replace(' ', "-").as_str());
    let world = check_with(&machine.node, ROOM).unwrap();
    assert!(world.tls.is_some() && world.admin_token.is_some());
}
