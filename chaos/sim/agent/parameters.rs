//! The cluster's parameters: judged by this server's PostgreSQL, then written and reloaded (src/agent/steps/parameters.rs);
//! and what a server is started with: a standby with no less than replay demands (F25).

use super::deeds::{Deed, Flow};
use crate::parameters::{CHECKED, Parameters, refusal};
use crate::postgres::{ControlState, Phase};
use crate::world::{MS, World};
use interrex_cluster::goal::{Goal, PrimaryGoal};
use interrex_cluster::report::Unfit;
use std::collections::BTreeMap;

impl World {
    pub(super) fn judge_parameters(&mut self, i: usize, deed: &Deed, goal: &PrimaryGoal) -> Flow {
        let Some((number, proposed)) = goal.judge.as_ref().filter(|_| deed.phase > 0) else {
            return Flow::Next(self.takes(i, 20 * MS, 400 * MS));
        };
        self.own.agents[i].known.proofs.judged = Some((*number, refusal(proposed)));
        self.tell_proofs(i);
        Flow::Done
    }

    pub(super) fn set_parameters(
        &mut self,
        i: usize,
        deed: &Deed,
        wanted: &BTreeMap<String, String>,
    ) -> Flow {
        if let Some(flow) = self.unanswered(i) {
            return flow;
        }
        if deed.phase == 0 {
            return Flow::Next(self.small(i));
        }
        self.write_parameters(i, wanted);
        self.own.agents[i].server.parameters = Some(wanted.clone());
        Flow::Done
    }

    pub(super) fn write_parameters(&mut self, i: usize, wanted: &BTreeMap<String, String>) {
        if let Some(dir) = self.own.servers[i].dir.as_mut() {
            dir.parameters = Parameters::of(wanted);
        }
    }

    /// Before each start, where the goal has them.
    pub(super) fn write_parameters_offline(&mut self, i: usize, goal: &Goal) {
        match goal {
            Goal::Standby(goal) => self.write_parameters(i, &goal.parameters),
            Goal::Primary(goal) => self.write_parameters(i, &goal.parameters),
            _ => {}
        }
    }

    /// The server is about to start, to follow or to be promoted: whether what is configured lower than replay demands may
    /// be so once it is promoted, for it stopped in good order as the last primary.
    pub(super) fn lowers(&self, i: usize, follows: bool) -> bool {
        let Some(dir) = &self.own.servers[i].dir else { return false };
        !follows && dir.state == ControlState::ShutDown && dir.parameters.connections < self.demanded(dir.end)
    }

    /// It was just started: with what replay demands, at the least.
    pub(super) fn raise_to_the_floor(&mut self, i: usize) {
        let demanded = self.own.servers[i].dir.as_ref().map_or(0, |dir| self.demanded(dir.end));
        if let Some(proc) = self.own.servers[i].proc.as_mut() {
            proc.runs_with = proc.runs_with.max(demanded);
        }
    }

    /// The server that is to be promoted is started once more, with what was lowered, and is asked nothing.
    pub(super) fn start_lowered(&mut self, i: usize) {
        let server = &mut self.own.servers[i];
        if let (Some(dir), Some(proc)) = (&server.dir, server.proc.as_mut()) {
            proc.runs_with = dir.parameters.connections;
            proc.asked = false;
        }
    }

    /// What speaks against promoting it.
    pub(super) fn unfit(&self, i: usize) -> Vec<Unfit> {
        let server = &self.own.servers[i];
        match (&server.dir, &server.proc) {
            (Some(dir), Some(proc))
                if proc.phase == Phase::Standby && self.demanded(dir.end) > proc.runs_with =>
            {
                vec![Unfit::ParameterTooLow { name: CHECKED.to_owned() }, Unfit::ReplayPaused]
            }
            _ => Vec::new(),
        }
    }
}
