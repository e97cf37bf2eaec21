//! A network of its own for each machine, joined by a bridge in yet another one. What a fault does to packets is done at
//! that bridge: the machines see silence, as behind a switch that fails, and never an error of their own kernel.
//!
//! Nothing here is in the host's own network: every namespace, and whatever is in it, bears the run's name.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;

use crate::tools::{run, run_with};

const NAMESPACES: &str = "/run/netns";
/// The namespace of the bridge.
const SWITCH: &str = "switch";
/// The table in it that takes packets away.
const TABLE: &str = "chaos";

/// Packets that are taken away between two machines, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Who sends them.
    pub(crate) from: Ipv4Addr,
    /// Whom they never reach.
    pub(crate) to: Ipv4Addr,
    /// Only those of connections with this port at either end.
    pub(crate) port: Option<u16>,
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

    /// Takes these packets away from here on, also those of connections that exist.
    pub(crate) fn cut(&self, cuts: &[Cut]) -> anyhow::Result<()> {
        self.nft(&["-f", "-"], &ruleset(cuts)).map(drop)
    }

    /// How many packets each of `cuts` took away so far; these are those that were handed to [`Network::cut`].
    pub(crate) fn taken(&self, cuts: &[Cut]) -> anyhow::Result<Vec<u64>> {
        let told = self.nft(&["-j", "list", "table", "bridge", TABLE], "")?;
        let mut counters = counters(&told)?.into_iter();
        // A port has a rule for either end of a connection.
        Ok(cuts
            .iter()
            .map(|cut| counters.by_ref().take(if cut.port.is_some() { 2 } else { 1 }).sum())
            .collect())
    }

    /// Lets all packets pass again.
    pub(crate) fn mend(&self) -> anyhow::Result<()> {
        self.nft(&["delete", "table", "bridge", TABLE], "").map(drop)
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
    let mut rules = String::new();
    for Cut { from, to, port } in cuts {
        let between = format!("ip saddr {from} ip daddr {to}");
        match port {
            None => rules += &format!("    {between} counter drop\n"),
            Some(port) => {
                rules += &format!("    {between} tcp dport {port} counter drop\n");
                rules += &format!("    {between} tcp sport {port} counter drop\n");
            }
        }
    }
    format!(
        "table bridge {TABLE} {{\n  chain cut {{\n    type filter hook forward priority 0; policy accept;\n{rules}  }}\n}}\n"
    )
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
        let text = ruleset(&[Cut { from: A, to: B, port: None }, Cut { from: B, to: A, port: Some(5432) }]);
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
    fn packets_are_read_rule_by_rule_and_a_rule_without_a_counter_proves_nothing() {
        let told = r#"{"nftables":[{"metainfo":{"version":"1.0.6"}},{"table":{"name":"chaos"}},
            {"rule":{"expr":[{"match":{}},{"counter":{"packets":7,"bytes":400}},{"drop":null}]}},
            {"rule":{"expr":[{"match":{}},{"counter":{"packets":0,"bytes":0}},{"drop":null}]}}]}"#;
        assert_eq!(counters(told).unwrap(), [7, 0]);
        assert!(counters(r#"{"nftables":[{"rule":{"expr":[{"drop":null}]}}]}"#).is_err());
        assert!(counters("").is_err());
    }
}
