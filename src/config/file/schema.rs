//! Every key that a node file may hold, by section; and the guess at what an unknown key was meant to be.
//!
//! This table is the one list of keys: the readers in `sections` ask for keys by the same words, and a
//! scene reads a file that uses all of them.

/// A section and its keys. The empty name is the top of the file.
pub(super) const SECTIONS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "name",
            "zone",
            "data_dir",
            "http",
            "log_format",
            "tls",
            "coordinator",
            "agent",
            "instance",
            "cluster",
            "endpoint",
        ],
    ),
    ("coordinator", &["listen", "members", "join", "yield_to_primary", "admin_token_file"]),
    ("agent", &["coordinators"]),
    (
        "instance",
        &[
            "cluster",
            "name",
            "listen",
            "advertise",
            "pgdata",
            "bin_dir",
            "run_as",
            "priority",
            "archive_command",
            "restore_command",
        ],
    ),
    ("cluster.NAME", &["instances", "acks", "when_alone", "user", "password_file"]),
    ("endpoint", &["coordinators", "listen"]),
    ("endpoint.listen", &["cluster", "writer", "reader"]),
    ("tls", &["ca", "cert", "key"]),
];

/// The keys of a section of the table above.
pub(super) fn keys_of(section: &str) -> &'static [&'static str] {
    SECTIONS.iter().find(|(name, _)| *name == section).map_or(&[], |(_, keys)| keys)
}

/// How a section's header is written.
pub(super) fn header(section: &str) -> String {
    match section {
        "" => "the top of the file".into(),
        "instance" | "endpoint.listen" => format!("[[{section}]]"),
        _ => format!("[{section}]"),
    }
}

/// What to say of a key that `section` does not know: the nearest key here, else the section that
/// knows this very key, else all keys that are known here.
pub(super) fn advice(section: &str, key: &str) -> String {
    let here = keys_of(section);
    if let Some(near) = nearest(key, here) {
        return format!("did you mean '{near}'? {}", known(section));
    }
    let elsewhere = SECTIONS.iter().find(|(name, keys)| *name != section && keys.contains(&key));
    if let Some((other, _)) = elsewhere {
        let hint = if other.is_empty() { ", before the first [section]" } else { "" };
        return format!("'{key}' belongs to {}{hint}", header(other));
    }
    format!("remove it; {}", known(section))
}

fn known(section: &str) -> String {
    let place = if section.is_empty() { "at" } else { "in" };
    format!("known {place} {}: {}", header(section), keys_of(section).join(", "))
}

/// The known key with the fewest edits, if these are few for the key's length.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let allowed = (key.len() / 3).clamp(1, 3);
    let (edits, near) = known.iter().map(|k| (edits(&key, k), *k)).min_by_key(|(edits, _)| *edits)?;
    (edits <= allowed).then_some(near)
}

/// Edits from `a` to `b`: insert, delete, replace, or swap two neighbours (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_a_slip_and_a_hyphen_still_find_the_key() {
        for (typed, meant) in [
            ("coordinatrs", "coordinators"),
            ("coordinatosr", "coordinators"),
            ("Coordinators", "coordinators"),
        ] {
            assert_eq!(nearest(typed, keys_of("agent")), Some(meant));
        }
        assert_eq!(nearest("data-dir", keys_of("")), Some("data_dir"));
        assert_eq!(nearest("port", keys_of("")), None);
    }
}
