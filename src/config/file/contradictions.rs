//! What single keys cannot tell: whether the file agrees with itself.
//!
//! Asked only of a file whose every key is well-formed. Each function is one question; each answer names
//! the key that is more likely wrong, and the one it disagrees with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::section::Sink;
use crate::node::{Coordinator, Node};
use crate::{Address, Instance, Target};

/// Notes every contradiction within `node`.
pub(super) fn find(sink: &Sink<'_>, node: &Node) {
    let file = File { sink, node };
    file.nothing_to_run();
    if let Some(coordinator) = &node.coordinator {
        file.group(coordinator);
    }
    file.agent();
    file.same_name();
    file.same_listener();
    file.wildcard_without_advertise();
    file.nested_directories();
    file.socket_path_too_long();
    file.acks();
    file.plain_text_on_a_network();
    file.names_no_certificate_can_bear();
}

struct File<'a, 't> {
    sink: &'a Sink<'t>,
    node: &'a Node,
}

impl File<'_, '_> {
    /// `id` tells the line (`instance[1].pgdata`); the message names the key without its number.
    fn refuse(&self, id: &str, why: String) {
        let key = match (id.find('['), id.find(']')) {
            (Some(open), Some(close)) => format!("{}{}", &id[..open], &id[close + 1..]),
            _ => id.into(),
        };
        self.sink.refuse(self.sink.line_at(id), &key, why);
    }

    fn nothing_to_run(&self) {
        if self.node.coordinator.is_none() && self.node.instances.is_empty() {
            let why = "nothing to run; write a section [coordinator], or [[instance]] with [agent]";
            self.sink.refuse_line(None, why);
        }
    }

    fn group(&self, coordinator: &Coordinator) {
        let (name, listen, members) = (&self.node.name, coordinator.listen, &coordinator.members);
        if members.is_empty() {
            let why =
                format!("names no machine; write this one and the others, {{ {name} = \"{listen}\", … }}");
            return self.refuse("coordinator.members", why);
        }
        match members.get(name) {
            None => self.refuse(
                "coordinator.members",
                format!("lacks this machine, '{name}'; add {name} = \"{listen}\", or correct 'name'"),
            ),
            Some(own) if !same_place(listen, own) => self.refuse(
                "coordinator.listen",
                format!("\"{listen}\", but members has {name} = \"{own}\"; make both the same"),
            ),
            Some(_) => {}
        }
        if coordinator.join {
            if members.len() == 1 && members.contains_key(name) {
                let why = "names nobody but this machine, and join = true; write the members of the group to be joined, too";
                self.refuse("coordinator.members", why.to_owned());
            }
        } else if !matches!(members.len(), 1 | 3 | 5) {
            let why = format!(
                "{} members; a group has 1, 3 or 5 (an even one bears no more losses than one less); a machine that is to be \
                 added to one writes join = true",
                members.len()
            );
            self.refuse("coordinator.members", why);
        }
        let mut seen = BTreeMap::new();
        for (member, address) in members {
            if let Some(other) = seen.insert(address, member) {
                let why = format!("\"{address}\" is the address of '{other}' too; give each its own");
                self.refuse(&format!("coordinator.members.{member}"), why);
            }
        }
    }

    fn agent(&self) {
        let Some(agent) = &self.node.agent else { return };
        let named_elsewhere = self.node.coordinator.is_some() && !self.sink.was_read("agent.coordinators");
        // Taken from the members, their absence is told there.
        if agent.coordinators.is_empty() && !named_elsewhere {
            let example = "[\"10.0.0.1:7400\", \"10.0.0.2:7400\", \"10.0.0.3:7400\"]";
            let why = format!("no coordinator to report to; write coordinators = {example} in [agent]");
            // Where [agent] is not written, the instance is what asks for coordinators.
            let line = self.sink.line_at(if self.sink.was_read("agent") {
                "agent.coordinators"
            } else {
                "instance"
            });
            self.sink.refuse(line, "agent.coordinators", why);
        }
        if !self.sink.was_read("agent.coordinators") {
            return;
        }
        let mut seen = BTreeMap::new();
        for (index, Target { address, .. }) in agent.coordinators.iter().enumerate() {
            if seen.insert(address, index).is_some() {
                let id = format!("agent.coordinators[{index}]");
                self.refuse(&id, format!("\"{address}\" is listed twice; remove one of the two"));
            }
        }
    }

