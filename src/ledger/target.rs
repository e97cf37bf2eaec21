//! Whom to dial and as whom. Addresses are plain TCP host:port pairs; a connection is always a single one, never a
//! pool, because a pool hides a death behind retries of its own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// One PostgreSQL server, written `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostSpec {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl fmt::Display for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = || format!("'{text}' is not host:port, for example 127.0.0.1:5432 or [::1]:5432");
        let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(wanted)?,
            None if host.contains(':') => return Err(wanted()),
            None => host,
        };
        match port.parse::<u16>() {
            Ok(port) if port != 0 && !host.is_empty() => Ok(HostSpec { host: host.to_owned(), port }),
            _ => Err(wanted()),
        }
    }
}

/// As whom the ledger connects, and to which database; the same on every instance.
#[derive(Clone)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password; none means trust, or whatever `PGPASSWORD` says.
    pub password: Option<String>,
    /// The database.
    pub dbname: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("dbname", &self.dbname)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// Options for one plain connection to `host`. The server ends a statement that outlived its client's patience
    /// (`orphan_limit`; zero: it may last): the driver never sends a cancel, and must not, since a cancelled wait for synchronous
    /// replication is answered with success (F2).
    pub fn options(&self, host: &HostSpec, orphan_limit: Duration) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&host.host)
            .port(host.port)
            .username(&self.user)
            .database(&self.dbname)
            .application_name("interrex-ledger")
            .ssl_mode(PgSslMode::Disable)
            .statement_cache_capacity(0)
            .options([
                ("statement_timeout", orphan_limit.as_millis().to_string()),
                // A warning is evidence here: no server-side default may hide it.
                ("client_min_messages", "warning".to_owned()),
                // Standbys are asked, too, and a hot standby answers no serializable transaction.
                ("default_transaction_isolation", "read committed".to_owned()),
            ]);
        match &self.password {
            Some(password) => options.password(password),
            None => options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_back_as_it_is_printed() {
        for text in ["127.0.0.1:5432", "db.internal:1", "[::1]:65535"] {
            assert_eq!(text.parse::<HostSpec>().map(|host| host.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_host_without_a_usable_port_is_refused_with_an_example() {
        for text in ["", "host", "host:", "host:0", "host:65536", ":5432", "::1:5432", "[::1:5432"] {
            let why = text.parse::<HostSpec>().unwrap_err();
            assert!(why.contains("127.0.0.1:5432"), "{why}");
        }
    }
}
