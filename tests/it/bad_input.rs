//! Wrong files and wrong machines: one line that says what, where and the way out; exit 2 where a file is to be edited,
//! 1 where the world refuses; and nothing on disk changes. One of each kind, through the real binary; the
//! configuration's own scenes know the many texts.

use crate::support::{INTERREX, bin_dir, free, is_root, major, of_postgres, run, temporary, tree, unchanged};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// One machine that is ready to run a node.
struct Ready {
    root: TempDir,
    text: String,
    port: u16,
    postgres_port: u16,
}

impl Ready {
    fn new() -> Self {
        let root = temporary();
        let (port, postgres_port) = (free(), free());
        of_postgres(&root.path().join("pg"), 0o755);
        let at = root.path().display();
        let text = format!(
            "name = \"n1\"\ndata_dir = \"{at}/node\"\n[coordinator]\nlisten = \"127.0.0.1:{port}\"\n\
             members = {{ n1 = \"127.0.0.1:{port}\" }}\n[[instance]]\ncluster = \"demo\"\n\
             listen = \"127.0.0.1:{postgres_port}\"\nbin_dir = \"{bin}\"\npgdata = \"{at}/pg/data\"\n",
            bin = bin_dir().display(),
        );
        fs::write(root.path().join("node.toml"), &text).unwrap();
        Self { root, text, port, postgres_port }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn pgdata(&self, mode: u32) -> PathBuf {
        let path = self.at("pg/data");
        of_postgres(&path, mode);
        path
    }

    fn edit(&self, old: &str, new: &str) {
        assert!(self.text.contains(old), "no '{old}' in {}", self.text);
        fs::write(self.at("node.toml"), self.text.replacen(old, new, 1)).unwrap();
    }

    /// Runs the node, which has to refuse with exactly these lines and leave everything as it was. `/…` stands for the
    /// machine's directory.
    async fn refuses(&self, code: i32, lines: &str) {
        assert_eq!(self.refusal(code).await, lines);
    }

    async fn refusal(&self, code: i32) -> String {
        let before = tree(self.root.path());
        let answer = run(["node".as_ref(), "-c".as_ref(), self.at("node.toml").as_os_str()]).await;
        let said = answer.err.replace(&self.root.path().display().to_string(), "/…");
        assert_eq!((answer.code, answer.out.as_str()), (code, ""), "{said}");
        unchanged(&before, &tree(self.root.path()));
        said
    }
}

#[tokio::test]
async fn a_file_to_be_edited_is_refused_with_exit_2() {
    let ready = Ready::new();
    ready.edit("data_dir", "data-dir");
    ready
        .refuses(
            2,
            "interrex: /…/node.toml:2: key 'data-dir': unknown key; did you mean 'data_dir'? known at the top of the \
             file: name, zone, data_dir, http, log_format, tls, coordinator, agent, instance, cluster, endpoint\n",
        )
        .await;
    ready.edit(&format!("listen = \"127.0.0.1:{}\"", ready.port), &format!("listen = {}", ready.port));
    let wrong_type = format!(
        "interrex: /…/node.toml:4: key 'coordinator.listen': expected a string such as \"10.0.0.1:7400\", \
         got integer {}\n",
        ready.port
    );
    ready.refuses(2, &wrong_type).await;
    ready.edit("name = \"n1\"\n", "");
    ready.refuses(2, "interrex: /…/node.toml:1: key 'name': missing; write name = \"n1\"\n").await;
    ready.edit(&format!("listen = \"127.0.0.1:{}\"", ready.port), "listen = \"127.0.0.1:1\"");
    let contradiction = format!(
        "interrex: /…/node.toml:4: key 'coordinator.listen': \"127.0.0.1:1\", but members has n1 = \"127.0.0.1:{}\"; \
         make both the same\n",
        ready.port
    );
    ready.refuses(2, &contradiction).await;
    let twice = |members: &str| ready.edit(&format!("{{ n1 = \"127.0.0.1:{}\" }}", ready.port), members);
    twice(&format!("{{ n1 = \"127.0.0.1:{0}\", n2 = \"127.0.0.1:{0}\", n3 = \"127.0.0.1:1\" }}", ready.port));
    let one_address = format!(
        "interrex: /…/node.toml:5: key 'coordinator.members.n2': \"127.0.0.1:{}\" is the address of 'n1' too; give each \
         its own\n",
        ready.port
    );
    ready.refuses(2, &one_address).await;
    twice("{ n1 = \"127.0.0.1:1\", n1 = \"127.0.0.1:2\" }");
    let one_name =
        "interrex: /…/node.toml:5: key 'n1': written twice in one section; remove one of the two\n";
    ready.refuses(2, one_name).await;
    let second = format!(
        "[[instance]]\ncluster = \"demo\"\nlisten = \"127.0.0.1:1\"\npgdata = \"/pg/2\"\n{}",
        "[[instance]]"
    );
    ready.edit("[[instance]]", &second);
    ready
        .refuses(
            2,
            "interrex: /…/node.toml:10: key 'instance.name': a second instance 'n1' of cluster 'demo'; give one of them \
             its own name = \"…\"\n",
        )
        .await;
    // Several problems are told at once, a line each; what only follows from another is not.
    ready.edit("name = \"n1\"\n", "name = \"N1\"\nzone = 7\n");
    ready
        .refuses(
            2,
            "interrex: /…/node.toml:1: key 'name': \"N1\": not a name: 1 to 24 of a-z, 0-9 and '-', the first no '-'; \
             expected such as \"n1\"\n\
             interrex: /…/node.toml:2: key 'zone': expected a string such as \"az-1\", got integer 7\n",
        )
        .await;
    ready.edit(&format!("{{ n1 = \"127.0.0.1:{}\" }}", ready.port), "{}");
    let nobody = format!(
        "interrex: /…/node.toml:5: key 'coordinator.members': names no machine; write this one and the others, \
         {{ n1 = \"127.0.0.1:{}\", … }}\n",
        ready.port
    );
    ready.refuses(2, &nobody).await;
    fs::remove_file(ready.at("node.toml")).unwrap();
    assert!(Command::new("mkfifo").arg(ready.at("node.toml")).status().unwrap().success());
    ready
        .refuses(
            2,
            "interrex: /…/node.toml: is no regular file, but a pipe, a socket or a device; name a readable node file \
             (TOML) with -c FILE\n",
        )
        .await;
    fs::remove_file(ready.at("node.toml")).unwrap();
    ready
        .refuses(
            2,
            "interrex: /…/node.toml: cannot be read: No such file or directory (os error 2); name a readable node file \
             (TOML) with -c FILE\n",
        )
        .await;
}

#[tokio::test]
async fn a_port_in_use_is_refused() {
    let ready = Ready::new();
    for (port, key) in [(ready.port, "coordinator.listen"), (ready.postgres_port, "instance.listen")] {
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let line = format!(
            "interrex: /…/node.toml: key '{key}': \"127.0.0.1:{port}\" is in use by another program; stop it, or take \
             another port\n"
        );
        ready.refuses(1, &line).await;
    }
}

#[tokio::test]
async fn directories_of_others_are_refused() {
    let ready = Ready::new();
    let node = ready.at("node");
    fs::create_dir(&node).unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(node.join("format"), "1\n").unwrap();
    fs::write(node.join("identity"), "n2 00000000-0000-4000-8000-000000000000\n").unwrap();
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'data_dir': \"/…/node\" belongs to machine 'n2', this node is 'n1'; correct \
             'name', or name another directory\n",
        )
        .await;
    fs::set_permissions(&node, fs::Permissions::from_mode(0o777)).unwrap();
    let open = "interrex: /…/node.toml: key 'data_dir': \"/…/node\" has mode 0777, so others may write; chmod go-w \
                /…/node\n";
    ready.refuses(1, open).await;
    fs::remove_dir_all(&node).unwrap();

