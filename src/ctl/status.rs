//! `status`: every cluster and the coordinators on one screen.

use crate::coordinator;
use crate::show::screen;
use crate::{CtlError, Output, Session};

pub(crate) async fn run(session: &mut Session<'_>) -> Result<(), CtlError> {
    let clusters = session.client.list_clusters().await?;
    let members = session.client.list_coordinators().await?;
    if session.output == Output::Json {
        return session.json(&serde_json::json!({
            "clusters": clusters, "coordinators": coordinator::json(&members),
        }));
    }
    write!(session.out, "{}", coordinator::rows(&members))?;
    for status in &clusters {
        write!(session.out, "\n{}", screen(status))?;
    }
    if clusters.is_empty() {
        writeln!(session.out, "\nno clusters yet; make one with: interrex create NAME --instances 3")?;
    }
    Ok(())
}
