//! `list`: every cluster, a line each.

use crate::render::{health, or_dash, table, text};
use crate::{CtlError, Output, Session};

pub(crate) async fn run(session: &mut Session<'_>) -> Result<(), CtlError> {
    let clusters = session.client.list_clusters().await?;
    if session.output == Output::Json {
        return session.json(&clusters);
    }
    if clusters.is_empty() {
        writeln!(session.out, "no clusters yet; make one with: interrex create NAME --instances 3")?;
        return Ok(());
    }
    let mut rows = table(["CLUSTER", "PRIMARY", "EPOCH", "INSTANCES", "STATE"]);
    for status in &clusters {
        rows.add_row([
            status.name.to_string(),
            or_dash(status.primary.as_ref()),
            status.epoch.to_string(),
            format!("{}/{}", status.instances.len(), status.spec.instances),
            health(status),
        ]);
    }
    write!(session.out, "{}", text(&rows))?;
    Ok(())
}
