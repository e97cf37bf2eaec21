//! Who may import whom. Rooms that may not know each other cannot grow together.
//!
//! Ours are held for every kind of import, tests included: a test that reaches across a wall is how walls
//! begin to lean. What comes from outside is held only for the rooms that promise to need next to nothing.

use super::house::Import;

const OURS: &str = "interrex-";

/// A crate of ours, and the crates of ours that it may import. `interrex` itself binds all of them.
const MAY: &[(&str, &[&str])] = &[
    ("cluster", &[]),
    ("rt", &[]),
    ("guard", &[]),
    ("notices", &[]),
    ("tls", &["authority"]),
    ("authority", &["tls"]),
    ("ledger", &["notices"]),
    ("config", &["authority", "cluster", "tls"]),
    ("api", &["cluster", "rt", "tls"]),
    ("coordinator", &["api", "authority", "cluster", "rt", "tls"]),
    ("agent", &["api", "cluster", "guard", "notices", "rt", "tls"]),
    ("endpoint", &["api", "cluster", "rt", "tls"]),
    ("ctl", &["api", "cluster", "tls"]),
    ("rig", &["api", "cluster", "ledger"]),
    ("demo", &["api", "cluster", "ledger", "rig"]),
    ("check", &["cluster"]),
    ("sim", &["check", "cluster"]),
    ("whole", &["sim", "cluster", "rt", "api", "coordinator", "agent"]),
    ("harness", &["check", "sim", "api", "cluster", "ledger", "notices", "rig"]),
];

/// Rooms that take next to nothing from outside, what they take, and why.
const SPARE: &[(&str, &[&str], &str)] = &[
    ("cluster", &["serde", "thiserror"], "the rules are pure: no runtime, no I/O, no clock"),
    (
        "guard",
        &["rustix", "libc"],
        "it must outlive everything: nothing that allocates threads or fails in new ways",
    ),
];

pub(crate) fn breaches(imports: &[Import]) -> Vec<String> {
    let mut lines: Vec<String> = imports.iter().filter_map(breach).collect();
    lines.sort();
    lines.dedup();
    lines
}

fn breach(import: &Import) -> Option<String> {
    let by = import.by.strip_prefix(OURS)?;
    match import.of.strip_prefix(OURS) {
        Some(of) => among_ours(by, of),
        None if import.aside => None,
        None => from_outside(by, &import.of),
    }
}

fn among_ours(by: &str, of: &str) -> Option<String> {
    let Some((_, may)) = MAY.iter().find(|(name, _)| *name == by) else {
        return Some(format!(
            "crate interrex-{by} is new to the house: write in tests/walls/imports.rs whom it may import"
        ));
    };
    if may.contains(&of) {
        return None;
    }
    let allowed = if may.is_empty() { "nothing of ours".into() } else { may.join(", ") };
    Some(format!(
        "interrex-{by} imports interrex-{of}, but may import {allowed}: let both meet on the wire (src/api), or move \
         what they share to src/cluster"
    ))
}

fn from_outside(by: &str, of: &str) -> Option<String> {
    let (_, may, why) = SPARE.iter().find(|(name, ..)| *name == by)?;
    (!may.contains(&of)).then(|| {
        format!(
            "interrex-{by} imports {of}, but takes only {} from outside ({why}): do without",
            may.join(", ")
        )
    })
}

#[cfg(test)]
mod breached {
    use super::*;

    fn told(by: &str, of: &str, aside: bool) -> String {
        breaches(&[Import { by: by.into(), of: of.into(), aside }]).join("\n")
    }

    #[test]
    fn neighbours_never_import_each_other_not_even_in_tests() {
        for aside in [false, true] {
            for (by, of) in [("coordinator", "agent"), ("agent", "coordinator"), ("endpoint", "agent")] {
                let line = told(&format!("interrex-{by}"), &format!("interrex-{of}"), aside);
                assert!(
                    line.starts_with(&format!("interrex-{by} imports interrex-{of}, but may import ")),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn the_rules_take_no_runtime_and_the_guard_no_parser() {
        assert!(told("interrex-cluster", "tokio", false).contains("the rules are pure"));
        assert!(told("interrex-guard", "serde_json", false).contains("takes only rustix, libc"));
        assert_eq!(told("interrex-agent", "tokio", false), "");
    }

    #[test]
    fn a_new_crate_has_to_say_whom_it_imports() {
        assert!(told("interrex-attic", "interrex-cluster", false).contains("is new to the house"));
    }
}
