//! Logs go to stderr, as text for people or as JSON for programs. `INTERREX_LOG` filters them as `RUST_LOG` would.

use interrex_config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the process's logger.
pub(crate) fn install(format: LogFormat) {
    let asked = std::env::var("INTERREX_LOG").ok().filter(|asked| !asked.is_empty());
    let filter = asked.as_deref().map_or_else(|| Ok(usual()), EnvFilter::try_new);
    let (filter, unheard) = match filter {
        Ok(filter) => (filter, None),
        Err(why) => (usual(), Some(why)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => {
            builder.json().flatten_event(true).init();
            // Else it would be the one line that is none of JSON.
            std::panic::set_hook(Box::new(|defect| {
                tracing::error!("a defect ended a part of this node: {defect}")
            }));
        }
    }
    if let Some(why) = unheard {
        let asked = asked.unwrap_or_default();
        tracing::warn!("INTERREX_LOG={asked}: {why}; the log is filtered as if it were not set");
    }
}

fn usual() -> EnvFilter {
    EnvFilter::new("info,openraft=error,sqlx=warn,h2=warn,tonic=warn")
}
