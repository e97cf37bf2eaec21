//! The catalogue: what each fault does, what is expected of the cluster, and the bounds. A row is an expectation written
//! down before the run, by which the run is judged.

use serde::Serialize;

use crate::args::Output;
use crate::nemesis::{Fault, ROWS};

/// Within this after the end of the fault everything streams again and nothing is wrong.
pub(crate) const WHOLE_WITHIN_MS: u64 = 60_000;

/// One fault.
pub(crate) struct Row {
    /// As it is written on the command line.
    pub(crate) name: &'static str,
    /// What is done, in a sentence.
    pub(crate) story: &'static str,
    /// The fewest and the most epochs that it may begin.
    pub(crate) promotions: (u32, u32),
    /// The longest time for which writes may stand still, in milliseconds. Wide enough for a small busy machine with a
    /// debug build; what is measured is told beside it.
    pub(crate) gap_ms: u64,
    /// How long it lasts.
    pub(crate) lasts: Lasts,
    /// A client on the primary's own machine writes to that primary all the while.
    pub(crate) side_door: bool,
    /// It takes packets away.
    pub(crate) nft: bool,
    /// With fewer machines it would be another fault.
    pub(crate) machines: u8,
    /// Each machine's PostgreSQL is on a volume of its own.
    pub(crate) volumes: bool,
    /// The fault.
    pub(crate) make: fn() -> Box<dyn Fault>,
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Until another epoch is open and has acknowledged writes for a while.
    UntilFailover,
    /// So many milliseconds, drawn between these.
    Ms(u64, u64),
}

/// The names of all.
pub(crate) fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// The row of that name.
pub(crate) fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// A row for programs.
#[derive(Serialize)]
struct Listed {
    fault: &'static str,
    story: &'static str,
    promotions_at_least: u32,
    promotions_at_most: u32,
    gap_ms_at_most: u64,
    whole_ms_at_most: u64,
    machines_at_least: u8,
}

/// The catalogue as text: for people, or an object a line.
pub(crate) fn listed(output: Output) -> anyhow::Result<String> {
    let lines: Vec<String> = match output {
        Output::Json => {
            ROWS.iter().map(|row| serde_json::to_string(&Listed::of(row))).collect::<Result<_, _>>()?
        }
        Output::Table => {
            let header =
                format!("{:<24} {:>10} {:>12}  {}", "FAULT", "PROMOTIONS", "WRITES STAND", "WHAT IS DONE");
            let line = |row: &Row| {
                let stand = format!("<= {} s", row.gap_ms.div_ceil(1000));
                format!("{:<24} {:>10} {:>12}  {}", row.name, expected(row.promotions), stand, row.story)
            };
            std::iter::once(header).chain(ROWS.iter().map(line)).collect()
        }
    };
    Ok(lines.join("\n"))
}

/// `1`, or `0 to 1`.
pub(crate) fn expected((least, most): (u32, u32)) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

impl Listed {
    fn of(row: &Row) -> Listed {
        Listed {
            fault: row.name,
            story: row.story,
            promotions_at_least: row.promotions.0,
            promotions_at_most: row.promotions.1,
            gap_ms_at_most: row.gap_ms,
            whole_ms_at_most: WHOLE_WITHIN_MS,
            machines_at_least: row.machines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_an_expectation_that_can_be_missed() {
        assert_eq!(names().iter().collect::<BTreeSet<_>>().len(), names().len());
        for row in ROWS {
            assert!(row.promotions.0 <= row.promotions.1 && row.promotions.1 <= 3, "{}", row.name);
            assert!((1..=30_000).contains(&row.gap_ms) && (3..=7).contains(&row.machines), "{}", row.name);
            assert!(row.lasts != Lasts::UntilFailover || row.promotions == (1, 1), "{}", row.name);
            assert!(self::row(row.name).is_some());
        }
    }

    #[test]
    fn the_catalogue_is_told_to_people_and_to_programs() {
        let text = listed(Output::Table).unwrap();
        assert!(names().iter().all(|name| text.contains(name)), "{text}");
        for line in listed(Output::Json).unwrap().lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(object["gap_ms_at_most"].is_u64() && object["fault"].is_string(), "{line}");
        }
    }
}
