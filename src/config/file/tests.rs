//! Scenes: a file that is right, one change, and the exact line that answers it.

use super::parse;
use crate::node::{Login, Node, Priority, WhenAlone};

/// Right in every key. Each scene replaces one passage of it.
const BASE: &str = r#"name = "n1"
zone = "az-1"
data_dir = "/var/lib/interrex"
http = "127.0.0.1:8008"
log_format = "json"

[coordinator]
listen = "127.0.0.1:7400"
members = { n1 = "127.0.0.1:7400", n2 = "127.0.0.1:7401", n3 = "127.0.0.1:7402" }

[agent]
coordinators = ["127.0.0.1:7400", "127.0.0.1:7401", "127.0.0.1:7402"]

[[instance]]
cluster = "orders"
listen = "127.0.0.1:5432"
pgdata = "/var/lib/postgresql/orders"
priority = 3

[cluster.orders]
instances = 3
acks = 1
when_alone = "block"
"#;

fn refusal(text: &str) -> String {
    parse("node.toml", text).expect_err("a refused file").to_string()
}

/// Plays the scenes of `scenes.txt`, whose head tells how they are written; tells of all that differ.
#[test]
fn every_scene_is_answered_word_for_word() {
    let mut differing = String::new();
    let mut played = 0;
    for scene in include_str!("scenes.txt").split("\n# ").skip(1) {
        let (sentence, rest) = scene.split_once('\n').unwrap();
        let told = |mark: &str| {
            rest.lines()
                .filter_map(|l| l.strip_prefix(mark))
                .map(str::trim_start)
                .collect::<Vec<_>>()
                .join("\n")
        };
        let unescaped = |text: String| text.replace("\\n", "\n").replace("\\\n", "\\n");
        let (passage, replacement) = (unescaped(told("-")), unescaped(told("+")));
        assert_eq!(BASE.matches(&passage).count(), 1, "{sentence}: '{passage}' must be one passage of BASE");
        let got = parse("node.toml", &BASE.replace(&passage, &replacement));
        let got = got.map_or_else(|e| e.to_string(), |_| "accepted".into());
        if got != told("=") {
            differing += &format!("\n# {sentence}\n= {}\n", got.replace('\n', "\n= "));
        }
        played += 1;
    }
    assert!(differing.is_empty(), "these scenes are answered otherwise now:\n{differing}");
    assert!(played > 50, "scenes.txt was read only in part: {played} scenes");
}

#[test]
fn a_file_that_is_right_says_what_it_says() {
    let node: Node = parse("node.toml", BASE).unwrap();
    assert_eq!(node.name.as_str(), "n1");
    assert_eq!(node.coordinator.as_ref().unwrap().members.len(), 3);
    assert_eq!(node.instances[0].name.as_str(), "n1");
    assert_eq!(node.instances[0].advertise.to_string(), "127.0.0.1:5432");
    assert_eq!(node.instances[0].priority, Priority::Tier(3));
    let orders = node.clusters.values().next().unwrap();
    assert_eq!((orders.instances, orders.acks), (3, Some(1)));
    assert_eq!(orders.when_alone, Some(WhenAlone::Block));
}

#[test]
fn an_agent_without_a_section_reports_to_the_members() {
    let passage = &BASE[BASE.find("[agent]").unwrap()..BASE.find("[[instance]]").unwrap()];
    let node = parse("node.toml", &BASE.replace(passage, "")).unwrap();
    let coordinators = node.agent.unwrap().coordinators;
    assert_eq!(
        coordinators.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        "n1=127.0.0.1:7400 n2=127.0.0.1:7401 n3=127.0.0.1:7402"
    );
}

