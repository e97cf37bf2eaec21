//! What an operator wants of one cluster, and how it is changed: `key = value`, each judged by itself and all together
//! before anything is recorded. Whether PostgreSQL takes a parameter's value, only PostgreSQL can say: the primary's
//! agent asks it before the record has it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most PostgreSQL parameters that a cluster may have set.
const MOST_PARAMETERS: usize = 200;

/// What the operator wants of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Instances that it should have; 1 to 9.
    pub instances: u32,
    /// Standbys that must have flushed a commit before it is acknowledged; 0 is asynchronous.
    pub acks: u32,
    /// Fewest standbys to which `acks` may sink while others are away; by default as [`Spec::default_min_acks`] has it.
    pub min_acks: u32,
    /// With no standby able to acknowledge.
    pub when_alone: WhenAlone,
    /// Most WAL bytes that an automatic failover may lose with `acks = 0`. 0: none is automatic then.
    pub max_data_loss: u64,
    /// What follows a crash of the primary.
    pub on_crash: OnCrash,
    /// Patience that differs from the coordinators' own.
    pub timeouts: Timeouts,
    /// PostgreSQL parameters of every instance, by name. Interrex's own (docs/settings.md) are not among them.
    pub parameters: BTreeMap<String, String>,
}

/// Patience of one cluster, in milliseconds; absent: as the coordinators have it ([`crate::policy::Policy`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Silence of the primary's agent after which corroborating peers suffice; 500 to 60000.
    pub suspect_after_ms: Option<u32>,
    /// A server that answers no probe for so long has failed; 1000 to 600000.
    pub hung_after_ms: Option<u32>,
    /// A standby without an answer for so long leaves the commit rule; 1000 to 600000.
    pub leaves_after_ms: Option<u32>,
    /// No standby able to acknowledge for so long: `when_alone` decides; 1000 to 600000.
    pub alone_after_ms: Option<u32>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            instances: 3,
            acks: 1,
            min_acks: 0,
            when_alone: WhenAlone::Continue,
            max_data_loss: 0,
            on_crash: OnCrash::Failover,
            timeouts: Timeouts::default(),
            parameters: BTreeMap::new(),
        }
    }
}

impl Spec {
    /// What a new cluster is given: `acks` defaults to 1, or to 0 with a single instance, and `min_acks` as ever. Whether it
    /// all goes together, [`Spec::check`] says.
    pub fn of_new(instances: u32, acks: Option<u32>, min_acks: Option<u32>, when_alone: WhenAlone) -> Spec {
        let acks = acks.unwrap_or_else(|| instances.saturating_sub(1).min(1));
        let spec = Spec { instances, acks, when_alone, ..Spec::default() };
        Spec { min_acks: min_acks.unwrap_or_else(|| spec.default_min_acks()), ..spec }
    }

    /// What `min_acks` is unless it is said: 0 with `continue`, `acks` with `block` (PROTOCOL.md clause 16).
    pub fn default_min_acks(&self) -> u32 {
        match self.when_alone {
            WhenAlone::Continue => 0,
            WhenAlone::Block => self.acks,
        }
    }

    /// True when commits may become asynchronous: they are meant to be, or rather go on than wait.
    pub fn may_be_asynchronous(&self) -> bool {
        self.acks == 0 || (self.when_alone == WhenAlone::Continue && self.min_acks == 0)
    }
}

/// With no standby able to acknowledge for `alone_after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenAlone {
    /// Go on asynchronously, as RDS does; the record has it first.
    Continue,
    /// Writes wait.
    Block,
}

/// What follows a crash of PostgreSQL on the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCrash {
    /// Another instance takes over.
    Failover,
    /// The same instance is elected again, in a new epoch, unless it crashed a moment ago.
    Restart,
}

/// Least and most of each timeout, in milliseconds.
const SUSPECT_AFTER: (u32, u32) = (500, 60_000);
const HUNG_AFTER: (u32, u32) = (1_000, 600_000);
const LEAVES_AFTER: (u32, u32) = (1_000, 600_000);
/// Not below what a report is believed for: standbys whose machines died together would pass for up and out of the primary's
/// reach alone, and it would be failed over as one that is cut off.
const ALONE_AFTER: (u32, u32) = (2_000, 600_000);

