//! Logs go to stderr, as text for people or as JSON for programs. `INTERREX_LOG` filters them as `RUST_LOG` would.

use interrex_config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the process's logger.
pub(crate) fn install(format: LogFormat) {
    let asked = std::env::var("INTERREX_LOG").ok().filter(|asked| !asked.is_empty());
    let asked =
        asked.map(|asked| EnvFilter::try_new(&asked).map_err(|why| format!("INTERREX_LOG={asked}: {why}")));
    let (filter, unheard) = match asked {
        Some(Ok(filter)) => (filter, None),
        Some(Err(why)) => (usual(), Some(why)),
        None => (usual(), None),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    if let Some(why) = unheard {
        tracing::warn!("{why}; the log is filtered as if it were not set");
    }
}

fn usual() -> EnvFilter {
    EnvFilter::new("info,openraft=error,sqlx=warn,h2=warn,tonic=warn")
}
