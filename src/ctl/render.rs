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

/// One line on how a cluster is. A paused one is not well because of that, and nobody begins to mend it.
pub(crate) fn health(status: &ClusterStatus) -> String {
    // The first of the worst: problems come worst first.
    let worst = status.problems.iter().rev().max_by_key(|problem| problem.severity);
    let state = match worst {
        Some(problem) => Some(&problem.sentence),
        None => Some(&status.operation).filter(|operation| *operation != "steady"),
    };
    match (status.paused, state) {
        (true, Some(state)) => format!("paused; {state}"),
        (true, None) => "paused".to_owned(),
        (false, Some(state)) => state.clone(),
        (false, None) => "healthy".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole_cluster::whole;

    fn problem(severity: Severity, sentence: &str) -> ProblemLine {
        let (code, sentence) = ("primary-down".to_owned(), sentence.to_owned());
        ProblemLine { code, severity, sentence, evidence: Vec::new() }
    }

    #[test]
    fn a_paused_cluster_says_what_is_wrong_with_it_too() {
        let (well, paused) = (whole(), ClusterStatus { paused: true, ..whole() });
        assert_eq!((health(&well), health(&paused)), ("healthy".to_owned(), "paused".to_owned()));
        let problems = vec![
            problem(Severity::Critical, "PostgreSQL on primary n1 is down"),
            problem(Severity::Critical, "no standby can acknowledge commits"),
            problem(Severity::Warning, "standby n2 does not stream"),
        ];
        let ill = ClusterStatus { problems, ..well };
        assert_eq!(health(&ill), "PostgreSQL on primary n1 is down");
        let ill = ClusterStatus { paused: true, ..ill };
        assert_eq!(health(&ill), "paused; PostgreSQL on primary n1 is down");
        let busy = ClusterStatus { operation: "failover from n1".to_owned(), ..paused };
        assert_eq!(health(&busy), "paused; failover from n1");
    }
}
