//! `show CLUSTER`: everything about one cluster, and how to connect to it.

use crate::render::{health, instances, or_dash, problem, text};
use crate::{CtlError, Output, Session};
use clap::Args;
use interrex_api::admin::ConnectionInfo;
use interrex_cluster::ids::ClusterName;
use interrex_cluster::status::ClusterStatus;

/// Show one cluster.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// Its name.
    cluster: ClusterName,
    /// Print the password of the application role with the connection string.
    #[arg(long)]
    with_password: bool,
}

impl Show {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let status = session.client.get_cluster(&self.cluster).await?;
        let info = session.client.connection_info(&self.cluster, self.with_password).await?;
        let connect = connection_string(&self.cluster, &info);
        if session.output == Output::Json {
            return session.json(&serde_json::json!({ "cluster": status, "connection": connect }));
        }
        let connect = connect.unwrap_or_else(|| "- (no instance has registered yet)".to_owned());
        write!(session.out, "{}", screen(&status))?;
        writeln!(session.out, "connect     {connect}")?;
        Ok(())
    }
}

/// One cluster as text, without the connection string.
pub(crate) fn screen(status: &ClusterStatus) -> String {
    let primary = match (&status.primary, status.open) {
        (Some(primary), true) => primary.to_string(),
        (Some(primary), false) => format!("{primary} (clients are still kept out)"),
        (None, _) => "-".to_owned(),
    };
    let mut out = format!("cluster     {}: {}\n", status.name, health(status));
    out.push_str(&format!("primary     {primary}\n"));
    out.push_str(&format!("epoch       {}, {}\n", status.epoch, status.operation));
    out.push_str(&format!("rule        {}\n", status.rule));
    for older in status.rules.iter().rev().skip(1) {
        out.push_str(&format!("  and still {older}\n"));
    }
    out.push_str(&format!("identifier  {}\n\n", or_dash(status.system)));
    out.push_str(&text(&instances(&status.instances)));
    out.push('\n');
    if !status.problems.is_empty() {
        out.push_str("problems\n");
        status.problems.iter().for_each(|p| out.push_str(&problem(p)));
    }
    for instance in &status.instances {
        if let Some(doing) = &instance.doing {
            out.push_str(&format!("agent       {}: {doing}\n", instance.name));
        }
    }
    for instance in status.instances.iter().filter(|instance| !instance.pending_restart.is_empty()) {
        let (name, parameters) = (&instance.name, instance.pending_restart.join(", "));
        out.push_str(&format!("restart     {name} has yet to be restarted for {parameters}\n"));
    }
    for wait in &status.waits {
        out.push_str(&format!("waiting     {}\n", wait.strip_prefix("waits ").unwrap_or(wait)));
    }
    out
}

/// A libpq connection string that names every instance and picks the one that takes writes; none: there is no instance yet.
pub(crate) fn connection_string(cluster: &ClusterName, info: &ConnectionInfo) -> Option<String> {
    if info.hosts.is_empty() {
        return None;
    }
    let bracket = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let hosts: Vec<String> = info
        .hosts
        .iter()
        .map(|(_, address)| format!("{}:{}", bracket(&address.host), address.port))
        .collect();
    let login = match (&info.user, &info.password) {
        (Some(user), Some(password)) => format!("{}:{}@", escape(user), escape(password)),
        (Some(user), None) => format!("{}@", escape(user)),
        (None, _) => String::new(),
    };
    let database = if info.user.is_some() { cluster.as_str() } else { "postgres" };
    Some(format!("postgresql://{login}{}/{database}?target_session_attrs=read-write", hosts.join(",")))
}

/// Percent-encodes what a URI would misread.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_cluster::record::Address;

    #[test]
    fn the_connection_string_names_every_host_and_escapes_what_a_uri_would_misread() {
        let host =
            |name: &str, host: &str| (name.parse().unwrap(), Address { host: host.to_owned(), port: 5432 });
        let info = ConnectionInfo {
            hosts: vec![host("n1", "10.0.0.1"), host("n2", "::1")],
            primary_first: true,
            user: Some("a b".to_owned()),
            password: Some("p@ss/".to_owned()),
        };
        assert_eq!(
            connection_string(&"orders".parse().unwrap(), &info).unwrap(),
            "postgresql://a%20b:p%40ss%2F@10.0.0.1:5432,[::1]:5432/orders?target_session_attrs=read-write"
        );
    }
}
