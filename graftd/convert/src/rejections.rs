//! What the machine refuses, as the catalogue of errors has it.

use graft_machine::reply::{Rejection, RejectionCode};
use graft_proto::errors::{ErrorCode, Fault};

/// The refusal for whoever asked. A kind that only a newer machine knows is told as malformed: its words say what it is.
pub fn fault(rejection: Rejection) -> Fault {
    let code = match RejectionCode::try_from(rejection.code) {
        Ok(RejectionCode::Invalid) | Err(_) => ErrorCode::Invalid,
        Ok(RejectionCode::TooLarge) => ErrorCode::TooLarge,
        Ok(RejectionCode::WorkflowNotFound) => ErrorCode::WorkflowNotFound,
        Ok(RejectionCode::WorkflowExists) => ErrorCode::WorkflowExists,
        Ok(RejectionCode::WrongStatus) => ErrorCode::WrongStatus,
        Ok(RejectionCode::RequestConflict) => ErrorCode::RequestConflict,
        Ok(RejectionCode::RequestExpired) => ErrorCode::RequestExpired,
        Ok(RejectionCode::NotAfterTooFar) => ErrorCode::NotAfterTooFar,
        Ok(RejectionCode::ClusterMismatch) => ErrorCode::ClusterMismatch,
        Ok(RejectionCode::TaskNotFound) => ErrorCode::TaskNotFound,
        Ok(RejectionCode::TaskState) => ErrorCode::WrongTaskState,
        Ok(RejectionCode::GrantNotFound) => ErrorCode::MemberNotFound,
        Ok(RejectionCode::GrantRefused) => ErrorCode::MembershipRefused,
        Ok(RejectionCode::TokenNotFound) => ErrorCode::TokenNotFound,
    };
    Fault::new(code, rejection.object, rejection.detail)
}