#[test]
fn the_example_of_the_design_is_accepted_but_for_its_endpoint() {
    let text = r#"name = "n1"
zone = "az-1"
data_dir = "/var/lib/interrex"
http = "10.0.0.1:8008"
tls = "off"
[coordinator]
listen = "10.0.0.1:7400"
members = { n1 = "10.0.0.1:7400", n2 = "10.0.0.2:7400", n3 = "10.0.0.3:7400" }
[agent]
coordinators = ["10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.3:7400"]
[[instance]]
cluster = "orders"
listen = "10.0.0.1:5432"
pgdata = "/var/lib/interrex/orders"
bin_dir = "/usr/lib/postgresql/15/bin"
run_as = "postgres"
priority = 1
"#;
    assert!(parse("node.toml", text).is_ok());
    let endpoint = "[endpoint]\ncoordinators = [\"10.0.0.1:7400\"]\n[[endpoint.listen]]\ncluster = \"orders\"\n\
                    writer = \"10.0.0.1:6432\"\nreader = \"10.0.0.1:6433\"\n";
    assert_eq!(
        refusal(&format!("{text}{endpoint}")),
        "node.toml:18: key 'endpoint': endpoints are not in this version; remove [endpoint], and let clients name \
         all instances with target_session_attrs=read-write"
    );
}

#[test]
fn every_key_of_the_schema_can_be_written() {
    let instance = "advertise = \"localhost:5432\"\nname = \"first\"\nbin_dir = \"/opt/pg/bin\"\nrun_as = \"pg\"\n\
                    archive_command = \"cp %p /a/%f\"\nrestore_command = \"cp /a/%f %p\"\npriority = \"never\"\n";
    let login = "acks = 1\nuser = \"app\"\npassword_file = \"/etc/interrex/app\"\n";
    let text = BASE.replace("priority = 3\n", instance).replace("acks = 1\n", login);
    let node = parse("node.toml", &format!("tls = \"off\"\n{text}")).unwrap();
    assert_eq!(node.instances[0].priority, Priority::Never);
    assert_eq!(node.instances[0].restore_command.as_deref(), Some("cp /a/%f %p"));
    let login = Login { user: "app".into(), password_file: "/etc/interrex/app".into() };
    assert_eq!(node.clusters.values().next().unwrap().login, Some(login));
}

#[test]
fn text_that_is_no_node_file_is_refused() {
    assert_eq!(
        refusal("name = \"n1\"\nzone\n"),
        "node.toml:2: not TOML: key with no value, expected `=`; correct this line"
    );
    assert_eq!(
        refusal(""),
        "node.toml:1: key 'name': missing; write name = \"n1\"\n\
         node.toml:1: key 'data_dir': missing; write data_dir = \"/var/lib/interrex\""
    );
}

#[test]
fn an_instance_without_any_coordinators_is_refused() {
    let text = "name = \"n1\"\ndata_dir = \"/d\"\n[[instance]]\ncluster = \"c\"\nlisten = \"127.0.0.1:1\"\npgdata = \"/p\"\n";
    assert_eq!(
        refusal(text),
        "node.toml:3: key 'agent.coordinators': no coordinator to report to; write coordinators = \
         [\"10.0.0.1:7400\", \"10.0.0.2:7400\", \"10.0.0.3:7400\"] in [agent]"
    );
}

#[test]
fn a_file_with_nothing_to_run_is_refused() {
    assert_eq!(
        refusal("name = \"n1\"\ndata_dir = \"/d\"\n"),
        "node.toml: nothing to run; write a section [coordinator], or [[instance]] with [agent]"
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = BASE.replace("\"127.0.0.1:8008\"", "true").replace("priority = 3", "prio = 3");
    assert_eq!(
        refusal(&text),
        "node.toml:4: key 'http': expected a string such as \"10.0.0.1:8008\", got boolean true\n\
         node.toml:18: key 'instance.prio': unknown key; remove it; known in [[instance]]: cluster, name, listen, \
         advertise, pgdata, bin_dir, run_as, priority, archive_command, restore_command"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let refusal = super::load(std::path::Path::new("/nowhere/node.toml")).unwrap_err();
    assert_eq!(refusal.exit_code(), 2);
    assert_eq!(
        refusal.to_string(),
        "/nowhere/node.toml: cannot be read: No such file or directory (os error 2); name a readable node file \
         (TOML) with -c FILE"
    );
}
