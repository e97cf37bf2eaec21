//! What changed since the last look, a line for each change; and what a cluster still lacks to be whole.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use interrex_api::admin::Coordinator;
use interrex_cluster::status::{ClusterStatus, InstanceStatus};

/// A percentage that runs is told this often at most.
const PAUSE: Duration = Duration::from_millis(500);

/// What was seen, by what it is about.
#[derive(Debug, Default)]
pub struct Progress {
    seen: BTreeMap<String, String>,
    told: BTreeMap<String, (String, Instant)>,
}

impl Progress {
    /// Who leads them.
    pub fn note_coordinators(&mut self, coordinators: &[Coordinator]) {
        let leader = coordinators.iter().find(|member| member.leader);
        let leads =
            leader.map_or_else(|| "none leads yet".to_owned(), |leader| format!("{} leads", leader.machine));
        self.note("coordinators", leads);
    }

    /// What is under way, and how each instance is.
    pub fn note_cluster(&mut self, status: &ClusterStatus) {
        let operation = if status.operation == "steady" { "nothing is under way" } else { &status.operation };
        self.note("cluster", operation.to_owned());
        for instance in &status.instances {
            self.note(instance.name.as_str(), at_a_glance(instance));
        }
    }

    fn note(&mut self, about: &str, what: String) {
        self.seen.insert(about.to_owned(), what);
    }

    /// Lines for what changed.
    pub fn news(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut lines = Vec::new();
        for (about, what) in &self.seen {
            let fresh = match self.told.get(about) {
                Some((told, at)) => {
                    told != what && (without_digits(told) != without_digits(what) || now - *at >= PAUSE)
                }
                None => true,
            };
            if fresh {
                lines.push(format!("{about}: {what}"));
                self.told.insert(about.clone(), (what.clone(), now));
            }
        }
        lines
    }
}

/// An instance for somebody who watches a cluster come up: what it is, and how far a copy has come. The agents' own
/// steps, which follow one another in fractions of a second, are left to `show`.
fn at_a_glance(instance: &InstanceStatus) -> String {
    let copied = instance.doing.as_ref().filter(|doing| doing.ends_with('%'));
    match (instance.role.as_str(), instance.server.as_str()) {
        ("primary", "open") => "primary, takes writes".to_owned(),
        ("primary", _) => "primary, not open yet".to_owned(),
        ("standby", "streaming") => "standby, streams".to_owned(),
        ("standby", _) => "standby, does not stream".to_owned(),
        ("joining", "catching up") => "catches up".to_owned(),
        ("joining", "cloning") => copied.cloned().unwrap_or_else(|| "is being cloned".to_owned()),
        ("joining", _) => "has no copy yet".to_owned(),
        _ => in_words(instance),
    }
}

/// An instance in a few words. How long it has been silent is left out: that is no change.
pub fn in_words(instance: &InstanceStatus) -> String {
    let server = instance.server.split(" for ").next().unwrap_or_default();
    let mut words = format!("{}, {server}", instance.role);
    if let Some(doing) = &instance.doing {
        words.push_str(&format!(" ({doing})"));
    }
    words
}

fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// What it still lacks, in words; `None` when it is whole: `wanted` instances, clients let in, every standby
/// streaming, and nothing wrong.
pub fn missing(status: &ClusterStatus, wanted: usize) -> Option<String> {
    let registered = status.instances.len();
    if registered < wanted {
        return Some(format!("{registered} of {wanted} instances registered"));
    }
    if !status.open || status.operation != "steady" {
        return Some(status.operation.clone());
    }
    let others = status.instances.iter().filter(|instance| status.primary.as_ref() != Some(&instance.name));
    let away = others.into_iter().find(|instance| !streams(instance));
    if let Some(away) = away {
        return Some(format!("{}: {}", away.name, in_words(away)));
    }
    status.problems.first().map(|problem| problem.sentence.clone())
}

/// A standby with a whole copy that receives WAL.
pub fn streams(instance: &InstanceStatus) -> bool {
    instance.role == "standby" && instance.server == "streaming"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole_cluster::{instance, whole};

    #[test]
    fn a_whole_cluster_lacks_nothing() {
        assert_eq!(missing(&whole(), 3), None);
    }

    #[test]
    fn what_is_lacking_is_named() {
        let mut status = whole();
        status.instances.pop();
        assert_eq!(missing(&status, 3).unwrap(), "2 of 3 instances registered");

        let status = ClusterStatus { open: false, operation: "opening n1".to_owned(), ..whole() };
        assert_eq!(missing(&status, 3).unwrap(), "opening n1");

        let mut status = whole();
        status.instances[2] = instance("n3", "joining", "cloning");
        assert_eq!(missing(&status, 3).unwrap(), "n3: joining, cloning");
    }

    #[test]
    fn only_changes_are_told_and_running_numbers_seldom() {
        let mut progress = Progress::default();
        let mut status = whole();
        status.instances[1] = instance("n2", "joining", "cloning");
        status.instances[1].doing = Some("cloning from n1, 1 %".to_owned());
        progress.note_cluster(&status);
        let news = progress.news();
        assert!(news.contains(&"cluster: nothing is under way".to_owned()), "{news:?}");
        assert!(news.contains(&"n1: primary, takes writes".to_owned()), "{news:?}");
        assert!(news.contains(&"n2: cloning from n1, 1 %".to_owned()), "{news:?}");
        assert_eq!(progress.news(), Vec::<String>::new());

        status.instances[1].doing = Some("cloning from n1, 2 %".to_owned());
        progress.note_cluster(&status);
        assert_eq!(progress.news(), Vec::<String>::new());

        status.instances[1] = instance("n2", "standby", "streaming");
        progress.note_cluster(&status);
        assert_eq!(progress.news(), ["n2: standby, streams"]);
        status.instances[1].doing = Some("read the end of WAL".to_owned());
        progress.note_cluster(&status);
        assert_eq!(progress.news(), Vec::<String>::new(), "an agent's steps are its own");
    }

    #[test]
    fn silence_that_goes_on_is_no_news() {
        let words = in_words(&instance("n1", "standby", "silent for 3.2 s"));
        assert_eq!(words, "standby, silent");
    }
}
