//! Which goals may be obeyed: none below the highest pair ever obeyed, and none but `Stopped` before registration.
//!
//! Epoch alone is not enough: an old goal of the same epoch would bring back a commit rule that is already retired.
//! The agent asks here when a goal arrives *and again at the point of effect*, after everything that took long.

use crate::goal::{Goal, StampedGoal};
use crate::ids::Stamp;
use crate::mutants::{self, Mutant};

/// What an agent must not go below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floor {
    /// The highest goal obeyed, as it stands fsynced on disk.
    pub obeyed: Stamp,
    /// The floor that registration answered with; absent until a coordinator leader confirmed it.
    pub registered: Option<Stamp>,
}

/// Why a goal is not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotObeyed {
    /// A higher goal was obeyed, or the registration named a higher one.
    #[error("goal {goal} is older than {floor}, which binds this instance; a newer goal will come")]
    Older {
        /// The goal's pair.
        goal: Stamp,
        /// The lowest pair that may be obeyed.
        floor: Stamp,
    },
    /// This run of the agent has not registered yet.
    #[error(
        "goal {goal} waits: until a coordinator leader has registered this instance it obeys nothing but 'stopped'"
    )]
    NotRegistered {
        /// The goal's pair.
        goal: Stamp,
    },
}

impl Floor {
    /// The lowest pair that may be obeyed.
    pub fn lowest(&self) -> Stamp {
        self.registered.map_or(self.obeyed, |floor| floor.max(self.obeyed))
    }

    /// Whether `goal` may be obeyed now.
    ///
    /// # Errors
    /// Why not; neither is a fault, both pass when a newer goal or the registration arrives.
    pub fn admits(&self, goal: &StampedGoal) -> Result<(), NotObeyed> {
        let floor = self.lowest();
        let older = match () {
            () if mutants::on(Mutant::GoalOrder) => goal.stamp.epoch < floor.epoch,
            () => goal.stamp < floor,
        };
        if older {
            return Err(NotObeyed::Older { goal: goal.stamp, floor });
        }
        // Stopping can lose nothing, whoever asks for it; everything else needs the floor.
        let harmless = matches!(goal.goal, Goal::Stopped { .. });
        if self.registered.is_none() && !harmless {
            return Err(NotObeyed::NotRegistered { goal: goal.stamp });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, Revision};

    fn stamp(epoch: u32, revision: u64) -> Stamp {
        Stamp { epoch: Epoch(epoch), revision: Revision(revision) }
    }

    fn sealed(epoch: u32, revision: u64) -> StampedGoal {
        StampedGoal {
            stamp: stamp(epoch, revision),
            goal: Goal::Sealed { epoch: Epoch(epoch), line: None, ended: None },
        }
    }

    fn stopped(epoch: u32, revision: u64) -> StampedGoal {
        StampedGoal { stamp: stamp(epoch, revision), goal: Goal::Stopped { epoch: Epoch(epoch), line: None } }
    }

    const REGISTERED: Floor = Floor {
        obeyed: Stamp { epoch: Epoch(7), revision: Revision(40) },
        registered: Some(Stamp { epoch: Epoch(7), revision: Revision(38) }),
    };

    #[test]
    fn the_goal_that_was_obeyed_last_may_be_obeyed_again() {
        assert_eq!(REGISTERED.admits(&sealed(7, 40)), Ok(()));
    }

    #[test]
    fn an_old_goal_of_the_same_epoch_is_refused() {
        let refused = REGISTERED.admits(&sealed(7, 39)).unwrap_err();
        assert_eq!(refused, NotObeyed::Older { goal: stamp(7, 39), floor: stamp(7, 40) });
        assert!(refused.to_string().starts_with("goal 7.39 is older than 7.40"), "{refused}");
    }

    #[test]
    fn an_older_epoch_is_refused_however_high_its_revision() {
        assert!(REGISTERED.admits(&sealed(6, 99)).is_err());
    }

    #[test]
    fn the_registered_floor_binds_a_directory_that_remembers_less() {
        let floor = Floor { registered: Some(stamp(9, 50)), ..REGISTERED };
        assert_eq!(
            floor.admits(&sealed(8, 60)),
            Err(NotObeyed::Older { goal: stamp(8, 60), floor: stamp(9, 50) })
        );
    }

    #[test]
    fn before_registration_only_stopped_is_obeyed() {
        let floor = Floor { registered: None, ..REGISTERED };
        assert_eq!(floor.admits(&sealed(8, 60)), Err(NotObeyed::NotRegistered { goal: stamp(8, 60) }));
        assert_eq!(floor.admits(&stopped(8, 60)), Ok(()));
        assert!(
            floor.admits(&stopped(7, 39)).is_err(),
            "an old word to stop may have been overtaken by a promotion"
        );
    }
}
