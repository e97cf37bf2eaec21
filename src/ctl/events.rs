//! `events [--follow]`: what happened, oldest first. As JSON one object a line, so that it can be read as it comes.

use crate::when::utc;
use crate::{CtlError, Output, Session};
use clap::Args;
use interrex_api::admin::EventsRequest;
use interrex_cluster::ids::ClusterName;
use std::io;

/// Tell what happened.
#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Only of this cluster.
    cluster: Option<ClusterName>,
    /// Go on as they happen.
    #[arg(long, short)]
    follow: bool,
    /// Only events of log entries after this one.
    #[arg(long, default_value_t = 0)]
    after: u64,
}

impl Events {
    pub(crate) async fn run(&self, session: &mut Session<'_>) -> Result<(), CtlError> {
        let request = EventsRequest { cluster: self.cluster.clone(), after: self.after, follow: self.follow };
        let mut events = session.client.events(request).await?;
        while let Some(event) = events.next().await? {
            if session.output == Output::Json {
                let line = serde_json::to_string(&event).map_err(io::Error::other)?;
                writeln!(session.out, "{line}")?;
            } else {
                let (at, cluster, kind, text) = (utc(event.at), event.cluster, event.kind, event.text);
                writeln!(session.out, "{at}  {cluster}  {kind:<15} {text}")?;
            }
            session.out.flush()?;
        }
        Ok(())
    }
}
