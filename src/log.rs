//! Logs go to stderr, as text for people or as JSON for programs. `INTERREX_LOG` filters them as `RUST_LOG` would.

use interrex_config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the process's logger.
pub(crate) fn install(format: LogFormat) {
    let filter = EnvFilter::try_from_env("INTERREX_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,openraft=error,sqlx=warn,h2=warn,tonic=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
