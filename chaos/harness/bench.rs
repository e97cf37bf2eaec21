//! How long writes stood still under each fault, and how that came about, over many runs: a table, or an object a line.

use interrex_rig::Phases;
use serde::Serialize;

use crate::args::Output;
use crate::report::Report;

/// One figure over all runs of a fault, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    fault: &'static str,
    what: &'static str,
    min_ms: u64,
    median_ms: u64,
    /// With fewer than a hundred runs it is the worst.
    p99_ms: u64,
    max_ms: u64,
    /// How many runs told it.
    runs: usize,
    /// Of so many.
    of: usize,
}

impl Figure {
    fn of(fault: &'static str, what: &'static str, told: &[Option<u64>]) -> Option<Figure> {
        let mut known: Vec<u64> = told.iter().copied().flatten().collect();
        known.sort_unstable();
        let last = known.len().checked_sub(1)?;
        // The nearest rank.
        let p99 = (known.len() * 99).div_ceil(100) - 1;
        let middle = known[last / 2].midpoint(known[known.len() / 2]);
        let (min_ms, p99_ms, max_ms) = (known[0], known[p99], known[last]);
        Some(Figure {
            fault,
            what,
            min_ms,
            median_ms: middle,
            p99_ms,
            max_ms,
            runs: known.len(),
            of: told.len(),
        })
    }
}

/// All figures, by fault.
pub(crate) fn figures(reports: &[Report]) -> Vec<Figure> {
    let mut faults: Vec<&'static str> = reports.iter().map(|report| report.fault).collect();
    faults.dedup();
    faults.into_iter().flat_map(|fault| of_fault(fault, reports)).collect()
}

fn of_fault(fault: &'static str, reports: &[Report]) -> Vec<Figure> {
    let runs: Vec<&Report> = reports.iter().filter(|report| report.fault == fault).collect();
    let each =
        |figure: &dyn Fn(&Report) -> Option<u64>| runs.iter().map(|run| figure(run)).collect::<Vec<_>>();
    let mut figures = vec![Figure::of(fault, "writes stood still", &each(&|run| run.gap_ms))];
    for (at, (name, _)) in Phases::default().named().into_iter().enumerate() {
        figures.push(Figure::of(fault, name, &each(&|run| run.phases.named()[at].1)));
    }
    figures.push(Figure::of(fault, "whole again after", &each(&|run| run.whole_ms)));
    figures.into_iter().flatten().collect()
}

/// As text.
pub(crate) fn told(figures: &[Figure], output: Output) -> anyhow::Result<String> {
    let lines: Vec<String> = match output {
        Output::Json => figures.iter().map(serde_json::to_string).collect::<Result<_, _>>()?,
        Output::Table => {
            let header = format!(
                "{:<24} {:<20} {:>8} {:>8} {:>8} {:>8}  RUNS",
                "FAULT", "MILLISECONDS", "MIN", "MEDIAN", "P99", "MAX"
            );
            let line = |one: &Figure| {
                let Figure { fault, what, min_ms, median_ms, p99_ms, max_ms, runs, of } = one;
                format!(
                    "{fault:<24} {what:<20} {min_ms:>8} {median_ms:>8} {p99_ms:>8} {max_ms:>8}  {runs} of {of}"
                )
            };
            std::iter::once(header).chain(figures.iter().map(line)).collect()
        }
    };
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_of_those_runs_that_told_it() {
        let told = [Some(30), None, Some(10), Some(20), Some(40)];
        let figure = Figure::of("kill-machine", "seal", &told).unwrap();
        assert_eq!((figure.min_ms, figure.median_ms, figure.p99_ms, figure.max_ms), (10, 25, 40, 40));
        assert_eq!((figure.runs, figure.of), (4, 5));
        assert_eq!(Figure::of("kill-machine", "seal", &[None]), None);
        let many: Vec<_> = (1..=200).map(Some).collect();
        let figure = Figure::of("kill-machine", "seal", &many).unwrap();
        assert_eq!((figure.median_ms, figure.p99_ms, figure.max_ms), (100, 198, 200));
    }
}