    let pgdata = ready.pgdata(0o755);
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'instance.pgdata': \"/…/pg/data\" has mode 0755, PostgreSQL wants 0700 or \
             0750; chmod 0700 /…/pg/data\n",
        )
        .await;
    ready.pgdata(0o700);
    fs::write(pgdata.join("PG_VERSION"), "9.6\n").unwrap();
    let of = major();
    let other = format!(
        "interrex: /…/node.toml: key 'instance.pgdata': \"/…/pg/data\" is of PostgreSQL 9.6, the programs are of \
         {of}; name those of 9.6 with bin_dir, or upgrade the directory (pg_upgrade)\n"
    );
    ready.refuses(1, &other).await;
    fs::write(pgdata.join("PG_VERSION"), format!("{of}\n")).unwrap();
    let identity = "interrex-identity 1\ncluster abcd0001\nincarnation 2\nepoch 7\nserial 3\nname orders\n";
    fs::write(pgdata.join("interrex.identity"), identity).unwrap();
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'instance.pgdata': \"/…/pg/data\" belongs to cluster 'orders', this instance is \
             of 'demo'; correct 'cluster', name another directory, or remove interrex.identity from this one if 'orders' is \
             gone\n",
        )
        .await;
    if is_root() {
        chown(&pgdata, Some(0), Some(0)).unwrap();
        let owned = "interrex: /…/node.toml: key 'instance.pgdata': \"/…/pg/data\" is owned by user 0, not postgres; \
                     chown -R postgres /…/pg/data\n";
        ready.refuses(1, owned).await;
        fs::remove_dir_all(&pgdata).unwrap();
        of_postgres(&node, 0o711);
        let refused = ready.refusal(1).await;
        assert!(
            refused.starts_with("interrex: /…/node.toml: key 'data_dir': \"/…/node\" is owned by user "),
            "{refused}"
        );
        assert!(refused.ends_with(", not 0; chown 0 /…/node\n"), "{refused}");
    } else {
        eprintln!("skipped: only root can give a directory to somebody else");
    }
}

