//! The list of administrative acts: each is noted before it is done, and how it ended afterwards, in the replicated state and in the log (target
//! `audit`, where those stand as well that were refused). So nothing is done unnoted; one that a member did not live to finish, or whose member it took out, stands there without an end.
//!
//! An act goes on when its caller has gone, so that its end is known.

use std::sync::Arc;
use std::time::Duration;

use graft_machine::command::{ACCESS_FROM, BeginAct, Command, EndAct, Envelope};
use graft_machine::reply::Reply;
use graft_proto::errors::{ErrorCode, Fault, cut};
use tokio::time::timeout;
use tonic::{Response, Status};

use super::Shared;
use crate::auth::caller::{Caller, ShownBy};

/// Most bytes of what was asked that are noted.
const SAID_BYTES_MAX: usize = 1 << 10;
/// Longest time for an answer to wait until it is noted. A member that was just taken out finds nobody who would note it.
const END_WAIT: Duration = Duration::from_secs(2);

/// What an act has made, in words: goes with its answer, and is noted with how it ended.
#[derive(Clone)]
pub(super) struct Made(pub(super) String);

/// Does what is asked, noted. `said` is the request in words: none holds a secret.
pub(super) async fn noted<T: Send + 'static>(
    shared: Arc<Shared>,
    caller: Caller,
    method: &'static str,
    said: String,
    act: impl Future<Output = Result<Response<T>, Status>> + Send + 'static,
) -> Result<Response<T>, Status> {
    let done = tokio::spawn(async move {
        let number = shared.begin_act(&caller, method, cut(&said, SAID_BYTES_MAX)).await?;
        let answer = logged(&caller, method, said, act).await;
        if let Some(number) = number {
            let end = Command::EndAct(EndAct { number, outcome: outcome(&answer) });
            let noting = shared.api.consensus.propose(Envelope::internal(who(&caller), end));
            let unnoted = match timeout(END_WAIT, noting).await {
                Ok(noted) => noted.err().map(|error| error.to_string()),
                Err(_) => Some(format!("nobody has noted it within {END_WAIT:?}")),
            };
            if let Some(error) = unnoted {
                tracing::warn!(target: "audit", number, error, "how the act ended could not be noted");
            }
        }
        answer
    });
    done.await.unwrap_or_else(|error| Err(Fault::new(ErrorCode::Internal, method, format!("was given up: {error}")).into()))
}

/// Does what is asked, with a word to the log before and after.
pub(super) async fn logged<T>(
    caller: &Caller,
    method: &'static str,
    said: String,
    act: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    let (principal, from, said) = (who(caller), whence(caller), cut(&said, SAID_BYTES_MAX));
    tracing::info!(target: "audit", %principal, from, method, said, "begins");
    let answer = act.await;
    tracing::info!(target: "audit", %principal, from, method, outcome = outcome(&answer), "ended");
    answer
}

/// A word to the log of what somebody may not do: one line a second, with how many were left out.
pub(super) fn refused(shared: &Shared, caller: &Caller, method: &'static str, why: &Fault) {
    if let Some(left_out) = shared.denials.now() {
        let (principal, outcome) = (who(caller), format!("{}: {} {}", why.code, why.object, why.detail));
        tracing::info!(target: "audit", %principal, from = whence(caller), method, outcome, left_out, "refused");
    }
}

fn who(caller: &Caller) -> String {
    format!("client:{}", caller.name.as_deref().unwrap_or("anonymous"))
}

/// The address, and the id of an API token where one was shown: several may have the name of one.
fn whence(caller: &Caller) -> String {
    match &caller.shown_by {
        ShownBy::Token(id) => format!("{}, API token {id}", caller.from),
        _ => caller.from.to_string(),
    }
}

fn outcome<T>(answer: &Result<Response<T>, Status>) -> String {
    match answer {
        Ok(answer) => answer.extensions().get().map_or_else(|| "ok".to_owned(), |Made(what)| format!("ok: {what}")),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

impl Shared {
    /// The number under which it is noted; `None`: there is nothing yet to note it in.
    async fn begin_act(&self, caller: &Caller, method: &str, object: String) -> Result<Option<u64>, Fault> {
        let status = self.api.consensus.status();
        // A cluster that is not formed has no state; and members of the first version would stop at what they do not know.
        if status.machine_version < ACCESS_FROM {
            return Ok(None);
        }
        let (from, member) = (whence(caller), self.api.info.member_name.clone());
        let begin = Command::BeginAct(BeginAct { from, method: method.to_owned(), object, member });
        match self.api.consensus.propose(Envelope::internal(who(caller), begin)).await {
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
