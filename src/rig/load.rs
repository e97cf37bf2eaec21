//! How busy the machine is: a figure without it says little.

use std::fs;

/// The machine's load averages; none where the machine does not tell.
pub fn load() -> Vec<f64> {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).filter_map(|number| number.parse().ok()).collect()
}
