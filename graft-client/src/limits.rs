//! What is too large is told here, before it is sent: the server would refuse it, and what does not even fit a message never gets there, so
//! that nobody else could say which part of it was the large one.

use graft_proto::MESSAGE_BYTES_MAX;
use graft_proto::v1::operation::Change;
use graft_proto::v1::{Completed, NewTask, Operation, Payload};
use prost::Message;

use graft_proto::errors::ErrorCode;

use crate::error::ClientError;

/// Largest state, in bytes of JSON.
pub(crate) const STATE_BYTES_MAX: usize = 1 << 20;
/// Largest patch of one outcome, in bytes of JSON; what it appends may come to as much again.
const PATCH_BYTES_MAX: usize = 1 << 20;
/// Largest config of a task, in bytes of JSON.
const CONFIG_BYTES_MAX: usize = 1 << 20;
/// What to do about it.
pub(crate) const REMEDY: &str = "Send less, and keep large data outside with a reference to it.";

/// Checks a document; the error reads after the object that it is of.
pub(crate) fn check(what: &str, document: Option<&Payload>, max: usize) -> Result<(), String> {
    match document.map_or(0, |document| document.data.len()) {
        bytes if bytes > max => Err(format!("{what} has {bytes} bytes, at most {max} are allowed")),
        _ => Ok(()),
    }
}

/// Checks the configs of tasks.
pub(crate) fn check_configs<'a>(tasks: impl IntoIterator<Item = &'a NewTask>) -> Result<(), String> {
    tasks.into_iter().try_for_each(|task| check(&format!("the config for node \"{}\"", task.node), task.config.as_ref(), CONFIG_BYTES_MAX))
}

/// Checks what a node answered.
pub(crate) fn check_completed(completed: &Completed) -> Result<(), String> {
    let Completed { patch, operations, next, fan_outs, .. } = completed;
    check("the change of the state", patch.as_ref(), PATCH_BYTES_MAX)
        .and_then(|()| check_appended(operations))
        .and_then(|()| check_configs(next))
        .and_then(|()| check_configs(fan_outs.iter().flat_map(|fan_out| fan_out.tasks.iter().chain(&fan_out.continuation))))
        .map_err(|reason| format!("{reason}. {REMEDY}"))
}

/// Checks what one outcome appends, which counts together.
fn check_appended(operations: &[Operation]) -> Result<(), String> {
    let size = |operation: &Operation| if let Some(Change::Append(value)) = &operation.change { value.data.len() } else { 0 };
    match operations.iter().map(size).sum::<usize>() {
        bytes if bytes > PATCH_BYTES_MAX => {
            Err(format!("the values to append have {bytes} bytes together, at most {PATCH_BYTES_MAX} are allowed"))
        }
        _ => Ok(()),
    }
}

/// Checks that a request fits a message.
pub(crate) fn check_request(operation: &str, request: &impl Message) -> Result<(), ClientError> {
    match request.encoded_len() {
        bytes if bytes > MESSAGE_BYTES_MAX => {
            Err(too_large(operation, "", format!("the request has {bytes} bytes in all, at most {MESSAGE_BYTES_MAX} fit a message")))
        }
        _ => Ok(()),
    }
}

/// The error for what is not sent.
pub(crate) fn too_large(operation: &str, object: &str, message: String) -> ClientError {
    ClientError::new(ErrorCode::RequestTooLarge, operation, object, message).remedied(REMEDY).with_grpc(tonic::Code::InvalidArgument)
}
