//! Do the standbys follow, and could each be promoted? Warnings: less in hand than wanted.

use crate::ids::InstanceName;
use crate::memory::{Memory, able_to_acknowledge};
use crate::problem::{Problem, ProblemKind};
use crate::record::{Copy, Instance};
use crate::report::{Rebuild, Server};
use crate::time::span;
use crate::view::View;
use std::time::Duration;

/// What is wrong with the standbys.
pub fn ask(view: &View<'_>, memory: &Memory) -> Vec<Problem> {
    if view.record.system.is_none() {
        return Vec::new();
    }
    let primary = view.record.primary.as_ref().map(|reign| &reign.instance);
    let others = view.record.instances.iter().filter(|(name, _)| Some(*name) != primary);
    others.flat_map(|(name, member)| about(view, memory, name, member)).collect()
}

fn about(view: &View<'_>, memory: &Memory, name: &InstanceName, member: &Instance) -> Vec<Problem> {
    let instance = name.clone();
    let mut problems = Vec::new();
    if let Some(heard) = view.heard.get(name).filter(|heard| heard.report.directory != member.directory) {
        let evidence = vec![format!(
            "a report came from directory {}, registered is {}",
            heard.report.directory, member.directory
        )];
        problems.push(Problem { kind: ProblemKind::Impostor { instance: instance.clone() }, evidence });
    }
    match view.fresh(name) {
        None => {
            let evidence = vec![format!("its agent has been silent for {}", span(view.silence(name)))];
            problems.push(Problem { kind: ProblemKind::StandbyAway { instance }, evidence });
            return problems;
        }
        Some(report) => {
            if !report.unfit.is_empty() {
                let evidence = report.unfit.iter().map(|unfit| format!("{name}'s agent: {unfit}")).collect();
                problems.push(Problem {
                    kind: ProblemKind::NotPromotable { instance: instance.clone() },
                    evidence,
                });
            }
            if member.copy != Copy::Whole {
                let doing = report.doing.clone().unwrap_or_else(|| in_words(&member.copy).to_owned());
                problems
                    .push(Problem { kind: ProblemKind::CopyNotWhole { instance }, evidence: vec![doing] });
            } else if view.record.primary.as_ref().is_some_and(|r| r.open) && !follows(view, name) {
                let away = memory.unable_for(name, view.now);
                let why =
                    report.needs.as_ref().map_or_else(|| in_short(&report.server), |need| need.why.clone());
                let evidence = vec![format!("for {}: {why}", span(away))];
                problems.push(Problem { kind: ProblemKind::StandbyAway { instance }, evidence });
            } else if hung(view, &report.server) {
                let evidence = vec![format!("{name}'s agent: {}", in_short(&report.server))];
                problems.push(Problem { kind: ProblemKind::StandbyHung { instance }, evidence });
            }
        }
    }
    problems
}

/// True when the server has answered its own agent nothing for too long, whatever others hear of it.
pub(super) fn hung(view: &View<'_>, server: &Server) -> bool {
    matches!(server, Server::Silent { for_ms, .. } if Duration::from_millis(*for_ms) >= view.policy.hung_after)
}

/// By the primary's word where there is one, else by the standby's own.
fn follows(view: &View<'_>, name: &InstanceName) -> bool {
    let primary = view.record.primary.as_ref().map(|reign| &reign.instance);
    match (primary.and_then(|primary| view.server(primary)), view.server(name)) {
        (Some(Server::Primary(_)), _) => able_to_acknowledge(view, name),
        (_, Some(Server::Standby(standby))) => standby.receiver.as_ref().is_some_and(|r| r.streaming),
        _ => false,
    }
}

/// What a copy is worth, in words.
pub(crate) fn in_words(copy: &Copy) -> &'static str {
    match copy {
        Copy::Empty => "waits for its turn to clone",
        Copy::Rebuilding { how: Rebuild::Rewind, done: false, .. } => "rewinding",
        Copy::Rebuilding { how: Rebuild::Clone, done: false, .. } => "cloning",
        Copy::Rebuilding { done: true, .. } => "catching up",
        Copy::Whole => "whole",
    }
}

/// What a server is doing, in two or three words.
pub(crate) fn in_short(server: &Server) -> String {
    match server {
        Server::NoData => "no data".to_owned(),
        Server::Stopped { exit: None, .. } => "stopped".to_owned(),
        Server::Stopped { exit: Some(exit), .. } => format!("stopped ({exit})"),
        Server::Starting { .. } => "starting".to_owned(),
        Server::Silent { for_ms, why } => {
            let silent = format!("no answer for {}", span(Duration::from_millis(*for_ms)));
            why.as_ref().map_or(silent.clone(), |why| format!("{silent}: {why}"))
        }
        Server::Standby(standby) => match &standby.receiver {
            Some(receiver) if receiver.streaming => "streaming".to_owned(),
            Some(_) => "connecting".to_owned(),
            None => "receives from nobody".to_owned(),
        },
        Server::Primary(primary) if primary.open => "open".to_owned(),
        Server::Primary(_) => "clients kept out".to_owned(),
    }
}