    /// Each pair of instances, the later one first: it is the one that messages ask to change.
    fn pairs(&self) -> impl Iterator<Item = (usize, &Instance, &Instance)> {
        let all = self.node.instances.iter().enumerate();
        all.flat_map(|(n, later)| self.node.instances[..n].iter().map(move |earlier| (n, later, earlier)))
    }

    fn same_name(&self) {
        for (n, later, earlier) in self.pairs() {
            if (&later.cluster, &later.name) == (&earlier.cluster, &earlier.name) {
                let why = format!(
                    "a second instance '{}' of cluster '{}'; give one of them its own name = \"…\"",
                    later.name, later.cluster
                );
                self.refuse(&format!("instance[{n}].name"), why);
            }
        }
    }

    fn same_listener(&self) {
        let mut listeners: Vec<(String, SocketAddr)> = Vec::new();
        listeners.extend(self.node.http.map(|http| ("http".into(), http)));
        listeners.extend(self.node.coordinator.iter().map(|c| ("coordinator.listen".into(), c.listen)));
        let instances = self.node.instances.iter().enumerate();
        listeners.extend(instances.map(|(n, i)| (format!("instance[{n}].listen"), i.listen)));
        for (n, (id, listen)) in listeners.iter().enumerate() {
            let clash = listeners[..n].iter().find(|(_, other)| collide(*listen, *other));
            if let Some((other_id, other)) = clash {
                let line = self.sink.line_at(other_id);
                let why = format!("\"{listen}\" collides with \"{other}\" of line {line}; take another port");
                self.refuse(id, why);
            }
        }
    }

    fn wildcard_without_advertise(&self) {
        for (n, instance) in self.node.instances.iter().enumerate() {
            if instance.advertise.ip().is_some_and(|ip| ip.is_unspecified()) {
                let why = format!(
                    "missing; listen = \"{}\" cannot be dialled, so write advertise = \"10.0.0.1:{}\"",
                    instance.listen,
                    instance.listen.port()
                );
                self.refuse(&format!("instance[{n}].advertise"), why);
            }
        }
    }

    /// A pgdata below `data_dir` is fine, as long as it keeps out of what the node itself makes there.
    fn nested_directories(&self) {
        let data_dir = &self.node.data_dir;
        for (n, instance) in self.node.instances.iter().enumerate() {
            let (id, pgdata) = (format!("instance[{n}].pgdata"), &instance.pgdata);
            let shown = pgdata.display();
            if data_dir.starts_with(pgdata) {
                let why = format!("\"{shown}\" holds data_dir \"{}\"; keep them apart", data_dir.display());
                self.refuse(&id, why);
            } else if let Some(own) = crate::data_dir::own_rooms(data_dir).find(|own| pgdata.starts_with(own))
            {
                let why =
                    format!("\"{shown}\" lies in the node's own \"{}\"; keep them apart", own.display());
                self.refuse(&id, why);
            }
        }
        for (n, later, earlier) in self.pairs() {
            if later.pgdata.starts_with(&earlier.pgdata) || earlier.pgdata.starts_with(&later.pgdata) {
                let (a, b) = (later.pgdata.display(), earlier.pgdata.display());
                let why = if later.pgdata == earlier.pgdata {
                    format!("\"{a}\" is the directory of another instance; give each its own")
                } else {
                    format!("\"{a}\" and \"{b}\" of another instance lie in each other; keep them apart")
                };
                self.refuse(&format!("instance[{n}].pgdata"), why);
            }
        }
    }

