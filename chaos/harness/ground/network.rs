//! A network of its own for each machine, joined by a bridge in yet another one. What a fault does to packets is done at
//! that bridge: the machines see silence, as behind a switch that fails, or the resets that a firewall sends, and never an
//! error of their own kernel.
//!
//! Nothing here is in the host's own network: every namespace, and whatever is in it, bears the run's name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Context;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::tools::{run, run_with};

const NAMESPACES: &str = "/run/netns";
/// The namespace of the bridge.
const SWITCH: &str = "switch";
/// The table in it that takes packets away. A bridge has no resets, what stands before its ports has.
const TABLE: [&str; 2] = ["bridge", "chaos"];
/// The table before its ports that answers packets with resets.
const RESETS: [&str; 2] = ["netdev", "chaos"];

/// Packets that are taken away between two machines, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Who sends them.
    pub(crate) from: Ipv4Addr,
    /// Whom they never reach.
    pub(crate) to: Ipv4Addr,
    /// Only those of connections with this port at either end.
    pub(crate) port: Option<u16>,
    /// How many of a hundred; the kernel draws which.
    pub(crate) percent: u8,
}

/// The networks of a run.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    run: String,
}

impl Network {
    /// Makes the bridge.
    pub(crate) fn make(run: &str) -> anyhow::Result<Network> {
        let network = Network { run: run.to_owned() };
        let switch = network.namespace(SWITCH);
        ip(&["netns", "add", &switch])?;
        // Without a delay a new port forwards at once.
        ip(&["-n", &switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0"])?;
        ip(&["-n", &switch, "link", "set", "bridge", "up"])?;
        Ok(network)
    }

    /// Makes a machine's, and plugs it in.
    pub(crate) fn add(&self, machine: &str, address: Ipv4Addr) -> anyhow::Result<()> {
        let (switch, own) = (self.namespace(SWITCH), self.namespace(machine));
        ip(&["netns", "add", &own])?;
        ip(&["-n", &switch, "link", "add", machine, "type", "veth", "peer", "name", "eth0", "netns", &own])?;
        ip(&["-n", &switch, "link", "set", machine, "master", "bridge", "up"])?;
        ip(&["-n", &own, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", &own, "link", "set", "eth0", "up"])?;
        ip(&["-n", &own, "link", "set", "lo", "up"])
    }

    /// The file by which a machine's namespace is entered.
    pub(crate) fn entrance(&self, machine: &str) -> PathBuf {
        PathBuf::from(NAMESPACES).join(self.namespace(machine))
    }

    /// Pulls a machine's cable out of the bridge, or plugs it in again.
    pub(crate) fn set_link(&self, machine: &str, up: bool) -> anyhow::Result<()> {
        ip(&["-n", &self.namespace(SWITCH), "link", "set", machine, if up { "up" } else { "down" }])
    }

    /// The kernel says that the cable is in.
    pub(crate) fn link_is_up(&self, machine: &str) -> anyhow::Result<bool> {
        let told = run("ip", &["-n", &self.namespace(SWITCH), "-j", "link", "show", "dev", machine])?;
        let links: Value = serde_json::from_str(&told).context("read what ip says of a link")?;
        let flags = links[0]["flags"].as_array().context("ip tells no flags of a link")?;
        Ok(flags.iter().any(|flag| flag == "UP"))
    }

    /// The calling thread is in that machine's network from here on, with all that it starts. It cannot come back.
    pub(crate) fn enter(&self, machine: &str) -> anyhow::Result<()> {
        let entrance = self.entrance(machine);
        let network = File::open(&entrance).with_context(|| format!("open {}", entrance.display()))?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("enter {}", entrance.display()))
    }

    /// Takes these packets away from here on, also those of connections that exist.
    pub(crate) fn cut(&self, cuts: &[Cut]) -> anyhow::Result<()> {
        self.nft(&["-f", "-"], &ruleset(cuts)).map(drop)
    }

    /// Answers these packets with a reset from here on, as if it came from whom they were for, who hears nothing. Those of
    /// TCP, that is; `machines` are all that send them.
    pub(crate) fn reset(&self, machines: &[String], cuts: &[Cut]) -> anyhow::Result<()> {
        self.nft(&["-f", "-"], &resets(machines, cuts)).map(drop)
    }

    /// How many packets each of `cuts` took away so far; these are those that were handed to [`Network::cut`].
    pub(crate) fn taken(&self, cuts: &[Cut]) -> anyhow::Result<Vec<u64>> {
        self.counted(TABLE, cuts)
    }

    /// How many packets of each of `cuts` were answered with a reset so far; these are those that were handed to
    /// [`Network::reset`].
    pub(crate) fn answered(&self, cuts: &[Cut]) -> anyhow::Result<Vec<u64>> {
        self.counted(RESETS, cuts)
    }

    fn counted(&self, [family, table]: [&str; 2], cuts: &[Cut]) -> anyhow::Result<Vec<u64>> {
        let told = self.nft(&["-j", "list", "table", family, table], "")?;
        let mut counters = counters(&told)?.into_iter();
        // A port has a rule for either end of a connection.
        Ok(cuts
            .iter()
            .map(|cut| counters.by_ref().take(if cut.port.is_some() { 2 } else { 1 }).sum())
            .collect())
    }

    /// Lets all packets pass again that [`Network::cut`] takes away.
    pub(crate) fn mend(&self) -> anyhow::Result<()> {
        let [family, table] = TABLE;
        self.nft(&["delete", "table", family, table], "").map(drop)
    }

    /// Answers nothing more in anybody's name.
    pub(crate) fn calm(&self) -> anyhow::Result<()> {
        let [family, table] = RESETS;
        self.nft(&["delete", "table", family, table], "").map(drop)
    }

    fn nft(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        let net = format!("--net={}", self.entrance(SWITCH).display());
        let words: Vec<&str> = [net.as_str(), "--", "nft"].into_iter().chain(args.iter().copied()).collect();
        run_with("nsenter", &words, input)
    }

    fn namespace(&self, of: &str) -> String {
        format!("{}-{of}", self.run)
    }
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    run("ip", args).map(drop)
}

fn ruleset(cuts: &[Cut]) -> String {
    let [family, table] = TABLE;
    let hook = "type filter hook forward priority 0; policy accept;";
    chain(family, table, hook, &rules(cuts, "drop"))
}

fn resets(machines: &[String], cuts: &[Cut]) -> String {
    let [family, table] = RESETS;
    // A machine's port bears its name.
    let ports = machines.iter().map(String::as_str).collect::<BTreeSet<_>>();
    let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
    let hook = format!("type filter hook ingress devices = {{ {ports} }} priority 0; policy accept;");
    chain(family, table, &hook, &rules(cuts, "reject with tcp reset"))
}

fn chain(family: &str, table: &str, hook: &str, rules: &str) -> String {
    format!("table {family} {table} {{\n  chain cut {{\n    {hook}\n{rules}  }}\n}}\n")
}

/// A line for each cut, or two: a port is meant at either end of a connection.
fn rules(cuts: &[Cut], verdict: &str) -> String {
    let mut rules = String::new();
    for Cut { from, to, port, percent } in cuts {
        let between = format!("ip saddr {from} ip daddr {to}");
        let drawn =
            if *percent < 100 { format!("numgen random mod 100 < {percent} ") } else { String::new() };
        let ends = match port {
            None if verdict == "drop" => vec![String::new()],
            None => vec!["ip protocol tcp ".to_owned()],
            Some(port) => vec![format!("tcp dport {port} "), format!("tcp sport {port} ")],
        };
        for end in ends {
            rules += &format!("    {between} {end}{drawn}counter {verdict}\n");
        }
    }
    rules
}

/// The counter of each rule, in the order of the rules.
fn counters(told: &str) -> anyhow::Result<Vec<u64>> {
    let told: Value = serde_json::from_str(told).context("read what nft says of its rules")?;
    let items = told["nftables"].as_array().context("nft tells no rules")?;
    let of_rule = |rule: &Value| {
        let parts = rule["expr"].as_array()?;
        parts.iter().find_map(|part| part["counter"]["packets"].as_u64())
    };
    let rules = items.iter().filter_map(|item| item.get("rule"));
    rules.map(|rule| of_rule(rule).context("a rule of nft has no counter")).collect()
}

/// Removes what a run has left; a line for each namespace that resists. With a namespace goes all that is in it.
pub(crate) fn remove(run: &str) -> Vec<String> {
    let prefix = format!("{run}-");
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let ours = names.filter(|name| name.starts_with(&prefix));
    ours.filter_map(|name| ip(&["netns", "delete", &name]).err()).map(|error| error.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    #[test]
    fn a_cut_is_one_direction_and_a_port_is_meant_at_either_end() {
        let cut = |from, to, port| Cut { from, to, port, percent: 100 };
        let text = ruleset(&[cut(A, B, None), cut(B, A, Some(5432))]);
        let rules: Vec<&str> = text.lines().map(str::trim).filter(|line| line.ends_with("drop")).collect();
        assert_eq!(
            rules,
            [
                "ip saddr 10.77.0.1 ip daddr 10.77.0.2 counter drop",
                "ip saddr 10.77.0.2 ip daddr 10.77.0.1 tcp dport 5432 counter drop",
                "ip saddr 10.77.0.2 ip daddr 10.77.0.1 tcp sport 5432 counter drop",
            ]
        );
    }

    #[test]
    fn loss_in_part_is_drawn_by_the_kernel_and_a_reset_answers_tcp_alone() {
        let cut = Cut { from: A, to: B, port: None, percent: 30 };
        let text = ruleset(&[cut]);
        let rule = "    ip saddr 10.77.0.1 ip daddr 10.77.0.2 numgen random mod 100 < 30 counter drop\n";
        assert!(text.starts_with("table bridge chaos {\n") && text.contains(rule), "{text}");
        let text = resets(&["n2", "n1", "n2"].map(str::to_owned), &[cut]);
        let rule = "    ip saddr 10.77.0.1 ip daddr 10.77.0.2 ip protocol tcp numgen random mod 100 < 30 counter \
                    reject with tcp reset\n";
        assert!(text.starts_with("table netdev chaos {\n") && text.contains(rule), "{text}");
        assert!(text.contains("hook ingress devices = { n1, n2 } priority 0;"), "{text}");
    }

    #[test]
    fn packets_are_read_rule_by_rule_and_a_rule_without_a_counter_proves_nothing() {
        let told = r#"{"nftables":[{"metainfo":{"version":"1.0.6"}},{"table":{"name":"chaos"}},
            {"rule":{"expr":[{"match":{}},{"counter":{"packets":7,"bytes":400}},{"drop":null}]}},
            {"rule":{"expr":[{"match":{}},{"counter":{"packets":0,"bytes":0}},{"drop":null}]}}]}"#;
        assert_eq!(counters(told).unwrap(), [7, 0]);
        assert!(counters(r#"{"nftables":[{"rule":{"expr":[{"drop":null}]}}]}"#).is_err());
        assert!(counters("").is_err());
    }
}
