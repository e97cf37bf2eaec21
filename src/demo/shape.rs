//! Which machines a demo has, and what each of them is there for.

/// What runs on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// A coordinator and an instance.
    Both,
    /// A vote, and no PostgreSQL.
    Coordinator,
    /// PostgreSQL with its agent, and no vote.
    Instance,
}

/// A machine's name, and its duty.
pub(crate) type Shape = &'static [(&'static str, Duty)];

/// Three machines, all alike.
pub(crate) const THREE: Shape = &[("n1", Duty::Both), ("n2", Duty::Both), ("n3", Duty::Both)];

/// Three instances and three coordinators, so that n4 can be lost with nothing but a standby on it. The first copy is
/// made on n1: where all are preferred alike, the first name is.
pub(crate) const STANDBY_APART: Shape =
    &[("n1", Duty::Both), ("n2", Duty::Both), ("n3", Duty::Coordinator), ("n4", Duty::Instance)];

/// Three machines, all alike, and a fourth with an agent alone.
pub(crate) const THREE_AND_AN_AGENT: Shape =
    &[("n1", Duty::Both), ("n2", Duty::Both), ("n3", Duty::Both), ("n4", Duty::Instance)];

impl Duty {
    /// It votes.
    pub(crate) fn votes(self) -> bool {
        self != Duty::Instance
    }

    /// It runs PostgreSQL.
    pub(crate) fn serves(self) -> bool {
        self != Duty::Coordinator
    }
}

/// How many instances there are.
pub(crate) fn instances(shape: Shape) -> usize {
    shape.iter().filter(|(_, duty)| duty.serves()).count()
}
