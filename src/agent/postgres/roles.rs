//! Who may log in and what may hold WAL: roles, grants, the application's database, slots, and cutting clients off.

use super::error::{Error, Result};
use super::layout::{REPLICATION, SUPERUSER};
use super::server::{PATIENCE, Server};
use super::session::{Row, Session, identifier, literal};
use interrex_cluster::ids::ClusterName;
use std::time::Duration;

/// CREATE DATABASE copies template1.
const CREATE_PATIENCE: Duration = Duration::from_secs(30);

/// What pg_rewind calls at its source (F36).
const REWIND_CALLS: [&str; 4] = [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

impl Server {
    /// Makes what the cluster needs inside a primary: the replication role with what a rewind calls, the role of the
    /// operating system's user, the application's role and database, and takes `pg_cancel_backend` from everybody
    /// (F2). Touches nothing that is there already.
    ///
    /// None of it waits for standbys: a primary that lost it to a failover is followed by one that makes it again.
    ///
    /// # Errors
    /// The server is in recovery, or refuses.
    pub async fn ensure_roles(&self, cluster: &ClusterName) -> Result<()> {
        let mut session = self.quiet("postgres").await?;
        self.ensure_our_roles(&mut session).await?;
        if let Some((owner, password)) = self.credentials().owner.clone() {
            // From template1 a new database inherits the revoke.
            self.revoke_cancel("template1").await?;
            let login = format!("LOGIN PASSWORD {}", literal(&password));
            ensure_role(&mut session, &owner, &login).await?;
            ensure_database(&mut session, cluster.as_str(), &owner).await?;
        }
        let databases = "select datname from pg_database where datallowconn";
        let databases = session.rows(databases, PATIENCE).await?;
        session.close().await;
        for database in databases.iter().filter_map(|row| row.first()?.as_deref()) {
            match self.revoke_cancel(database).await {
                // Whom it refuses although he is a superuser (damage, a locale that the system lost), it refuses to all.
                Err(error @ Error::Sql { .. }) => {
                    tracing::warn!(
                        database,
                        "EXECUTE on pg_cancel_backend is not taken from PUBLIC there: {error}"
                    );
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn ensure_our_roles(&self, session: &mut Session) -> Result<()> {
        let login = format!("REPLICATION LOGIN PASSWORD {}", literal(&self.credentials().replication));
        ensure_role(session, REPLICATION, &login).await?;
        for call in REWIND_CALLS {
            let has = format!(
                "select has_function_privilege('{REPLICATION}', 'pg_catalog.{call}', 'EXECUTE')::text"
            );
            if session.value(&has, PATIENCE).await? != "true" {
                session
                    .run(&format!("GRANT EXECUTE ON FUNCTION pg_catalog.{call} TO {REPLICATION}"), PATIENCE)
                    .await?;
            }
        }
        match self.os_user()? {
            Some(user) => ensure_role(session, &user, "SUPERUSER LOGIN").await,
            None => Ok(()),
        }
    }

    /// A session whose statements are neither logged (they carry passwords) nor wait for standbys.
    async fn quiet(&self, database: &str) -> Result<Session> {
        let mut session = self.connect_to(database, CREATE_PATIENCE).await?;
        for setting in
            ["log_statement = none", "log_min_error_statement = panic", "synchronous_commit = local"]
        {
            session.run(&format!("SET {setting}"), PATIENCE).await?;
        }
        Ok(session)
    }

    async fn revoke_cancel(&self, database: &str) -> Result<()> {
        const CANCEL: &str = "pg_catalog.pg_cancel_backend(integer)";
        let mut session = self.quiet(database).await?;
        let has = format!("select has_function_privilege('public', '{CANCEL}', 'EXECUTE')::text");
        if session.value(&has, PATIENCE).await? == "true" {
            session.run(&format!("REVOKE EXECUTE ON FUNCTION {CANCEL} FROM PUBLIC"), PATIENCE).await?;
        }
        session.close().await;
        Ok(())
    }

    /// Ends every client backend but the agents'. Gives how many.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn cut_clients(&self) -> Result<u64> {
        let sql = format!(
            "select count(pg_terminate_backend(pid))::text from pg_stat_activity where backend_type = 'client backend'
             and usename is distinct from '{SUPERUSER}' and usename is distinct from '{REPLICATION}'"
        );
        let rows = self.ask(&sql, PATIENCE).await?;
        let count = rows.first().and_then(|row| row.first()?.as_deref()).and_then(|count| count.parse().ok());
        count.ok_or_else(|| Error::Unknown("how many clients were cut off".to_owned()))
    }

    /// Makes the physical slots `names`, and drops slots of ours (`ix_…`) that are not among them or have lost their
    /// WAL (F35). They begin to hold WAL when their standby connects. On a standby, an idle slot that holds WAL is made
    /// anew: nobody streams from here, so it would hold it for ever. A slot in use is left alone; gives those that would
    /// have to go.
    ///
    /// # Errors
    /// The server does not answer or refuses.
    pub async fn ensure_slots(&self, names: &[String]) -> Result<Vec<String>> {
        let found = self.ask(SLOTS, PATIENCE).await?;
        let mut there = Vec::new();
        let mut left = Vec::new();
        for row in &found {
            let field = |i: usize| row.get(i).and_then(Option::as_deref);
            let Some(name) = field(0) else { continue };
            let useless = field(2) == Some("true") || !names.iter().any(|wanted| wanted == name);
            if useless && field(1) == Some("false") {
                self.slot_call("pg_drop_replication_slot", name).await?;
            } else {
                left.extend(useless.then(|| name.to_owned()));
                there.push(name.to_owned());
            }
        }
        for name in names.iter().filter(|name| !there.contains(name)) {
            self.slot_call("pg_create_physical_replication_slot", name).await?;
        }
        Ok(left)
    }

    /// Slots of ours that are there and hold what they should.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn sound_slots(&self) -> Result<Vec<String>> {
        let field = |row: &Row, at: usize| row.get(at).cloned().flatten();
        let found = self.ask(SLOTS, PATIENCE).await?;
        let sound = found.iter().filter(|row| field(row, 2).as_deref() != Some("true"));
        Ok(sound.filter_map(|row| field(row, 0)).collect())
    }

    async fn slot_call(&self, function: &str, name: &str) -> Result<()> {
        self.ask(&format!("select {function}({})::text", literal(name)), PATIENCE).await.map(|_| ())
    }
}

const SLOTS: &str = "select slot_name, active::text,
    (coalesce(wal_status = 'lost', false) or (pg_is_in_recovery() and restart_lsn is not null))::text
    from pg_replication_slots where slot_type = 'physical' and slot_name like 'ix\\_%'";

async fn ensure_role(session: &mut Session, name: &str, how: &str) -> Result<()> {
    let there = format!("select count(*)::text from pg_roles where rolname = {}", literal(name));
    if session.value(&there, PATIENCE).await? == "0" {
        session.run(&format!("CREATE ROLE {} {how}", identifier(name)), PATIENCE).await?;
    }
    Ok(())
}

async fn ensure_database(session: &mut Session, name: &str, owner: &str) -> Result<()> {
    let there = format!("select count(*)::text from pg_database where datname = {}", literal(name));
    if session.value(&there, PATIENCE).await? == "0" {
        let create = format!("CREATE DATABASE {} OWNER {}", identifier(name), identifier(owner));
        session.run(&create, CREATE_PATIENCE).await?;
    }
    Ok(())
}
