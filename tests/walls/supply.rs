//! What may come in from outside: licences, banned crates, origins, and an argument for each dependency.

use std::collections::{BTreeMap, BTreeSet};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages whose licence leaves no choice within `allowed`.
pub(crate) fn licences(packages: &BTreeMap<String, String>, allowed: &BTreeSet<String>) -> Vec<String> {
    let refused = packages.iter().filter(|(_, licence)| !may_ship(licence, allowed));
    refused
        .map(|(package, licence)| {
            let shown = if licence.is_empty() { "no licence" } else { licence };
            format!("{package} comes with {shown}: take another crate, or argue the licence into deny.toml")
        })
        .collect()
}

/// An SPDX expression: `OR` binds weaker than `AND`; the old `/` means `OR`.
fn may_ship(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    any(&mut rest, allowed) && rest.is_empty()
}

fn any(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut good = all(tokens, allowed);
    while let Some((&"OR", rest)) = tokens.split_first() {
        *tokens = rest;
        good |= all(tokens, allowed);
    }
    good
}

fn all(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut good = one(tokens, allowed);
    while let Some((&"AND", rest)) = tokens.split_first() {
        *tokens = rest;
        good &= one(tokens, allowed);
    }
    good
}

fn one(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return false };
    *tokens = rest;
    if *first == "(" {
        let good = any(tokens, allowed);
        if let Some((&")", rest)) = tokens.split_first() {
            *tokens = rest;
        }
        return good;
    }
    // An exception only grants more, yet it makes another licence: allowed only when listed as such.
    if let [with, exception, rest @ ..] = *tokens
        && *with == "WITH"
    {
        *tokens = rest;
        return allowed.contains(&format!("{first} WITH {exception}"));
    }
    allowed.contains(*first)
}

pub(crate) fn banned(packages: &BTreeSet<String>, banned: &BTreeSet<String>) -> Vec<String> {
    let found = packages.intersection(banned);
    found
        .map(|package| {
            format!("{package} is banned (deny.toml says why): `cargo tree -i {package}` tells who brought it; switch that feature off")
        })
        .collect()
}

pub(crate) fn sources(origins: &BTreeMap<String, String>) -> Vec<String> {
    let elsewhere = origins.iter().filter(|(_, origin)| *origin != CRATES_IO);
    elsewhere
        .map(|(package, origin)| format!("{package} comes from {origin}: take a release from crates.io"))
        .collect()
}

/// Every direct dependency has a row `| \`crate\` | …` in the page, and every row a dependency.
pub(crate) fn argued(direct: &BTreeSet<String>, page: &str) -> Vec<String> {
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_string());
    let rows: BTreeSet<String> = page.lines().filter_map(row).collect();
    let unargued = direct.difference(&rows).map(|package| {
        format!("{package} is imported but not argued for: add a row to docs/dependencies.md, or do without")
    });
    let stale = rows.difference(direct).map(|package| {
        format!("{package} is argued for but not imported: remove its row from docs/dependencies.md")
    });
    unargued.chain(stale).collect()
}

#[cfg(test)]
mod breached {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_licence_is_a_choice_or_a_sum() {
        let allowed = set(&["MIT", "Apache-2.0", "Unicode-3.0"]);
        for good in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND Unicode-3.0"] {
            assert!(may_ship(good, &allowed), "{good}");
        }
        let bad = ["", "AGPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "Apache-2.0 WITH X"];
        for bad in bad {
            assert!(!may_ship(bad, &allowed), "{bad}");
        }
        let told = licences(&[("pgdog".into(), "AGPL-3.0".into())].into(), &allowed);
        assert_eq!(
            told,
            ["pgdog comes with AGPL-3.0: take another crate, or argue the licence into deny.toml"]
        );
    }

    #[test]
    fn a_banned_crate_and_one_from_a_git_repository_are_told() {
        let told = banned(&set(&["ring", "openssl"]), &set(&["openssl", "native-tls"]));
        assert!(told.len() == 1 && told[0].starts_with("openssl is banned"), "{told:?}");
        let told = sources(
            &[("x".into(), "git+https://example.org/x".into()), ("y".into(), CRATES_IO.into())].into(),
        );
        assert_eq!(told, ["x comes from git+https://example.org/x: take a release from crates.io"]);
    }

    #[test]
    fn a_dependency_without_argument_and_an_argument_without_dependency_are_told() {
        let told = argued(&set(&["serde", "rand"]), "| `serde` | all | derive |\n| `log` | none | old |\n");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("rand is imported") && told[1].starts_with("log is argued for"),
            "{told:?}"
        );
    }
}
