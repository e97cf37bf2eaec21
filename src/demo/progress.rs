//! What changed since the last look, a line for each change; and what a cluster still lacks to be whole.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use interrex_api::admin::Coordinator;
use interrex_cluster::status::{ClusterStatus, InstanceStatus};

/// A percentage that runs is told this often at most.
const PAUSE: Duration = Duration::from_millis(500);

/// What was seen, by what it is about.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    seen: BTreeMap<String, String>,
    told: BTreeMap<String, (String, Instant)>,
}

impl Progress {
    pub(crate) fn note_coordinators(&mut self, coordinators: &[Coordinator]) {
        let votes = coordinators.iter().filter(|member| member.voter).count();
        let leader = coordinators.iter().find(|member| member.leader);
        let leads =
            leader.map_or_else(|| "nobody leads".to_owned(), |leader| format!("{} leads", leader.machine));
        self.note("coordinators", format!("{votes} vote, {leads}"));
    }

    pub(crate) fn note_cluster(&mut self, status: &ClusterStatus) {
        self.note("cluster", status.operation.clone());
        for instance in &status.instances {
            self.note(instance.name.as_str(), in_words(instance));
        }
    }

    fn note(&mut self, about: &str, what: String) {
        self.seen.insert(about.to_owned(), what);
    }

    /// Lines for what changed.
    pub(crate) fn news(&mut self) -> Vec<String> {
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

/// An instance in a few words. How long it has been silent is left out: that is no change.
pub(crate) fn in_words(instance: &InstanceStatus) -> String {
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
pub(crate) fn missing(status: &ClusterStatus, wanted: usize) -> Option<String> {
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
pub(crate) fn streams(instance: &InstanceStatus) -> bool {
    instance.role == "standby" && instance.server == "streaming"
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use interrex_cluster::ids::{ClusterId, Epoch, Incarnation, Revision};
    use interrex_cluster::record::Address;
    use interrex_cluster::spec::Spec;

    pub(crate) fn instance(name: &str, role: &str, server: &str) -> InstanceStatus {
        InstanceStatus {
            name: name.parse().unwrap(),
            machine: name.parse().unwrap(),
            zone: String::new(),
            address: Address { host: "127.0.0.1".to_owned(), port: 1 },
            role: role.to_owned(),
            server: server.to_owned(),
            priority: Some(1),
            timeline: None,
            lsn: None,
            lag_bytes: None,
            lag_ms: None,
            in_sync_set: true,
            incarnation: Incarnation(1),
            report_age_ms: Some(1),
            lease_left_ms: None,
            doing: None,
            pending_restart: Vec::new(),
        }
    }

    pub(crate) fn whole() -> ClusterStatus {
        ClusterStatus {
            name: "demo".parse().unwrap(),
            id: ClusterId(1),
            spec: Spec::default(),
            system: None,
            epoch: Epoch(2),
            revision: Revision(1),
            operation: "steady".to_owned(),
            primary: Some("n1".parse().unwrap()),
            open: true,
            rule: String::new(),
            rules: Vec::new(),
            instances: vec![
                instance("n1", "primary", "open"),
                instance("n2", "standby", "streaming"),
                instance("n3", "standby", "streaming"),
            ],
            problems: Vec::new(),
            waits: Vec::new(),
            paused: false,
        }
    }

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
        status.instances[1].doing = Some("cloning 1 %".to_owned());
        progress.note_cluster(&status);
        let news = progress.news();
        assert!(news.contains(&"cluster: steady".to_owned()), "{news:?}");
        assert!(news.contains(&"n2: standby, streaming (cloning 1 %)".to_owned()), "{news:?}");
        assert_eq!(progress.news(), Vec::<String>::new());

        status.instances[1].doing = Some("cloning 2 %".to_owned());
        progress.note_cluster(&status);
        assert_eq!(progress.news(), Vec::<String>::new());

        status.instances[1].doing = None;
        progress.note_cluster(&status);
        assert_eq!(progress.news(), ["n2: standby, streaming"]);
    }

    #[test]
    fn silence_that_goes_on_is_no_news() {
        let words = in_words(&instance("n1", "standby", "silent for 3.2 s"));
        assert_eq!(words, "standby, silent");
    }
}