impl Spec {
    /// Changes all of these keys, one after the other, as [`Spec::set`] does. Where `min_acks` is not among them and stands at
    /// its default it stays there: `when_alone=block` makes of a cluster what it had become if it had been created so.
    ///
    /// # Errors
    /// What is wrong with the first that is; some may be changed by then.
    pub fn change(&mut self, changes: &[(String, String)]) -> Result<(), String> {
        let by_default = self.min_acks == self.default_min_acks();
        for (key, value) in changes {
            self.set(key, value)?;
        }
        let said = changes.iter().rfind(|(key, _)| key.eq_ignore_ascii_case("min_acks"));
        if said.map_or(by_default, |(_, value)| value.is_empty()) {
            self.min_acks = self.default_min_acks();
        }
        Ok(())
    }

    /// Changes one key. `key` is one of ours, or a PostgreSQL parameter; an empty value takes a parameter, a timeout or
    /// `min_acks` back to its default.
    ///
    /// # Errors
    /// What is wrong with it, with the range or the words that would do.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = |wanted: &str| format!("{key}={value}: {wanted} is wanted");
        let number = || value.parse::<u32>().map_err(|_| wrong("a whole number"));
        // A PostgreSQL parameter is the same in capitals, and so is a key.
        match key.to_ascii_lowercase().as_str() {
            "instances" => self.instances = number()?,
            "acks" => self.acks = number()?,
            "min_acks" if value.is_empty() => self.min_acks = self.default_min_acks(),
            "min_acks" => self.min_acks = number()?,
            "max_data_loss" => {
                self.max_data_loss = bytes(value).ok_or_else(|| wrong("bytes, as 0, 16MB or 1GB,"))?;
            }
            "when_alone" => {
                self.when_alone = match value {
                    "continue" => WhenAlone::Continue,
                    "block" => WhenAlone::Block,
                    _ => return Err(wrong("continue or block")),
                }
            }
            "on_crash" => {
                self.on_crash = match value {
                    "failover" => OnCrash::Failover,
                    "restart" => OnCrash::Restart,
                    _ => return Err(wrong("failover or restart")),
                }
            }
            "suspect_after" => self.timeouts.suspect_after_ms = patience(key, value, SUSPECT_AFTER)?,
            "hung_after" => self.timeouts.hung_after_ms = patience(key, value, HUNG_AFTER)?,
            "leaves_after" => self.timeouts.leaves_after_ms = patience(key, value, LEAVES_AFTER)?,
            "alone_after" => self.timeouts.alone_after_ms = patience(key, value, ALONE_AFTER)?,
            parameter => self.set_parameter(parameter, value)?,
        }
        Ok(())
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if name.len() > 63 || name.split('.').count() > 2 || !name.split('.').all(part) {
            return Err(format!(
                "'{name}' is neither a key of a cluster nor the name of a PostgreSQL parameter"
            ));
        }
        if value.len() > 1_000 || value.contains(['\n', '\r', '\0']) {
            return Err(format!("{name}: a value is one line of at most 1000 characters"));
        }
        match value {
            "" => drop(self.parameters.remove(&name)),
            _ => drop(self.parameters.insert(name, value.to_owned())),
        }
        Ok(())
    }

    /// Whether a new cluster may begin with them: what [`Spec::set`] sees to where a key is set, and nothing that only a
    /// PostgreSQL could judge.
    ///
    /// # Errors
    /// What is wrong, and what would do.
    pub fn check_new(&self) -> Result<(), String> {
        let timeouts = [
            ("suspect_after", self.timeouts.suspect_after_ms, SUSPECT_AFTER),
            ("hung_after", self.timeouts.hung_after_ms, HUNG_AFTER),
            ("leaves_after", self.timeouts.leaves_after_ms, LEAVES_AFTER),
            ("alone_after", self.timeouts.alone_after_ms, ALONE_AFTER),
        ];
        for (key, ms, range) in timeouts {
            if let Some(ms) = ms {
                patience(key, &format!("{ms}ms"), range)?;
            }
        }
        match self.parameters.keys().next() {
            Some(name) => Err(format!(
                "{name}: PostgreSQL judges its parameters, and a new cluster has none yet; set them once it takes writes"
            )),
            None => Ok(()),
        }
    }

    /// Whether the wishes go together, for a cluster that has `members` instances by now.
    ///
    /// # Errors
    /// Which two do not, and what would.
    pub fn check(&self, members: usize) -> Result<(), String> {
        let Spec { instances, acks, min_acks, .. } = self;
        if !(1..=9).contains(instances) {
            return Err(format!("instances = {instances}: a cluster has 1 to 9 instances"));
        }
        if usize::try_from(*instances).is_ok_and(|wanted| wanted < members) {
            return Err(format!(
                "instances = {instances}: there are {members}; remove one with: interrex instance remove CLUSTER INSTANCE"
            ));
        }
        if acks >= instances {
            return Err(format!(
                "acks = {acks}: {instances} instances have {} standbys to acknowledge",
                instances - 1
            ));
        }
        if min_acks > acks {
            return Err(format!("min_acks = {min_acks} exceeds acks = {acks}"));
        }
        if self.parameters.len() > MOST_PARAMETERS {
            return Err(format!("at most {MOST_PARAMETERS} parameters can be set for a cluster"));
        }
        Ok(())
    }

    /// What differs from `before`, as `key=value` in words.
    pub fn changes_since(&self, before: &Spec) -> Vec<String> {
        let mut changes = Vec::new();
        let mut note = |key: &str, was: String, is: String| {
            if was != is {
                changes.push(format!("{key}={is}"));
            }
        };
        let word = |word: &dyn std::fmt::Debug| format!("{word:?}").to_lowercase();
        let ms = |ms: Option<u32>| ms.map_or_else(|| "default".to_owned(), |ms| format!("{ms}ms"));
        note("instances", before.instances.to_string(), self.instances.to_string());
        note("acks", before.acks.to_string(), self.acks.to_string());
        note("min_acks", before.min_acks.to_string(), self.min_acks.to_string());
        note("when_alone", word(&before.when_alone), word(&self.when_alone));
        note("max_data_loss", before.max_data_loss.to_string(), self.max_data_loss.to_string());
        note("on_crash", word(&before.on_crash), word(&self.on_crash));
        let (was, is) = (&before.timeouts, &self.timeouts);
        note("suspect_after", ms(was.suspect_after_ms), ms(is.suspect_after_ms));
        note("hung_after", ms(was.hung_after_ms), ms(is.hung_after_ms));
        note("leaves_after", ms(was.leaves_after_ms), ms(is.leaves_after_ms));
        note("alone_after", ms(was.alone_after_ms), ms(is.alone_after_ms));
        for (name, value) in self.parameters_since(before) {
            changes.push(match value {
                Some(value) => format!("{name}={value}"),
                None => format!("{name} back to its default"),
            });
        }
        changes
    }

    /// True when parameters of `before` are no longer set and nothing else is said of parameters: PostgreSQL takes its own
    /// defaults unasked.
    pub fn takes_parameters_back(&self, before: &Spec) -> bool {
        let differing = self.parameters_since(before);
        !differing.is_empty() && differing.values().all(Option::is_none)
    }

    /// Parameters that differ from `before`; absent: no longer set.
    pub fn parameters_since(&self, before: &Spec) -> BTreeMap<String, Option<String>> {
        let names = before.parameters.keys().chain(self.parameters.keys());
        let differing = names.filter(|name| before.parameters.get(*name) != self.parameters.get(*name));
        differing.map(|name| (name.clone(), self.parameters.get(name).cloned())).collect()
    }
}

