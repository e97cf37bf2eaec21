//! Faults, one file each: how it is injected, how it is healed, and how it is known that it took effect. A fault that
//! cannot show its effect makes its run void, whatever else that run says.

mod cut;
mod cut_from_coordinators;
mod cut_from_standbys;
mod cut_leader;
mod disk_full;
mod disk_read_only;
mod flapping;
mod freeze_machine;
mod isolate_primary;
mod isolate_standby;
mod kill_all;
mod kill_each;
mod kill_guard;
mod kill_machine;
mod kill_node;
mod kill_one;
mod kill_postgres;
mod kill_postmaster;
mod kill_two;
mod loss;
mod one_way;
mod partition;
mod power_cut;
mod rolling_restart;
mod rst_storm;
mod stop_guard;
mod stop_leader;
mod stop_node;
mod stop_postmaster;
mod stop_standby;
mod stopped;

use std::pin::Pin;

use crate::catalogue::Row;
use crate::scene::Scene;

/// A step of a fault under way.
pub(crate) type Deed<'a, T = ()> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + 'a>>;

/// How the effect showed; or why it did not.
pub(crate) type Proof = Result<String, String>;

/// Something that goes wrong, and gets well again.
pub(crate) trait Fault {
    /// What it needs before the strike, while all is well.
    fn prepare<'a>(&'a mut self, _scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { Ok(()) })
    }

    /// The strike.
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a>;

    /// Asked at the end of the fault, before it is healed.
    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof>;

    /// What the cluster did under it that it must not do, a line each; asked after the proof. Of faults that expect more of
    /// it than every run does.
    fn amiss<'a>(&'a mut self, _scene: &'a mut Scene) -> Deed<'a, Vec<String>> {
        Box::pin(async move { Ok(Vec::new()) })
    }

    /// What whoever runs the machines would do; nothing, where the product has to get well by itself.
    fn heal<'a>(&'a mut self, _scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { Ok(()) })
    }
}

/// Every fault, in the order in which `--all` runs them.
pub(crate) const ROWS: &[Row] = &[
    kill_machine::ROW,
    kill_all::ROW,
    kill_postgres::ROW,
    kill_postmaster::ROW,
    kill_guard::ROW,
    kill_node::ROW,
    kill_node::BRIEF,
    stop_postmaster::ROW,
    stop_node::ROW,
    stop_node::BRIEF,
    freeze_machine::ROW,
    freeze_machine::HALF,
    freeze_machine::BRIEF,
    isolate_primary::ROW,
    isolate_standby::ROW,
    cut_from_standbys::ROW,
    cut_from_coordinators::ROW,
    one_way::OUT,
    one_way::IN,
    loss::ROW,
    loss::BADLY,
    rst_storm::ROW,
    flapping::ROW,
    flapping::SLOWLY,
    cut_leader::ROW,
    cut_leader::FROM_PRIMARY,
    partition::RING,
    partition::BRIDGE,
    kill_one::BACKEND,
    kill_one::CHECKPOINTER,
    stop_guard::ROW,
    stop_guard::BRIEF,
    stop_standby::ROW,
    stop_leader::ROW,
    kill_two::ROW,
    kill_each::ROW,
    rolling_restart::ROW,
    disk_full::ROW,
    disk_full::STANDBY,
    disk_read_only::ROW,
];
