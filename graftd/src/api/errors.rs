//! What consensus refuses, as the catalogue of errors has it. Nothing else in this floor makes an error of its own: see
//! [`graft_proto::errors`].

use graft_proto::errors::{ErrorCode, Fault};

use crate::consensus::ProposeError;

/// Advice to whom there is no room for, in milliseconds: room is made by people, or by retention.
const NO_ROOM_RETRY_MS: u64 = 2_000;

impl From<ProposeError> for Fault {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Unavailable { reason } => Self::new(ErrorCode::NoLeader, "the leader", format!("cannot be reached: {reason}")),
            ProposeError::NotLeader => Self::new(ErrorCode::NoLeader, "this member", "does not lead any more"),
            ProposeError::Overloaded { retry_after_ms } => {
                Self { retry_after_ms, ..Self::new(ErrorCode::Overloaded, "the cluster", "has too many commands waiting") }
            }
            ProposeError::NoRoom { reason } => Self {
                retry_after_ms: NO_ROOM_RETRY_MS,
                ..Self::new(ErrorCode::NoRoom, "the cluster", format!("starts no workflow now: {reason}"))
            },
            ProposeError::Overdue => Self::new(ErrorCode::Overloaded, "the cluster", "did not get to it while its caller waited"),
            ProposeError::Unknown { reason } => {
                Self::new(ErrorCode::OutcomeUnknown, "the request", format!("has an unknown outcome: {reason}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_says_so_and_how_to_repeat() {
        let detail = Fault::from(ProposeError::Unknown { reason: "the leader changed".into() }).detail();
        assert!(detail.outcome_unknown && detail.retryable);
        assert!(detail.remedy.contains("same request id"));
    }

    #[test]
    fn overload_is_refused_with_a_time() {
        let fault = Fault::from(ProposeError::Overloaded { retry_after_ms: 250 });
        assert_eq!(fault.code, ErrorCode::Overloaded);
        assert_eq!(fault.detail().retry_after_ms, 250);
    }
}