/// `16MB`, `1GB`, `4096`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" | "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// `1500ms`, `5s`; empty: the default.
fn patience(key: &str, value: &str, (least, most): (u32, u32)) -> Result<Option<u32>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let (digits, unit) = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1_000),
        (None, None) => (value, 0),
    };
    let ms = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).filter(|_| unit > 0);
    ms.filter(|ms| (least..=most).contains(ms))
        .map(Some)
        .ok_or_else(|| format!("{key}={value}: {least}ms to {}s is wanted, with its unit", most / 1_000))
}

/// A digest of the cluster's parameters, the same on every machine and in every build: by it an agent tells which ones
/// its PostgreSQL has read. FNV-1a over names and values, each ended by a zero byte; nobody chooses them to collide.
pub fn digest(parameters: &BTreeMap<String, String>) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let texts = parameters.iter().flat_map(|(name, value)| [name, value]);
    let bytes = texts.flat_map(|text| text.bytes().chain([0]));
    bytes.fold(BASIS, |so_far, byte| (so_far ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Result<Spec, String> {
        let mut spec = Spec::default();
        for (key, value) in pairs {
            spec.set(key, value)?;
        }
        spec.check(3)?;
        Ok(spec)
    }

    #[test]
    fn every_key_is_read_and_told_back() {
        let spec = set(&[
            ("acks", "2"),
            ("min_acks", "1"),
            ("when_alone", "block"),
            ("max_data_loss", "16MB"),
            ("on_crash", "restart"),
            ("suspect_after", "1500ms"),
            ("alone_after", "30s"),
            ("Work_Mem", "64MB"),
            ("auto_explain.log_min_duration", "1s"),
        ]);
        assert_eq!(
            spec.unwrap().changes_since(&Spec::default()).join(" "),
            "acks=2 min_acks=1 when_alone=block max_data_loss=16777216 on_crash=restart suspect_after=1500ms \
             alone_after=30000ms auto_explain.log_min_duration=1s work_mem=64MB"
        );
    }

    #[test]
    fn an_empty_value_takes_a_parameter_or_a_timeout_back() {
        let mut spec = set(&[("work_mem", "64MB"), ("hung_after", "9s")]).unwrap();
        let before = spec.clone();
        spec.set("work_mem", "").unwrap();
        spec.set("hung_after", "").unwrap();
        assert_eq!(spec, Spec::default());
        assert_eq!(spec.changes_since(&before), ["hung_after=default", "work_mem back to its default"]);
        assert_eq!([spec.takes_parameters_back(&before), before.takes_parameters_back(&spec)], [true, false]);
        assert!(!spec.takes_parameters_back(&Spec::default()), "nothing is taken back");
    }

    #[test]
    fn min_acks_goes_with_what_its_default_depends_on_until_it_is_said() {
        let mut spec = Spec::default();
        let mut change = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            spec.change(&pairs).unwrap();
            spec.clone()
        };
        let created = |acks, when_alone| Spec::of_new(3, Some(acks), None, when_alone);
        assert_eq!(change(&[("when_alone", "block")]), created(1, WhenAlone::Block));
        assert_eq!(change(&[("acks", "2")]), created(2, WhenAlone::Block));
        assert_eq!(change(&[("acks", "1")]).check(3), Ok(()), "it does not stay above acks");
        assert_eq!(change(&[("when_alone", "continue"), ("acks", "2")]), created(2, WhenAlone::Continue));
        // Said, it stays, in whatever order.
        assert_eq!(change(&[("min_acks", "1"), ("when_alone", "block")]).min_acks, 1);
        assert_eq!(change(&[("when_alone", "continue")]).min_acks, 1);
        assert_eq!(change(&[("min_acks", ""), ("when_alone", "block")]), created(2, WhenAlone::Block));
    }

    #[test]
    fn a_new_cluster_has_one_standby_acknowledge_where_it_has_one() {
        let of = |instances, when_alone| {
            let spec = Spec::of_new(instances, None, None, when_alone);
            (spec.acks, spec.min_acks)
        };
        assert_eq!([of(1, WhenAlone::Block), of(3, WhenAlone::Block)], [(0, 0), (1, 1)]);
        assert_eq!(of(3, WhenAlone::Continue), (1, 0));
        assert_eq!(Spec::of_new(3, None, None, WhenAlone::Continue), Spec::default());
        assert_eq!(Spec::of_new(3, Some(2), Some(1), WhenAlone::Block).min_acks, 1);
    }

    #[test]
    fn a_new_cluster_begins_with_nothing_that_could_not_be_set() {
        assert_eq!(Spec::default().check_new(), Ok(()));
        let mut early = Spec::default();
        early.timeouts.alone_after_ms = Some(0);
        assert_eq!(
            early.check_new().unwrap_err(),
            "alone_after=0ms: 2000ms to 600s is wanted, with its unit"
        );
        let mut unjudged = Spec::default();
        unjudged.parameters.insert("shared_buffers".to_owned(), "banana".to_owned());
        assert!(unjudged.check_new().unwrap_err().contains("set them once it takes writes"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_do() {
        for (key, value, why) in [
            ("acks", "x", "acks=x: a whole number is wanted"),
            ("alone_after", "1s", "alone_after=1s: 2000ms to 600s is wanted, with its unit"),
            ("acks", "3", "acks = 3: 3 instances have 2 standbys to acknowledge"),
            ("min_acks", "2", "min_acks = 2 exceeds acks = 1"),
            (
                "instances",
                "2",
                "instances = 2: there are 3; remove one with: interrex instance remove CLUSTER INSTANCE",
            ),
            ("when_alone", "stop", "when_alone=stop: continue or block is wanted"),
            ("hung_after", "9", "hung_after=9: 1000ms to 600s is wanted, with its unit"),
            ("hung_after", "1ms", "hung_after=1ms: 1000ms to 600s is wanted, with its unit"),
            ("max_data_loss", "1TB", "max_data_loss=1TB: bytes, as 0, 16MB or 1GB, is wanted"),
            (
                "work-mem",
                "1",
                "'work-mem' is neither a key of a cluster nor the name of a PostgreSQL parameter",
            ),
            ("work_mem", "1\n2", "work_mem: a value is one line of at most 1000 characters"),
        ] {
            assert_eq!(set(&[(key, value)]).unwrap_err(), why);
        }
    }
}
