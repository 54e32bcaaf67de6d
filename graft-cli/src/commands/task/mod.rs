//! Verbs of `graft task`.
pub(super) mod get;
pub(super) mod list;
pub(super) mod retry;

use graft_client::TaskHandle;

use super::Session;
use crate::cli::value::TaskRef;

/// The task that was named.
pub(super) fn handle(session: &Session, task: &TaskRef) -> TaskHandle {
    session.client.workflow(&task.workflow).run(task.run).task(task.task)
}
