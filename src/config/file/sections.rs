//! Each section of the file into its type: every key known, present where it must be, well-formed.
//!
//! One function a section. `None` means that a problem was noted; `contradictions` is asked only when
//! none was.

use std::collections::BTreeMap;
use std::str::FromStr;

use interrex_cluster::role;
use interrex_tls::Files;

use super::section::{Field, Section};
use crate::address::{self, Address};
use crate::node::{Agent, Cluster, Coordinator, Instance, LogFormat, Login, Node, Priority, WhenAlone};
use crate::target::Target;
use crate::{ClusterName, InstanceName, MachineName};

/// Names have one form everywhere; the message shows the value itself.
fn named<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "not a name: 1 to 24 of a-z, 0-9 and '-', the first no '-'")
}

const ADDRESS: &str = "\"10.0.0.1:7400\"";
const NAME: &str = "\"n1\"";

/// The whole file. `file` is left empty: the caller knows its name.
pub(super) fn node(root: &Section<'_, '_>) -> Option<Node> {
    let tls = tls(root);
    endpoint(root);
    let name = root.need("name", NAME).and_then(|f| f.parsed(NAME, named::<MachineName>));
    let data_dir =
        root.need("data_dir", "\"/var/lib/interrex\"").and_then(|f| f.path("\"/var/lib/interrex\""));
    let zone = root.get("zone").and_then(|f| f.parsed("\"az-1\"", zone));
    let http = root.get("http").and_then(|f| f.parsed("\"10.0.0.1:8008\"", address::listen));
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log_format = root.get("log_format").and_then(|f| f.one_of(&formats)).unwrap_or_default();
    let coordinator =
        root.get("coordinator").and_then(|f| f.section("coordinator")).and_then(|s| coordinator(&s));
    let instances = instances(root, name.as_ref());
    let agent = agent(root, coordinator.as_ref(), !instances.is_empty());
    let clusters = clusters(root);
    let (name, data_dir) = (name?, data_dir?);
    let file = std::path::PathBuf::new();
    Some(Node { file, name, zone, data_dir, http, log_format, tls, coordinator, agent, instances, clusters })
}

fn zone(text: &str) -> Result<String, &'static str> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(text.into()) } else { Err("not 1 to 64 printable letters without spaces") }
}

fn coordinator(section: &Section<'_, '_>) -> Option<Coordinator> {
    let listen = section.need("listen", ADDRESS).and_then(|f| f.parsed(ADDRESS, address::listen));
    let example = "{ n1 = \"10.0.0.1:7400\" }";
    let entries =
        section.need("members", example).and_then(|f| f.entries(&format!("a table such as {example}")));
    let mut members = BTreeMap::new();
    for (name, field) in entries? {
        match named::<MachineName>(name) {
            Ok(machine) => {
                members
                    .extend(field.parsed(ADDRESS, str::parse::<Address>).map(|address| (machine, address)));
            }
            Err(why) => field.refuse(why),
        }
    }
    let join = section.get("join").map_or(Some(false), |f| f.boolean("true or false"));
    let yields = section.get("yield_to_primary").map_or(Some(true), |f| f.boolean("true or false"));
    let token = "\"/etc/interrex/admin.token\"";
    let admin_token_file = section.get("admin_token_file").and_then(|f| f.path(token));
    Some(Coordinator { listen: listen?, members, join: join?, yield_to_primary: yields?, admin_token_file })
}

/// The agent's coordinators are those of `[agent]`, else the members of the group that this machine is in.
fn agent(root: &Section<'_, '_>, coordinator: Option<&Coordinator>, needed: bool) -> Option<Agent> {
    let section = root.get("agent").and_then(|f| f.section("agent"));
    let named = |(machine, address): (&MachineName, &Address)| Target {
        machine: Some(machine.clone()),
        address: address.clone(),
    };
    let members = || coordinator.map(|c| c.members.iter().map(named).collect());
    let written = section.as_ref().and_then(|s| s.get("coordinators")).map(|f| targets(&f));
    let (coordinators, key) = match written {
        Some(addresses) => (addresses?, "agent.coordinators"),
        None => (members().unwrap_or_default(), "coordinator.members"),
    };
    (section.is_some() || needed).then_some(Agent { coordinators, key })
}

fn targets(field: &Field<'_, '_>) -> Option<Vec<Target>> {
    let elements = field.elements("an array such as [\"10.0.0.1:7400\", \"10.0.0.2:7400\"]")?;
    elements.iter().map(|e| e.parsed(ADDRESS, str::parse::<Target>)).collect()
}

fn instances(root: &Section<'_, '_>, machine: Option<&MachineName>) -> Vec<Instance> {
    let Some(field) = root.get("instance") else { return Vec::new() };
    let elements = field.elements("one section [[instance]] for each instance, with double brackets");
    let sections = elements.unwrap_or_default();
    sections.iter().filter_map(|e| e.section("instance")).filter_map(|s| instance(&s, machine)).collect()
}