#[tokio::test]
async fn directories_that_only_postgresql_or_only_a_copy_could_not_use_are_refused() {
    let ready = Ready::new();
    fs::create_dir(ready.at("disk")).unwrap();
    symlink(ready.at("disk"), ready.at("pg/data")).unwrap();
    of_postgres(&ready.at("disk"), 0o700);
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'instance.pgdata': \"/…/pg/data\" is a link, and a copy could not take its place; \
             name \"/…/disk\" itself\n",
        )
        .await;
    fs::remove_file(ready.at("pg/data")).unwrap();
    if !is_root() {
        eprintln!("skipped: only root runs PostgreSQL, or the node, as somebody else");
        return;
    }
    let node = ready.at("node");
    fs::create_dir(&node).unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(0o700)).unwrap();
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'data_dir': \"/…/node/instances\" cannot be reached by user postgres, as \"/…/node\" \
             has mode 0700; chmod o+x /…/node, or name another\n",
        )
        .await;

    // The administrator gave it a data directory, in one of his own.
    of_postgres(&node, 0o700);
    ready.pgdata(0o700);
    chown(ready.at("pg"), Some(0), Some(0)).unwrap();
    for program in [INTERREX, &format!("{INTERREX}-guard")] {
        fs::copy(program, ready.at(Path::new(program).file_name().unwrap().to_str().unwrap())).unwrap();
    }
    let before = tree(ready.root.path());
    let done = Command::new("setpriv")
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .arg(ready.at("interrex"))
        .args(["node", "-c"])
        .arg(ready.at("node.toml"))
        .output()
        .unwrap();
    unchanged(&before, &tree(ready.root.path()));
    let said =
        String::from_utf8(done.stderr).unwrap().replace(&ready.root.path().display().to_string(), "/…");
    let line = "interrex: /…/node.toml: key 'instance.pgdata': copies are made beside \"/…/pg/data\": \"/…/pg\" cannot be \
                written: Permission denied (os error 13); correct its owner and mode, or name another\n";
    assert_eq!((done.status.code(), said.as_str()), (Some(1), line));
}

#[tokio::test]
async fn a_machine_without_postgresql_is_refused() {
    let ready = Ready::new();
    let bin = ready.at("bin");
    fs::create_dir(&bin).unwrap();
    ready.edit(&bin_dir().display().to_string(), &bin.display().to_string());
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'instance.bin_dir': \"/…/bin\" holds no PostgreSQL; correct the path, or install \
             the server package (Debian, Ubuntu: apt-get install postgresql)\n",
        )
        .await;
}

#[tokio::test]
async fn a_program_without_its_guard_is_refused() {
    let ready = Ready::new();
    let alone = ready.at("interrex");
    fs::copy(INTERREX, &alone).unwrap();
    let before = tree(ready.root.path());
    let done = Command::new(&alone).args(["node", "-c"]).arg(ready.at("node.toml")).output().unwrap();
    let line = format!(
        "interrex: {}-guard: not found; interrex-guard has to lie beside interrex: install both\n",
        alone.display()
    );
    assert_eq!((done.status.code(), String::from_utf8(done.stderr).unwrap()), (Some(1), line));
    unchanged(&before, &tree(ready.root.path()));
}

/// A small file system in memory, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        let options = format!("{size},mode=0755");
        let done = command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output().ok()?;
        done.status.success().then(|| Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_refused() {
    let ready = Ready::new();
    let disk = ready.at("disk");
    fs::create_dir(&disk).unwrap();
    let Some(mounted) = Small::mount(&disk, "size=8m") else {
        eprintln!("skipped: only root can mount a small file system, and not in every container");
        return;
    };
    ready.edit("/node\"", "/disk/node\"");
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'data_dir': \"/…/disk/node\" has 8 MB free, at least 64 MB are needed; free \
             some, or name another disk\n",
        )
        .await;
    of_postgres(&disk.join("pg"), 0o755);
    ready.edit("/pg/data\"", "/disk/pg/data\"");
    ready
        .refuses(
            1,
            "interrex: /…/node.toml: key 'instance.pgdata': \"/…/disk/pg/data\" has 8 MB free, at least 256 MB are \
             needed; free some, or name another disk\n",
        )
        .await;

    drop(mounted);
    let _mounted = Small::mount(&disk, "size=600m,nr_inodes=20").expect("as the one before");
    of_postgres(&disk.join("pg"), 0o755);
    let none_left = "interrex: /…/node.toml: key 'instance.pgdata': \"/…/disk/pg/data\" has 18 inodes free, at least 1000 \
                     are needed; remove files, or name another disk\n";
    ready.refuses(1, none_left).await;
    ready.edit("/node\"", "/disk/node\"");
    let none_left = none_left.replace("instance.pgdata", "data_dir").replace("disk/pg/data", "disk/node");
    ready.refuses(1, &none_left).await;
}
