//! A PostgreSQL that somebody runs without Interrex: made by initdb and pg_basebackup, configured in files of his own,
//! started and stopped by pg_ctl, on the directory and the port that a machine's node file names.

use super::machine::Machine;
use super::postgresql::{as_postgres, initdb};
use super::town::{CLUSTER, PASSWORD, USER};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use std::fs;
use std::path::{Path, PathBuf};

const HBA: &str = "# mine\nlocal all all trust\nhost all postgres 127.0.0.1/32 trust\n\
                   host replication postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n";
const CONF: &str = "\n# mine\nshared_buffers = 24MB\nmax_connections = 137\ninclude_dir = 'conf.d'\n";
const INCLUDED: &str = "work_mem = 7MB\nhot_standby_feedback = off\n";

/// One such server.
pub(crate) struct Existing {
    pgdata: PathBuf,
    port: u16,
}

impl Existing {
    /// On a machine; nothing is made yet.
    pub(crate) fn on(machine: &Machine) -> Self {
        Self { pgdata: machine.pgdata(), port: machine.postgres_port }
    }

    /// A primary with a role, a database and a table of its own; it runs.
    pub(crate) async fn primary(machine: &Machine) -> Self {
        let server = Self::on(machine);
        initdb(&server.pgdata);
        let conf = server.pgdata.join("postgresql.conf");
        let sockets = server.pgdata.parent().expect("it has a parent").display().to_string();
        let own = format!("{CONF}unix_socket_directories = '{sockets}'\n");
        fs::write(&conf, fs::read_to_string(&conf).unwrap() + &own).unwrap();
        fs::create_dir(server.pgdata.join("conf.d")).unwrap();
        fs::write(server.pgdata.join("conf.d/mine.conf"), INCLUDED).unwrap();
        fs::write(server.pgdata.join("pg_hba.conf"), HBA).unwrap();
        server.give_away("conf.d");
        server.give_away("conf.d/mine.conf");
        server.start();
        server.sql("postgres", &format!("create role {USER} login password '{PASSWORD}'")).await;
        server.sql("postgres", &format!("create database {CLUSTER} owner {USER}")).await;
        server.sql(CLUSTER, &format!("set role {USER}; create table books (title text)")).await;
        server.sql(CLUSTER, "insert into books select 'book ' || n from generate_series(1, 100) n").await;
        server
    }

    /// A standby of `primary`, with its configuration; it runs.
    pub(crate) fn standby(machine: &Machine, primary: &Existing) -> Self {
        let server = Self::on(machine);
        as_postgres("pg_basebackup", |command| {
            command
                .args(["-h", "127.0.0.1", "-U", "postgres", "-R", "-c", "fast", "-p"])
                .arg(primary.port.to_string())
                .arg("-D")
                .arg(&server.pgdata)
        });
        server.start();
        server
    }

    /// Another primary: the very copy of a stopped one.
    pub(crate) fn twin(machine: &Machine, of: &Existing) -> Self {
        let server = Self::on(machine);
        fs::create_dir_all(server.pgdata.parent().expect("a place below the machine's")).unwrap();
        let copied =
            std::process::Command::new("cp").arg("-a").arg(&of.pgdata).arg(&server.pgdata).status().unwrap();
        assert!(copied.success());
        server
    }

    fn give_away(&self, name: &str) {
        let owner = fs::metadata(&self.pgdata).unwrap();
        use std::os::unix::fs::{MetadataExt, chown};
        chown(self.pgdata.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    pub(crate) fn start(&self) {
        self.start_with("");
    }

    fn start_with(&self, more: &str) {
        let sockets = self.pgdata.parent().expect("it has a parent");
        let log = sockets.join("own.log");
        as_postgres("pg_ctl", |command| {
            let own = sockets.display();
            let options = format!("-c port={} -c unix_socket_directories={own}{more}", self.port);
            command
                .args(["-w", "-t", "60", "-o", &options, "-l"])
                .arg(log)
                .arg("-D")
                .arg(&self.pgdata)
                .arg("start")
        });
    }

    pub(crate) fn stop(&self) {
        self.end("fast");
    }

    /// Without a checkpoint: the next start recovers.
    pub(crate) fn crash(&self) {
        self.end("immediate");
    }

    fn end(&self, mode: &str) {
        as_postgres("pg_ctl", |command| {
            command.args(["-w", "-t", "60", "-m", mode, "-D"]).arg(&self.pgdata).arg("stop")
        });
    }

    /// As Debian has it: its configuration lies elsewhere, and says where everything is. Started again.
    pub(crate) fn configured_elsewhere(&self) -> PathBuf {
        self.stop();
        let elsewhere = self.pgdata.with_file_name("etc");
        fs::create_dir(&elsewhere).unwrap();
        for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "conf.d"] {
            fs::rename(self.pgdata.join(name), elsewhere.join(name)).unwrap();
        }
        let (data, etc) = (self.pgdata.display(), elsewhere.display());
        let places = format!(
            "data_directory = '{data}'\nhba_file = '{etc}/pg_hba.conf'\nident_file = '{etc}/pg_ident.conf'\n\
             external_pid_file = '{data}/../own.pid'\n"
        );
        let conf = elsewhere.join("postgresql.conf");
        fs::write(&conf, fs::read_to_string(&conf).unwrap() + &places).unwrap();
        self.start_with(&format!(" -c config_file={etc}/postgresql.conf"));
        elsewhere
    }

    /// As after a failover by hand: the primary of the next timeline.
    pub(crate) async fn promoted(&self) {
        self.stop();
        self.signal_standby();
        self.start();
        self.promote().await;
    }

    /// From the next start on a standby.
    pub(crate) fn signal_standby(&self) {
        fs::write(self.pgdata.join("standby.signal"), "").unwrap();
        self.give_away("standby.signal");
    }

    /// By hand.
    pub(crate) async fn promote(&self) {
        let promoted = self.sql("postgres", "select pg_promote()::text").await;
        assert_eq!(promoted, ["true"]);
    }

    /// One of its files.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.pgdata.join(name)).unwrap()
    }

    pub(crate) fn pgdata(&self) -> &Path {
        &self.pgdata
    }

    /// Statements of its own superuser; the first column of each row, as text.
    pub(crate) async fn sql(&self, database: &str, statement: &str) -> Vec<String> {
        self.try_sql(database, statement).await.unwrap_or_else(|why| panic!("{statement}: {why}"))
    }

    pub(crate) async fn try_sql(&self, database: &str, statement: &str) -> Result<Vec<String>, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .statement_cache_capacity(0);
        let mut connection: PgConnection = options.disable_statement_logging().connect().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_all(&mut connection).await?;
        rows.iter().map(|row| row.try_get_unchecked::<String, _>(0)).collect()
    }
}