fn instance(section: &Section<'_, '_>, machine: Option<&MachineName>) -> Option<Instance> {
    const LISTEN: &str = "\"10.0.0.1:5432\"";
    const PGDATA: &str = "\"/var/lib/postgresql/orders\"";
    const BIN: &str = "\"/usr/lib/postgresql/15/bin\"";
    let cluster =
        section.need("cluster", "\"orders\"").and_then(|f| f.parsed("\"orders\"", named::<ClusterName>));
    let name = match section.get("name") {
        Some(field) => field.parsed(NAME, named::<InstanceName>),
        None => machine.and_then(|m| m.as_str().parse().ok()),
    };
    let listen = section.need("listen", LISTEN).and_then(|f| f.parsed(LISTEN, address::listen));
    let advertise = section.get("advertise");
    let advertise =
        advertise.map(|f| f.parsed(LISTEN, str::parse::<Address>)).unwrap_or(listen.map(Into::into));
    let pgdata = section.need("pgdata", PGDATA).and_then(|f| f.path(PGDATA));
    let text = |key| section.get(key).and_then(|f| f.parsed("\"cp %p /archive/%f\"", one_line));
    Some(Instance {
        bin_dir: section.get("bin_dir").and_then(|f| f.path(BIN)),
        run_as: section.get("run_as").and_then(|f| f.parsed("\"postgres\"", run_as)),
        priority: section.get("priority").and_then(|f| priority(&f)).unwrap_or_default(),
        archive_command: text("archive_command"),
        restore_command: text("restore_command"),
        cluster: cluster?,
        name: name?,
        listen: listen?,
        advertise: advertise?,
        pgdata: pgdata?,
    })
}

fn priority(field: &Field<'_, '_>) -> Option<Priority> {
    if field.text() == Some("never") {
        return Some(Priority::Never);
    }
    field.integer(0..=15, "\"never\" or a tier").map(Priority::Tier)
}

fn run_as(text: &str) -> Result<String, &'static str> {
    match text {
        "root" => Err("PostgreSQL refuses to run as root"),
        "" => Err("empty"),
        _ => Ok(text.into()),
    }
}

/// A command ends up in a line of PostgreSQL's configuration, which a line break would tear apart.
fn one_line(text: &str) -> Result<String, &'static str> {
    if text.chars().any(char::is_control) { Err("holds a control character") } else { Ok(text.into()) }
}

fn clusters(root: &Section<'_, '_>) -> BTreeMap<ClusterName, Cluster> {
    let mut clusters = BTreeMap::new();
    let entries = root.get("cluster").and_then(|f| f.entries("a section [cluster.NAME]"));
    for (name, field) in entries.unwrap_or_default() {
        match named::<ClusterName>(name) {
            Ok(name) => {
                let cluster = field.section("cluster.NAME").and_then(|s| cluster(&s));
                clusters.extend(cluster.map(|c| (name, c)));
            }
            Err(why) => field.refuse(why),
        }
    }
    clusters
}

fn cluster(section: &Section<'_, '_>) -> Option<Cluster> {
    let words = [("continue", WhenAlone::Continue), ("block", WhenAlone::Block)];
    let user = section
        .get("user")
        .and_then(|f| f.parsed("\"app\"", |text| role::check(text).map(|()| text.to_owned())));
    let password_file = section.get("password_file").and_then(|f| f.path("\"/etc/interrex/app.password\""));
    if user.is_some() && section.get("password_file").is_none() {
        section.need("password_file", "\"/etc/interrex/app.password\"");
    }
    if password_file.is_some() && section.get("user").is_none() {
        section.need("user", "\"app\"");
    }
    let acks = section.get("acks").and_then(|f| f.integer(0..=8, "a number of standbys"));
    let when_alone = section.get("when_alone").and_then(|f| f.one_of(&words));
    let instances = section.need("instances", "3").and_then(|f| f.integer(1..=9, "a number of instances"))?;
    let login = user.zip(password_file).map(|(user, password_file)| Login { user, password_file });
    Some(Cluster { instances, acks, when_alone, login })
}

/// A section `[tls]`, or `tls = "off"`: somebody's written will that everything goes in plain text.
fn tls(root: &Section<'_, '_>) -> Option<Files> {
    let field = root.get("tls")?;
    if field.text().is_some() {
        field.one_of(&[("off", ())]);
        return None;
    }
    let section = field.section("tls")?;
    let [ca, cert, key] = ["ca", "cert", "key"].map(|key| {
        let example = format!("\"/etc/interrex/{key}.pem\"");
        section.need(key, &example).and_then(|f| f.path(&example))
    });
    Some(Files { ca: ca?, own: Some((cert?, key?)) })
}

/// Read and judged like everything else, then refused: this version cannot serve it.
fn endpoint(root: &Section<'_, '_>) {
    let Some(field) = root.get("endpoint") else { return };
    let Some(section) = field.section("endpoint") else { return };
    section.get("coordinators").and_then(|f| targets(&f));
    let listeners =
        section.get("listen").and_then(|f| f.elements("one section [[endpoint.listen]] a cluster"));
    for listener in listeners.unwrap_or_default() {
        let Some(listener) = listener.section("endpoint.listen") else { continue };
        listener.need("cluster", "\"orders\"").and_then(|f| f.parsed("\"orders\"", named::<ClusterName>));
        for key in ["writer", "reader"] {
            listener.get(key).and_then(|f| f.parsed("\"10.0.0.1:6432\"", address::listen));
        }
    }
    field.refuse(
        "endpoints are not in this version; remove [endpoint], and let clients name all instances with \
         target_session_attrs=read-write",
    );
}
