//! The list of coordinators as it stands on the agent's shelf: how it is written, and what of it is believed when it is read.
//! When it is written is the affair of [`super`].

use crate::shelf::Shelf;
use interrex_api::dial::Target;
use interrex_api::session::{Roster, RosterId};
use interrex_cluster::ids::MachineName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

pub(super) const FILE: &str = "coordinators";
const FORMAT: u32 = 1;

/// The file: one JSON object.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// As hexadecimal digits: most readers of JSON would round the number.
    group: String,
    index: u64,
    coordinators: BTreeMap<MachineName, String>,
    /// Groups that were replaced. The first builds knew none.
    #[serde(default)]
    left: BTreeSet<String>,
}

/// What the file says.
pub(super) fn render(roster: &Roster, left: &BTreeSet<u64>) -> io::Result<Vec<u8>> {
    let kept = Kept {
        format: FORMAT,
        group: hex(roster.id.group),
        index: roster.id.index,
        coordinators: roster.coordinators.clone(),
        left: left.iter().map(|group| hex(*group)).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&kept)?;
    text.push(b'\n');
    Ok(text)
}

fn hex(group: u64) -> String {
    format!("{group:016x}")
}

fn group(hex: &str) -> Result<u64, String> {
    u64::from_str_radix(hex, 16).map_err(|why| format!("group '{hex}': {why}"))
}

/// The list that was kept, and the groups that were left.
pub(super) fn read(shelf: &dyn Shelf) -> Result<Option<(Roster, BTreeSet<u64>)>, String> {
    let Some(text) = shelf.read(FILE).map_err(|error| error.to_string())? else { return Ok(None) };
    let kept: Kept = serde_json::from_slice(&text).map_err(|why| format!("cannot be read: {why}"))?;
    if kept.format > FORMAT {
        return Err(format!("has format {}, this version knows up to {FORMAT}", kept.format));
    }
    let left = kept.left.iter().map(|left| group(left)).collect::<Result<_, _>>()?;
    let group = group(&kept.group)?;
    let bad = kept.coordinators.iter().find(|(name, at)| Target::of(at, Some(name.as_str())).is_err());
    if let Some((name, at)) = bad {
        return Err(format!("'{at}' of {name} is no host:port"));
    }
    let id = RosterId { group, index: kept.index };
    Ok(Some((Roster { id, coordinators: kept.coordinators, replaced: BTreeSet::new() }, left)))
}
