//! Why a leader has not proposed a command, and in which words it tells a follower that has forwarded it: of all it has forwarded, or of one
//! command among others.

use super::error::ProposeError;

/// Advice to callers that found the queue full, in milliseconds.
const OVERLOADED_RETRY_MS: u64 = 100;

const NOT_LEADER: &str = "not-leader";
const FULL: &str = "overloaded";
const OVERDUE: &str = "overdue";
/// Why stands behind it.
const NO_ROOM: &str = "no-room: ";

/// Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This member does not lead: who leads now is to be asked.
    NotLeader,
    /// Its queue is full, or it has no time for starts.
    Overloaded,
    /// It has no room for starts.
    NoRoom {
        /// Of what, and how much.
        reason: String,
    },
    /// Whoever asks waits no longer.
    Overdue,
}

impl Refusal {
    /// What an error comes to for a follower; otherwise it may have been done, and why that is not known.
    pub(super) fn of(error: ProposeError) -> Result<Self, String> {
        match error {
            ProposeError::Unknown { reason } => Err(reason),
            ProposeError::Overloaded { .. } => Ok(Self::Overloaded),
            ProposeError::NoRoom { reason } => Ok(Self::NoRoom { reason }),
            ProposeError::Overdue => Ok(Self::Overdue),
            ProposeError::NotLeader | ProposeError::Unavailable { .. } => Ok(Self::NotLeader),
        }
    }

    /// As members tell it.
    pub(super) fn said(&self) -> String {
        match self {
            Self::NotLeader => NOT_LEADER.to_owned(),
            Self::Overloaded => FULL.to_owned(),
            Self::NoRoom { reason } => format!("{NO_ROOM}{reason}"),
            Self::Overdue => OVERDUE.to_owned(),
        }
    }

    /// What was meant. Words of a later version mean that nothing was done, too.
    pub(super) fn read(said: &str) -> Self {
        match said.strip_prefix(NO_ROOM) {
            Some(reason) => Self::NoRoom { reason: reason.to_owned() },
            None if said == FULL => Self::Overloaded,
            None if said == OVERDUE => Self::Overdue,
            None => Self::NotLeader,
        }
    }
}

impl From<Refusal> for ProposeError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotLeader => Self::NotLeader,
            Refusal::Overloaded => Self::Overloaded { retry_after_ms: OVERLOADED_RETRY_MS },
            Refusal::NoRoom { reason } => Self::NoRoom { reason },
            Refusal::Overdue => Self::Overdue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_meant() {
        for refusal in [Refusal::NotLeader, Refusal::Overloaded, Refusal::NoRoom { reason: "2 MB are left".into() }, Refusal::Overdue] {
            assert_eq!(Refusal::read(&refusal.said()), refusal);
            assert_eq!(Refusal::of(refusal.clone().into()), Ok(refusal));
        }
        assert_eq!(Refusal::of(ProposeError::Unknown { reason: "it broke".into() }), Err("it broke".to_owned()));
        assert_eq!(Refusal::read("of-tomorrow"), Refusal::NotLeader);
    }
}
