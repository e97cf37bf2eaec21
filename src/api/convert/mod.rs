//! The border: one file a message family. Outward ([`Wire::to_pb`]) nothing can fail; inward ([`Wire::from_pb`]) a
//! message either becomes one of our types or a [`BadMessage`] that names the field and says why.
//!
//! Whatever `to_pb` writes, `from_pb` reads: a value that once went into the log always comes out of it. So the
//! border checks what our types could not hold (names, enumerations, widths, absence) and leaves policy to the rules.
//!
//! To add a field: the proto (say what absence means), then follow the compiler; every struct and every match here is
//! exhaustive. When an older build must not overlook it, raise [`crate::log::LEVEL`].

pub(crate) mod admin;
pub(crate) mod command;
pub(crate) mod coordinators;
pub(crate) mod event;
pub(crate) mod goal;
pub(crate) mod ids;
pub(crate) mod operation;
pub(crate) mod policy;
pub(crate) mod receipt;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod status;
pub(crate) mod wal;

use std::collections::BTreeMap;

/// A message that is none of ours: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct BadMessage {
    /// Path of the field, as the proto names it: `report.server.standby.system`, `rules[2].primary`.
    pub path: String,
    /// What is wrong.
    pub why: String,
}

impl BadMessage {
    pub(crate) fn new(field: &str, why: impl ToString) -> Self {
        Self { path: field.to_owned(), why: why.to_string() }
    }

    /// The same, seen from the message that holds `field`.
    pub(crate) fn under(self, field: &str) -> Self {
        Self { path: format!("{field}.{}", self.path), why: self.why }
    }
}

/// One of our types, and the message that carries it.
pub(crate) trait Wire: Sized {
    /// The message.
    type Pb;

    /// The message that carries this value.
    fn to_pb(&self) -> Self::Pb;

    /// The value that a message carries.
    fn from_pb(pb: Self::Pb) -> Result<Self, BadMessage>;
}

/// A message that must be there.
pub(crate) fn need<T: Wire>(pb: Option<T::Pb>, field: &str) -> Result<T, BadMessage> {
    T::from_pb(set(pb, field)?).map_err(|bad| bad.under(field))
}

/// A message that may be absent.
pub(crate) fn maybe<T: Wire>(pb: Option<T::Pb>, field: &str) -> Result<Option<T>, BadMessage> {
    pb.map(|pb| T::from_pb(pb).map_err(|bad| bad.under(field))).transpose()
}

/// Messages in a row.
pub(crate) fn each<T: Wire>(pbs: Vec<T::Pb>, field: &str) -> Result<Vec<T>, BadMessage> {
    let one = |(i, pb)| T::from_pb(pb).map_err(|bad: BadMessage| bad.under(&format!("{field}[{i}]")));
    pbs.into_iter().enumerate().map(one).collect()
}

/// Messages in a row, outward.
pub(crate) fn all<'a, T: Wire + 'a>(values: impl IntoIterator<Item = &'a T>) -> Vec<T::Pb> {
    values.into_iter().map(Wire::to_pb).collect()
}

/// Anything that must be there.
pub(crate) fn set<T>(value: Option<T>, field: &str) -> Result<T, BadMessage> {
    value.ok_or_else(|| BadMessage::new(field, "missing, or of a kind that this build does not know"))
}

/// A value of an enumeration; `Some` wraps what the generated conversion makes of the number.
pub(crate) fn known<E>(value: Result<E, prost::UnknownEnumValue>, field: &str) -> Result<E, BadMessage> {
    value.map_err(|unknown| BadMessage::new(field, format!("value {} is unknown to this build", unknown.0)))
}

/// The refusal of `*_UNSPECIFIED`.
pub(crate) fn unspecified<T>(field: &str) -> Result<T, BadMessage> {
    Err(BadMessage::new(field, "not specified"))
}

/// A number that our type holds in fewer bits.
pub(crate) fn narrow<T: TryFrom<u32>>(value: u32, field: &str) -> Result<T, BadMessage> {
    T::try_from(value).map_err(|_| BadMessage::new(field, format!("{value} is out of range")))
}

/// Entries of a map, each under its own key.
pub(crate) fn unique<K: Ord + ToString, V>(
    entries: Vec<(K, V)>,
    field: &str,
) -> Result<BTreeMap<K, V>, BadMessage> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        if map.contains_key(&key) {
            return Err(BadMessage::new(field, format!("'{}' is there twice", key.to_string())));
        }
        map.insert(key, value);
    }
    Ok(map)
}

#[cfg(test)]
mod border;
#[cfg(test)]
pub(crate) mod samples;