    /// A Unix socket's path has at most 107 bytes; ours and PostgreSQL's lie below `data_dir`.
    fn socket_path_too_long(&self) {
        const MOST: usize = 107;
        let names = self.node.instances.iter().map(|i| i.cluster.as_str().len());
        let Some(longest) = names.max() else { return };
        let below = "/instances/".len() + longest + "/.s.PGSQL.65535".len();
        let length = self.node.data_dir.as_os_str().len();
        if length + below > MOST {
            let why = format!(
                "{length} bytes long, but the sockets below it leave at most {}; take a shorter path",
                MOST - below
            );
            self.refuse("data_dir", why);
        }
    }

    fn acks(&self) {
        for (name, cluster) in &self.node.clusters {
            if cluster.acks.is_some_and(|acks| acks >= cluster.instances) {
                let why = format!(
                    "{} standbys are to acknowledge, but instances = {} leaves {}; lower 'acks', or raise 'instances'",
                    cluster.acks.unwrap_or_default(),
                    cluster.instances,
                    cluster.instances - 1
                );
                self.refuse(&format!("cluster.{name}.acks"), why);
            }
        }
    }

    /// Without TLS, passwords and WAL cross the network readably; that has to be somebody's written will.
    fn plain_text_on_a_network(&self) {
        if self.sink.was_read("tls") {
            return;
        }
        if let Some((id, address)) = self.addresses().iter().find(|(_, address)| !address.is_loopback()) {
            let why = format!(
                "\"{address}\" is not on loopback, where passwords need TLS; write a section [tls] (docs/tls.md), or \
                 tls = \"off\" at the top of the file if you trust this network"
            );
            self.refuse(id, why);
        }
    }

    /// A certificate bears a machine's name as a DNS name, which is a little stricter than ours.
    fn names_no_certificate_can_bear(&self) {
        if self.node.tls.is_none() {
            return;
        }
        let own = ("name".to_owned(), &self.node.name);
        let members = self.node.coordinator.iter().flat_map(|c| c.members.keys());
        let members = members.map(|name| (format!("coordinator.members.{name}"), name));
        let agent = self.node.agent.iter().flat_map(|agent| &agent.coordinators).enumerate();
        let named =
            agent.filter_map(|(n, to)| Some((format!("agent.coordinators[{n}]"), to.machine.as_ref()?)));
        let mut told = BTreeSet::new();
        for (id, name) in std::iter::once(own).chain(members).chain(named) {
            let text = name.as_str();
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            if (digits || text.ends_with('-')) && told.insert(name) {
                let why = format!(
                    "\"{name}\" is no DNS name, so no certificate can bear it; with [tls], take a name with a letter in \
                     it that does not end in '-'"
                );
                self.refuse(&id, why);
            }
        }
    }

    /// Every address of the file, with the id of its key.
    fn addresses(&self) -> Vec<(String, Address)> {
        let node = self.node;
        let mut all: Vec<(String, Address)> = Vec::new();
        all.extend(node.http.map(|http| ("http".into(), http.into())));
        if let Some(coordinator) = &node.coordinator {
            all.push(("coordinator.listen".into(), coordinator.listen.into()));
            let members = coordinator.members.iter();
            all.extend(
                members.map(|(name, address)| (format!("coordinator.members.{name}"), address.clone())),
            );
        }
        let reported_to = node.agent.iter().flat_map(|agent| &agent.coordinators).enumerate();
        all.extend(reported_to.map(|(n, to)| (format!("agent.coordinators[{n}]"), to.address.clone())));
        for (n, instance) in node.instances.iter().enumerate() {
            all.push((format!("instance[{n}].listen"), instance.listen.into()));
            all.push((format!("instance[{n}].advertise"), instance.advertise.clone()));
        }
        all
    }
}

/// Whether `own`, as others dial it, may be what `listen` serves. A name is not resolved: its port decides.
fn same_place(listen: SocketAddr, own: &Address) -> bool {
    let host = listen.ip().is_unspecified() || own.ip().is_none_or(|ip| ip == listen.ip());
    host && own.port() == listen.port()
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
