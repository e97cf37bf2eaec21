//! No shipped build has mutants: the feature that lets the simulation switch rules off is asked for by nothing but the own
//! feature of the same name of that simulation's tiers, and that is no default. Cargo unites the features of what is built
//! together, so one careless line would put the switches into the shipped binary.

use std::collections::BTreeMap;

const FEATURE: &str = "mutants";
/// The only crates that may name it, each in its own feature alone.
const MAY: [&str; 2] = ["interrex-sim", "interrex-whole"];

/// What a package says of features: its own, and those that it asks of its dependencies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Features {
    pub(crate) own: BTreeMap<String, Vec<String>>,
    pub(crate) asked: Vec<String>,
}

pub(crate) fn breaches(packages: &BTreeMap<String, Features>) -> Vec<String> {
    let mut lines = Vec::new();
    for (package, features) in packages {
        if features.asked.iter().any(|feature| feature == FEATURE) {
            lines.push(format!(
                "{package} asks a dependency for '{FEATURE}': then every build with it has mutants"
            ));
        }
        for (name, enables) in &features.own {
            let passes = enables.iter().any(|other| other == FEATURE || other.ends_with("/mutants"));
            if passes && (!MAY.contains(&package.as_str()) || name != FEATURE) {
                let may = MAY.join(" and ");
                lines.push(format!(
                    "feature '{name}' of {package} switches '{FEATURE}' on: only that of {may} may"
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod breached {
    use super::*;

    fn told(package: &str, own: &[(&str, &str)], asked: &[&str]) -> String {
        let own = own.iter().map(|(name, on)| (name.to_string(), vec![on.to_string()])).collect();
        let asked = asked.iter().map(ToString::to_string).collect();
        breaches(&BTreeMap::from([(package.to_string(), Features { own, asked })])).join("\n")
    }

    #[test]
    fn the_feature_reaches_nobody_but_by_the_simulation_s_own() {
        assert_eq!(told("interrex-sim", &[("mutants", "interrex-cluster/mutants")], &[]), "");
        assert_eq!(told("interrex-whole", &[("mutants", "interrex-sim/mutants")], &[]), "");
        assert!(told("interrex-sim", &[("default", "mutants")], &[]).contains("switches 'mutants' on"));
        assert!(
            told("interrex-agent", &[("x", "interrex-cluster/mutants")], &[])
                .contains("only that of interrex-sim")
        );
        assert!(told("interrex-sim", &[], &["mutants"]).contains("every build with it"));
    }
}
