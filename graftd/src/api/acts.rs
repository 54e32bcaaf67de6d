//! The list of administrative acts: each is noted before it is done, and how it ended afterwards, in the replicated state and in the log (target
//! `audit`). So nothing is done unnoted, and one that a member did not live to finish stands there without an end.
//!
//! An act goes on when its caller has gone, so that its end is known.

use std::sync::Arc;

use graft_machine::command::{ACCESS_FROM, BeginAct, Command, EndAct, Envelope};
use graft_machine::reply::Reply;
use graft_proto::errors::{ErrorCode, Fault, cut};
use tonic::{Response, Status};

use super::Shared;
use crate::auth::caller::Caller;

/// Most bytes of what was asked that are noted.
const SAID_BYTES_MAX: usize = 1 << 10;

/// Does what is asked, noted. `said` is the request in words: none holds a secret.
pub(super) async fn noted<T: Send + 'static>(
    shared: Arc<Shared>,
    caller: Caller,
    method: &'static str,
    said: String,
    act: impl Future<Output = Result<Response<T>, Status>> + Send + 'static,
) -> Result<Response<T>, Status> {
    let done = tokio::spawn(async move {
        let principal = format!("client:{}", caller.name.as_deref().unwrap_or("anonymous"));
        let said = cut(&said, SAID_BYTES_MAX);
        tracing::info!(target: "audit", %principal, from = %caller.from, method, said, "begins");
        let number = shared.begin_act(&principal, &caller, method, said).await?;
        let answer = act.await;
        let outcome = match &answer {
            Ok(_) => "ok".to_owned(),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        };
        tracing::info!(target: "audit", %principal, from = %caller.from, method, outcome, "ended");
        if let Some(number) = number {
            let end = Command::EndAct(EndAct { number, outcome });
            if let Err(error) = shared.api.consensus.propose(Envelope::internal(principal, end)).await {
                tracing::warn!(target: "audit", number, %error, "how the act ended could not be noted");
            }
        }
        answer
    });
    done.await.unwrap_or_else(|error| Err(Fault::new(ErrorCode::Internal, method, format!("was given up: {error}")).into()))
}

impl Shared {
    /// The number under which it is noted; `None`: there is nothing yet to note it in.
    async fn begin_act(&self, principal: &str, caller: &Caller, method: &str, object: String) -> Result<Option<u64>, Fault> {
        let status = self.api.consensus.status();
        // A cluster that is not formed has no state; and members of the first version would stop at what they do not know.
        if status.machine_version < ACCESS_FROM {
            return Ok(None);
        }
        let (from, member) = (caller.from.to_string(), self.api.info.member_name.clone());
        let begin = Command::BeginAct(BeginAct { from, method: method.to_owned(), object, member });
        match self.api.consensus.propose(Envelope::internal(principal, begin)).await {
            Ok(Ok(Reply::Done(done))) => Ok(Some(done.run)),
            Ok(Ok(other)) => Err(Fault::new(ErrorCode::Internal, "an act", format!("was answered with {other:?}"))),
            Ok(Err(rejection)) => Err(graft_convert::rejections::fault(rejection)),
            Err(error) => {
                let mut fault = self.pointed_at_leader(error);
                // What could not be noted was not begun.
                fault.detail.insert_str(0, "cannot be noted in the list of acts, and so it was not done: ");
                Err(fault)
            }
        }
    }
}
