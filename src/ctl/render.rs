//! Tables and the words in them.

use comfy_table::Table;
use comfy_table::presets;
use interrex_cluster::problem::Severity;
use interrex_cluster::status::{ClusterStatus, InstanceStatus, ProblemLine};
use interrex_cluster::time::span;
use std::time::Duration;

/// A table with a header and no lines, so that it can be read and cut with ordinary tools.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// The table as text, without the blanks that pad its last column.
pub(crate) fn text(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim())).collect()
}

/// `-` where nothing is known.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Milliseconds as people say them.
pub(crate) fn ms(ms: Option<u64>) -> String {
    or_dash(ms.map(|ms| span(Duration::from_millis(ms)).to_string()))
}

/// Bytes as people say them.
pub(crate) fn bytes(bytes: Option<u64>) -> String {
    or_dash(bytes.map(|bytes| match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} kB", bytes >> 10),
        _ => format!("{} MB", bytes >> 20),
    }))
}

/// One line on how a cluster is.
pub(crate) fn health(status: &ClusterStatus) -> String {
    let worst = status.problems.iter().max_by_key(|problem| problem.severity);
    match (status.paused, worst) {
        (true, _) => "paused".to_owned(),
        (_, Some(problem)) => problem.sentence.clone(),
        (_, None) if status.operation != "steady" => status.operation.clone(),
        (_, None) => "healthy".to_owned(),
    }
}

/// The members of a cluster.
pub(crate) fn instances(instances: &[InstanceStatus]) -> Table {
    let mut rows = table([
        "INSTANCE",
        "ROLE",
        "SERVER",
        "ZONE",
        "ADDRESS",
        "TIMELINE",
        "LAG",
        "BEHIND FOR",
        "ACKS",
        "LEASE",
        "REPORT",
    ]);
    for instance in instances {
        rows.add_row([
            instance.name.to_string(),
            instance.role.clone(),
            instance.server.clone(),
            if instance.zone.is_empty() { "-".to_owned() } else { instance.zone.clone() },
            instance.address.to_string(),
            or_dash(instance.timeline),
            bytes(instance.lag_bytes),
            ms(instance.lag_ms),
            if instance.in_sync_set { "yes" } else { "-" }.to_owned(),
            ms(instance.lease_left_ms),
            ms(instance.report_age_ms),
        ]);
    }
    rows
}

/// A problem with its evidence, indented.
pub(crate) fn problem(problem: &ProblemLine) -> String {
    let mark = match problem.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "warning",
    };
    let mut text = format!("  {mark} {}: {}\n", problem.code, problem.sentence);
    for evidence in &problem.evidence {
        text.push_str(&format!("    {evidence}\n"));
    }
    text
}
