//! The house as plain values: what `cargo metadata` says of the packages, and the text of the sources.
//!
//! Only Linux on this processor is asked for: those are the packages that a build has fetched, hence no
//! wall needs the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::mutants::Features;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

pub(crate) struct House(Metadata);

/// One direct dependency of one of our crates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) by: String,
    pub(crate) of: String,
    /// Only the crate's tests or build script import it.
    pub(crate) aside: bool,
}

impl House {
    pub(crate) fn read() -> Self {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut command = MetadataCommand::new();
        command.manifest_path(root().join("Cargo.toml"));
        command.other_options(vec!["--filter-platform".into(), target]);
        House(command.exec().expect("cargo metadata reads this workspace"))
    }

    fn ours(&self) -> impl Iterator<Item = &Package> {
        self.0.workspace_packages().into_iter()
    }

    /// Every direct dependency of every crate of ours.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let of_one = |package: &Package| {
            let by = package.name.to_string();
            let imports = package.dependencies.iter().map(move |d| Import {
                by: by.clone(),
                of: d.name.clone(),
                aside: d.kind != DependencyKind::Normal,
            });
            imports.collect::<Vec<_>>()
        };
        self.ours().flat_map(of_one).collect()
    }

    /// Package of ours → its features, and those that it asks of its dependencies.
    pub(crate) fn features(&self) -> BTreeMap<String, Features> {
        let of_one = |package: &Package| {
            let asked = package.dependencies.iter().flat_map(|d| d.features.iter().cloned()).collect();
            let own = package.features.iter().map(|(name, on)| (name.clone(), on.clone())).collect();
            (package.name.to_string(), Features { own, asked })
        };
        self.ours().map(of_one).collect()
    }

    /// The packages from outside that a crate of ours names.
    pub(crate) fn direct(&self) -> BTreeSet<String> {
        let ours: BTreeSet<String> = self.ours().map(|p| p.name.to_string()).collect();
        self.imports().into_iter().map(|import| import.of).filter(|of| !ours.contains(of)).collect()
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.0.packages.iter().map(|p| p.name.to_string()).collect()
    }

    /// Package → its licence, as it states it.
    pub(crate) fn licences(&self) -> BTreeMap<String, String> {
        let licence = |p: &Package| (p.name.to_string(), p.license.clone().unwrap_or_default());
        self.0.packages.iter().map(licence).collect()
    }

    /// Package → where it comes from; ours come from nowhere.
    pub(crate) fn origins(&self) -> BTreeMap<String, String> {
        let origin = |p: &Package| Some((p.name.to_string(), p.source.as_ref()?.repr.clone()));
        self.0.packages.iter().filter_map(origin).collect()
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file} belongs to the house: {e}"))
}

/// The strings in quotes that follow `key =` within a section of a TOML file.
pub(crate) fn listed(file: &str, section: &str, key: &str) -> BTreeSet<String> {
    let found = listed_in(&text(file), section, key);
    assert!(!found.is_empty(), "{file} has no {key} in {section}");
    found
}

fn listed_in(text: &str, section: &str, key: &str) -> BTreeSet<String> {
    let body = text.split_once(&format!("\n{section}\n")).map_or("", |(_, rest)| rest);
    let body = body.split("\n[").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for (_, value) in body.match_indices(&format!("{key} = ")).map(|(at, m)| body.split_at(at + m.len())) {
        let end = if value.starts_with('[') { "]" } else { "," };
        let value = value.split(end).next().unwrap_or_default();
        found.extend(value.split('"').skip(1).step_by(2).map(String::from));
    }
    found
}

/// Path from the root → text, of every Rust file of ours.
pub(crate) fn sources() -> BTreeMap<String, String> {
    let sources: BTreeMap<_, _> =
        ["src", "tests", "chaos", "examples"].into_iter().flat_map(|dir| files(dir, ".rs")).collect();
    assert!(sources.contains_key("src/main.rs"), "the sources were not found below {}", root().display());
    sources
}

/// Path from the root → text, of every file below `dir` whose name ends so.
pub(crate) fn files(dir: &str, ending: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_string()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(root().join(&dir)) else { continue };
        for entry in entries.flatten() {
            let path = format!("{dir}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                open.push(path);
            } else if path.ends_with(ending) {
                files.insert(path.clone(), text(&path));
            }
        }
    }
    files
}

#[test]
fn lists_are_read_from_their_section_alone() {
    let text = "x\n[a]\nallow = [\"one\", \"two\"]\n[b]\nallow = [\"three\"]\ndeny = [\n { crate = \"four\", reason = \"r\" },\n]\n";
    assert_eq!(listed_in(text, "[a]", "allow"), ["one", "two"].map(String::from).into());
    assert_eq!(listed_in(text, "[b]", "crate"), ["four".to_string()].into());
}
