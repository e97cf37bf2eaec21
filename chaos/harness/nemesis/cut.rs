//! What all faults of the network have in common: packets are taken away at the bridge, each direction is counted, and a
//! direction in which nothing was taken away proves nothing.

use super::{Deed, Fault, Proof};
use crate::ground::Cut;
use crate::scene::Scene;

/// What is to be taken away, when it is known who is who.
pub(super) type Chosen = fn(&Scene) -> anyhow::Result<Vec<Cut>>;

/// Takes away what `chosen` says.
pub(super) struct Cutting {
    chosen: Chosen,
    cuts: Vec<Cut>,
}

impl Cutting {
    pub(super) fn new(chosen: Chosen) -> Cutting {
        Cutting { chosen, cuts: Vec::new() }
    }

    pub(super) fn boxed(chosen: Chosen) -> Box<dyn Fault> {
        Box::new(Cutting::new(chosen))
    }
}

impl Fault for Cutting {
    fn prepare<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            self.cuts = (self.chosen)(scene)?;
            Ok(())
        })
    }

    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.network.cut(&self.cuts) })
    }

    fn proof<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let taken = scene.network.taken(&self.cuts)?;
            Ok(counted(&self.cuts, &taken))
        })
    }

    fn heal<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move { scene.network.mend() })
    }
}

/// What the kernel counted, direction by direction.
pub(super) fn counted(cuts: &[Cut], taken: &[u64]) -> Proof {
    let idle = cuts.iter().zip(taken).find(|(_, packets)| **packets == 0);
    match idle {
        _ if cuts.len() != taken.len() || cuts.is_empty() => {
            Err(format!("{} directions were cut and {} counted", cuts.len(), taken.len()))
        }
        Some((Cut { from, to, .. }, _)) => Err(format!("no packet from {from} to {to} was taken away")),
        None => {
            let (all, directions) = (taken.iter().sum::<u64>(), taken.len());
            Ok(format!("{all} packets were taken away, some in each of {directions} directions"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_without_a_packet_voids_the_proof() {
        let cut = |from: u8, to: u8| Cut {
            from: [10, 77, 0, from].into(),
            to: [10, 77, 0, to].into(),
            port: None,
            percent: 100,
        };
        let cuts = [cut(1, 2), cut(2, 1)];
        assert!(counted(&cuts, &[3, 4]).unwrap().starts_with("7 packets"));
        assert_eq!(
            counted(&cuts, &[3, 0]).unwrap_err(),
            "no packet from 10.77.0.2 to 10.77.0.1 was taken away"
        );
        assert!(counted(&cuts, &[3]).is_err());
        assert!(counted(&[], &[]).is_err());
    }
}
