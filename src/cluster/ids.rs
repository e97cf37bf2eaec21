//! Names and numbers that identify things: clusters, machines, instances, epochs, revisions, incarnations.
//!
//! A name is validated where it enters and may be trusted behind that point. Numbers are newtypes, so that an epoch
//! is never mistaken for a revision. Standby and slot names, which PostgreSQL sees, are made here and nowhere else.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not a name: use 1 to 24 of a-z, 0-9 and '-', and begin with a letter or digit")]
pub struct BadName {
    /// The refused text.
    pub given: String,
}

fn check_name(text: &str) -> Result<(), BadName> {
    let good_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = |c: char| good_first(c) || c == '-';
    let fits = (1..=24).contains(&text.len()) && text.starts_with(good_first) && text.chars().all(good);
    if fits { Ok(()) } else { Err(BadName { given: text.to_owned() }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                check_name(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(/// The name of a cluster: `[a-z0-9][a-z0-9-]{0,23}`.
    ClusterName);
name!(/// The name of a machine, unique among machines.
    MachineName);
name!(/// The name of an instance, unique in its cluster; the machine's name unless the node file says otherwise.
    InstanceName);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The number that follows.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// Counter of primaries in one cluster: the fencing token on every goal, lease, route and standby name.
    /// The timeline that a primary opens bears the same number (F20), hence 32 bits.
    Epoch(u32));
number!(/// Per-cluster counter, raised by each entry that changes a goal. `(epoch, revision)` orders goals.
    Revision(u64));
number!(/// Counter of copies that one instance has held: raised by each clone and each rewind (F11).
    Incarnation(u32));
number!(/// The number of a commit rule; retiring `n` drops only numbers below `n`.
    RuleNumber(u64));
number!(/// PostgreSQL's system identifier, the same in every copy of one cluster (F38).
    SystemId(u64));

/// Random identity of a cluster. Its eight hex digits begin every standby name, so that a standby of another
/// cluster of the same name cannot acknowledge here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u32);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Identity of an agent's data directory (`<data_dir>/identity`), drawn once. Opaque text, a UUID in practice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DirectoryId(pub String);

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// `(epoch, revision)`: what every goal and every proof carries. An agent obeys nothing below the highest pair that
/// it has obeyed, ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The epoch of the goal.
    pub epoch: Epoch,
    /// The revision within the cluster's life, not within the epoch.
    pub revision: Revision,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

/// The `application_name` under which an instance's walreceiver may acknowledge:
/// `ix<8 hex of the cluster id>_<instance>_<epoch>_<incarnation>`, at most 63 bytes (F11).
pub fn standby_name(
    cluster: ClusterId,
    instance: &InstanceName,
    epoch: Epoch,
    incarnation: Incarnation,
) -> String {
    format!("ix{cluster}_{}_{epoch}_{incarnation}", instance.as_str().replace('-', "_"))
}

/// The physical slot that holds WAL for an instance on whichever server is its upstream.
pub fn slot_name(instance: &InstanceName) -> String {
    format!("ix_{}", instance.as_str().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_dashes() {
        assert_eq!("n1".parse::<InstanceName>().unwrap().as_str(), "n1");
        for bad in ["", "-a", "A", "a_b", "a b", "abcdefghijklmnopqrstuvwxy", "ä"] {
            let refused = bad.parse::<InstanceName>().unwrap_err();
            assert!(refused.to_string().contains(&format!("'{bad}'")), "{refused}");
        }
    }

    #[test]
    fn the_longest_standby_name_fits_into_postgresql_s_63_bytes() {
        let instance: InstanceName = "a23456789-123456789-1234".parse().unwrap();
        let name = standby_name(ClusterId(7), &instance, Epoch(u32::MAX), Incarnation(99_999));
        assert_eq!(name, "ix00000007_a23456789_123456789_1234_4294967295_99999");
        assert!(name.len() <= 63);
    }
}
