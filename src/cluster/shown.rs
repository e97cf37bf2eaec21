//! How identifiers and WAL positions stand in JSON: as text, as everybody writes them. They are numbers of 64 bits, of
//! which most readers of JSON keep no more than 53. Counts and milliseconds stay numbers.

use crate::wal::{Lsn, Position, TimelineId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Display;

/// In words, as a table would show it.
pub(crate) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The same, of what may be unknown.
pub(crate) fn text_if_known<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

/// A position in a receipt; the files of older builds hold the LSN as a number.
pub(crate) mod position {
    use super::{Deserialize, Deserializer, Lsn, Position, Serialize, Serializer, TimelineId, text};
    use serde::de::Error;

    #[derive(Serialize)]
    struct Written {
        timeline: TimelineId,
        #[serde(serialize_with = "text")]
        lsn: Lsn,
    }

    #[derive(Deserialize)]
    struct Read {
        timeline: TimelineId,
        lsn: Either,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }

    pub(crate) fn serialize<S: Serializer>(
        position: &Option<Position>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        position.map(|Position { timeline, lsn }| Written { timeline, lsn }).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Position>, D::Error> {
        let Some(Read { timeline, lsn }) = Option::deserialize(deserializer)? else { return Ok(None) };
        let lsn = match lsn {
            Either::Number(number) => Lsn(number),
            Either::Text(text) => text.parse().map_err(D::Error::custom)?,
        };
        Ok(Some(Position { timeline, lsn }))
    }
}
